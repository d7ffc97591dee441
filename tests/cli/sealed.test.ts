/** `service --keys` and `client --keys`: what is sealed by hand, and what they say to whoever has not the keys. */

import { expect, test } from "bun:test";
import { earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();
leaveNoCommand();

async function keys(scratch: Scratch, name: string): Promise<[string, string]> {
  const path = scratch.join(name);
  const { stdout } = await run(earshot("keys", "save", path));
  return [path, stdout.trim()];
}

test.each([[[]], [["--memory"]]])(
  "a sealed pong %j answers whom it allows, and nobody else",
  async (more) => {
    using scratch = new Scratch();
    using files = new Scratch();
    const { path: rundir } = scratch;
    const [own, peer] = await keys(files, "own");
    const [first, one] = await keys(files, "first");
    const [second, two] = await keys(files, "second");
    const [stranger] = await keys(files, "stranger");
    const allowed = ["--keys", own, `--allow-key=${one}`, `--allow-key=${two}`];
    await using pong = await startService(["pong", ...allowed, ...more], { rundir });
    const transport = more.length === 0 ? "unix" : "memory";
    const speak = (file: string, key: string, ...words: string[]) =>
      run(
        earshot(
          "client",
          "pong",
          ...words,
          "--keys",
          file,
          `--peer=${key}`,
          "--transport",
          transport,
        ),
        {
          rundir,
          input: "one\ntwo\n",
        },
      );
    expect(await speak(first, peer, "hello")).toMatchObject({
      code: 0,
      stdout: "hello\n",
      stderr: "",
    });
    expect(await speak(second, peer)).toMatchObject({ code: 0, stdout: "one\ntwo\n", stderr: "" });
    const refused = await speak(stranger, peer, "hello");
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toContain("that public key is not among those that are allowed here");
    const mistaken = await speak(first, one, "hello");
    expect(mistaken).toMatchObject({ code: 1, stdout: "" });
    expect(mistaken.stderr).toContain("compare the public keys");
    await pong.complains("was turned away");
    expect(pong.stderr).toContain("refused process ");
    expect(pong.stderr).toContain("(not_allowed)");
    // Who was let in has said that he leaves.
    expect(pong.stderr).not.toContain("truncated");
    if (transport === "unix") {
      const open = await run(earshot("client", "pong", "hello"), { rundir });
      expect(open.stdout).toContain("this service is sealed: connect with seal");
    }
    expect((await pong.end("SIGTERM")).code).toBe(0);
    expect(scratch.entries()).toEqual([]);
  },
);

test.each([
  ["client", ["pong", "hello", "--keys", "FILE"], "a seal takes both, --keys FILE and --peer KEY"],
  ["client", ["pong", "hello", "--peer", "KEY"], "a seal takes both, --keys FILE and --peer KEY"],
  ["service", ["pong", "--keys", "FILE"], "--keys takes an --allow-key KEY"],
  ["service", ["pong", "--allow-key", "KEY"], "--allow-key takes --keys FILE as well"],
  [
    "service",
    ["pong", "--keys", "FILE", "--allow-key", "KEY", "--takeover"],
    "--keys and --takeover do not go together: stop the one that runs, then start it",
  ],
  ["service", ["tcpd", "--keys", "FILE"], "--keys means nothing to tcpd: it seals nothing itself"],
  ["service", ["ipcd", "--allow-key", "KEY"], "--allow-key means nothing to ipcd"],
] as const)("%s %j cannot be understood", async (name, given, why) => {
  using scratch = new Scratch();
  using files = new Scratch();
  const [file, key] = await keys(files, "keys");
  const words = given.map((word) => word.replace("FILE", file));
  const at = words.indexOf("KEY");
  if (at > 0) words.splice(at - 1, 2, `${words[at - 1]}=${key}`);
  const { code, stdout, stderr } = await run(earshot(name, ...words), { rundir: scratch.path });
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(why);
});

test("keys that are none, or that others can read, are refused in words", async () => {
  using scratch = new Scratch();
  using files = new Scratch();
  const { path: rundir } = scratch;
  const [file] = await keys(files, "keys");
  const missing = files.join("missing");
  const words = earshot("client", "pong", "hello", "--keys", missing, "--peer", "nobody");
  const none = await run(words, { rundir });
  expect(none).toMatchObject({ code: 1, stdout: "" });
  expect(none.stderr).toBe(`client: there is no file ${missing}; make one with: keys save FILE\n`);
  const odd = await run(earshot("client", "pong", "hello", "--keys", file, "--peer", "nobody"), {
    rundir,
  });
  expect(odd.stderr).toContain('"nobody" is not a public key');
  const service = await run(earshot("service", "pong", "--keys", file, "--allow-key", "nobody"), {
    rundir,
  });
  expect(service).toMatchObject({ code: 1, stdout: "" });
  expect(service.stderr).toContain('"nobody" is not a public key');
  expect(scratch.entries()).toEqual([]);
});

test("the help speaks of it where it is", async () => {
  const help = async (...words: string[]) =>
    (await run([...earshot(words[0] as "client", ...words.slice(1)), "--help"])).stdout;
  expect(await help("client")).toContain("--peer KEY");
  expect(await help("service", "pong")).toContain("--allow-key KEY");
  expect(await help("service", "tcpd")).not.toContain("--allow-key");
});
