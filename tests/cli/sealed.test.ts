/** `service --keys` and `client --keys`: what is sealed by hand, and what they say to whoever has not the keys. */

import { describe, expect, test } from "bun:test";
import { formatRefusal } from "../../src/crypto/hello.ts";
import type { Handlers } from "../../src/index.ts";
import { serve } from "../../src/index.ts";
import { Command, earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
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
    if (transport === "unix") {
      const words = earshot("client", "pong");
      await using typing = new Command(words, { rundir, keyboard: true });
      typing.type("hello\n");
      expect(await typing.whenEnded()).toMatchObject({ code: 1, stdout: "" });
      expect(typing.stderr).toContain('"pong" is sealed');
    }
    await pong.complains("was turned away");
    expect(pong.stderr).toContain("refused process ");
    expect(pong.stderr).toContain("(not_allowed)");
    // Who was let in has said that he leaves.
    expect(pong.stderr).not.toContain("truncated");
    for (const words of [["hello"], []]) {
      const open = earshot("client", "pong", ...words, "--transport", transport);
      const { code, stdout, stderr } = await run(open, { rundir, input: "one\ntwo\n" });
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain(
        transport === "unix"
          ? 'client: "pong" is sealed: say who you are with --keys FILE, and whom you mean with --peer KEY; it said: '
          : "it is sealed here; connect with keys, and peer",
      );
    }
    expect((await pong.end("SIGTERM")).code).toBe(0);
    expect(scratch.entries()).toEqual([]);
  },
);

describe("an answer of a service without a seal is printed", () => {
  const refusal = formatRefusal({ code: "EPROTO", message: "this service is sealed" });
  const oneAndEnd = (answer: string): Handlers => ({
    message: (connection) => {
      connection.send(answer);
      void connection.close();
    },
  });
  const echo: Handlers["message"] = (connection, { bytes }) => void connection.send(bytes);

  test.each<[string, string, Handlers]>([
    ["that is no refusal", "{}", oneAndEnd("{}")],
    ["written otherwise than a refusal", `${refusal} `, oneAndEnd(`${refusal} `)],
    ["of another version", '{"seal":2}', oneAndEnd('{"seal":2}')],
    ["like a welcome", '{"seal":1,"message":""}', oneAndEnd('{"seal":1,"message":""}')],
    [
      "like a refusal, behind which it does not end",
      refusal,
      { message: (to) => void to.send(refusal) },
    ],
    [
      "like a refusal, behind which comes more",
      refusal,
      {
        message: (to) => {
          to.send(refusal);
          to.send("more");
          void to.close();
        },
      },
    ],
  ])("%s", async (_, answer, handlers) => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using __ = await serve("pong", handlers, { rundir });
    const ended = await run(earshot("client", "pong", "hello"), { rundir });
    expect(ended).toMatchObject({ code: 0, stdout: `${answer}\n`, stderr: "" });
  });

  test("though it is a refusal, where that is what was sent", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const message: Handlers["message"] = (connection, { bytes }) => {
      connection.send(bytes);
      void connection.close();
    };
    await using _ = await serve("once", { message }, { rundir });
    const ended = await run(earshot("client", "once", refusal), { rundir });
    expect(ended).toMatchObject({ code: 0, stdout: `${refusal}\n`, stderr: "" });
  });

  test("to each line, be it a refusal", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("pong", { message: echo }, { rundir });
    const sayIt: Handlers["message"] = (connection) => void connection.send(refusal);
    await using __ = await serve("says", { message: sayIt }, { rundir });
    const lines = (...each: string[]) => each.map((line) => `${line}\n`).join("");
    for (const [name, input, answers] of [
      ["pong", lines(refusal, "two"), lines(refusal, "two")],
      ["pong", lines("one", refusal), lines("one", refusal)],
      ["says", lines("one"), lines(refusal)],
      ["says", lines("one", "two"), lines(refusal, refusal)],
    ] as const) {
      const ended = await run(earshot("client", name), { rundir, input });
      expect(ended).toMatchObject({ code: 0, stdout: answers, stderr: "" });
    }
  });

  test("to the lines before the end that looks like one", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    let answers = ["one", refusal];
    const message: Handlers["message"] = (connection) => {
      connection.send(answers.shift()!);
      if (answers.length === 0) void connection.close();
    };
    await using _ = await serve("pong", { message }, { rundir });
    const ended = await run(earshot("client", "pong"), { rundir, input: "a\nb\n" });
    expect(ended.stdout).toBe(`one\n${refusal}\n`);
    expect(ended.stderr).not.toContain("is sealed");
    answers = [refusal, "two"];
    const other = await run(earshot("client", "pong"), { rundir, input: "a\nb\n" });
    expect(other.stdout).toBe(`${refusal}\ntwo\n`);
    expect(other.stderr).not.toContain("is sealed");
  });
});

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
