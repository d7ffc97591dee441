/** ipcd as a process: what its rules do, how they are read again, and that it leaves nothing behind. */

import { describe, expect, test } from "bun:test";
import { chmodSync, chownSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "../../src/index.ts";
import { requestBytesMax } from "../../src/ipc/lookup.ts";
import { answerOf } from "../kit/asker.ts";
import { Child } from "../kit/child.ts";
import { earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { header } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();
leaveNoCommand();

const network = "pong tcp://host:1/pong; audio unix://sound";

/** Asks ipcd where a service is, and waits for the end of that connection. */
function lookUp(rundir: string, service: string, variable = network): Promise<string> {
  return answerOf("ipc", `${service};${variable}`, { rundir });
}

async function rows(rundir: string, statement: string): Promise<unknown[]> {
  const { stdout } = await run(earshot("query", "--json", statement), { rundir });
  return (JSON.parse(stdout) as { rows: unknown[] }).rows;
}

test("serves three names, and gives them up", async () => {
  using scratch = new Scratch();
  await using ipcd = await startService(["ipcd"], { rundir: scratch.path });
  expect(ipcd.stdout).toBe(`ipc: listening on ${scratch.path}/ipc\n`);
  const names = ["ipc", "ipc.in", "ipc.query"];
  expect(scratch.entries()).toEqual(names.flatMap((name) => [name, `${name}.lock`]).sort());
  expect(await ipcd.end()).toMatchObject({ code: 0, stderr: "" });
  expect(scratch.entries()).toEqual([]);
});

test("starts with all three or with none", async () => {
  using scratch = new Scratch();
  await using taker = await startService(["pong", "--name", "ipc"], { rundir: scratch.path });
  const ended = await run(earshot("service", "ipcd"), { rundir: scratch.path });
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain(`"ipc" is already served in ${scratch.path} by process`);
  expect(scratch.entries()).toEqual(["ipc", "ipc.lock", "ipc.takeover", "ipc.takeover.lock"]);
  expect((await taker.end()).code).toBe(0);
});

test("says who would have to be there to lead", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  await using _ = await startService(["ipcd"], { rundir });
  expect(await lookUp(rundir, "pong")).toBe(
    'error: nobody serves "tcp"; start it: it leads to tcp://host:1/pong',
  );
  expect(await lookUp(rundir, "audio")).toBe('error: nobody serves "sound"; start it');
  // One that is no daemon: pong sends the URI back.
  await using tcp = await startService(["pong", "--name", "tcp"], { rundir });
  expect(await lookUp(rundir, "pong")).toStartWith("error: it ");
  await tcp.end("SIGKILL");
  expect(await lookUp(rundir, "pong")).toStartWith('error: nobody serves "tcp"');
  rmSync(scratch.join("tcp.lock"));
  rmSync(scratch.join("tcp"));
});

test("tells whoever runs it of what it refuses", async () => {
  using scratch = new Scratch();
  await using ipcd = await startService(["ipcd", "--deny", "out pong"], { rundir: scratch.path });
  await lookUp(scratch.path, "pong");
  await ipcd.complains(
    `ipc: process ${process.pid} (user ${process.getuid!()}): "pong" at tcp://host:1/pong is denied by --deny "out pong"\n`,
  );
});

describe("rules", () => {
  test.each([
    [["--deny", "out pong", "--allow", "out *"], "pong", "is denied by --deny"],
    [["--allow", "out *", "--deny", "out pong"], "pong", 'nobody serves "tcp"'],
    [["--deny=out *", "--allow=out pong", "--deny=out pong"], "pong", "is denied by --deny"],
    [["--allow", "out pong", "--deny", "out *"], "audio", "is denied by --deny"],
    [["--deny", "out * tcp://*"], "audio", 'nobody serves "sound"'],
    [["--deny", "in *"], "audio", 'nobody serves "sound"'],
    [["--redirect", "pong", "other"], "pong", 'nobody serves "other"'],
    [["--redirect", "pong", "audio"], "pong", 'nobody serves "sound"'],
    [["--redirect", "tcp://host:1/pong", "ws://web"], "pong", 'nobody serves "ws"'],
    [["--redirect", "pong ws://web", "--deny", "out * ws://*"], "pong", "is denied"],
  ])("%j: %s", async (words, service, why) => {
    using scratch = new Scratch();
    await using _ = await startService(["ipcd", ...words], { rundir: scratch.path });
    const answer = await lookUp(scratch.path, service);
    expect(answer).toStartWith("error: ");
    expect(answer).toContain(why);
  });

  test.each([
    [["--allow", "pong"], '--allow: "pong" is no rule: in or out'],
    [["--redirect", "pong"], "--redirect lacks the second word of its value"],
    [["--redirect", "pong", "tcp://host"], '--redirect: "tcp://host": tcp needs a port'],
    [["--redirect", "a", "b", "c"], 'one at a time; "c" is one too many'],
  ])("%j is a usage error", async (words, complaint) => {
    using scratch = new Scratch();
    const ended = await run(earshot("service", "ipcd", ...words), { rundir: scratch.path });
    expect(ended).toMatchObject({ code: 2, stdout: "" });
    expect(ended.stderr).toStartWith(`service: ${complaint}`);
    expect(scratch.entries()).toEqual([]);
  });
});

describe("a file of rules", () => {
  test("comes after the rules of the command line", async () => {
    using scratch = new Scratch();
    const [rundir, file] = [scratch.join("run"), scratch.join("rules")];
    writeFileSync(file, "# nobody goes anywhere\ndeny out *\nredirect pong other\n");
    const words = ["ipcd", "--rules", file, "--allow", "out audio"];
    await using _ = await startService(words, { rundir });
    expect(await lookUp(rundir, "audio")).toContain('nobody serves "sound"');
    expect(await lookUp(rundir, "pong")).toBe(
      `error: "pong" at unix://other is denied by ${file}:2`,
    );
    expect(await rows(rundir, "select origin, decided from rules")).toEqual([
      { origin: '--allow "out audio"', decided: 1 },
      { origin: `${file}:2`, decided: 1 },
    ]);
    expect(await rows(rundir, "select old, new, followed from redirects")).toEqual([
      { old: "pong", new: "other", followed: 1 },
    ]);
  });

  test("is read again at SIGHUP, whole or not at all", async () => {
    using scratch = new Scratch();
    const [rundir, file] = [scratch.join("run"), scratch.join("rules")];
    writeFileSync(file, "deny out pong\n");
    await using ipcd = await startService(["ipcd", "--rules", file], { rundir });
    expect(await lookUp(rundir, "pong")).toContain(`denied by ${file}:1`);

    writeFileSync(file, "allow out pong\n\nforbid out audio\n");
    ipcd.signal("SIGHUP");
    const wrong = `${file}:3: "forbid" is none of allow, deny and redirect`;
    await ipcd.complains(`ipc: not reloaded, all stays as it was: ${wrong}\n`);
    expect(await lookUp(rundir, "pong")).toContain(`denied by ${file}:1`);

    rmSync(file);
    ipcd.signal("SIGHUP");
    await ipcd.complains("all stays as it was: ENOENT");
    expect(await lookUp(rundir, "pong")).toContain(`denied by ${file}:1`);

    writeFileSync(file, "allow out pong\n\ndeny out audio\n");
    ipcd.signal("SIGHUP");
    await ipcd.says("ipc: reloaded\n");
    expect(await lookUp(rundir, "pong")).toContain('nobody serves "tcp"');
    expect(await lookUp(rundir, "audio")).toContain(`denied by ${file}:3`);
    expect((await ipcd.end()).code).toBe(0);
  });

  test("that is wrong keeps it from starting", async () => {
    using scratch = new Scratch();
    const file = scratch.join("rules");
    const start = () =>
      run(earshot("service", "ipcd", "--rules", file), { rundir: scratch.join("run") });
    expect((await start()).stderr).toContain("no such file or directory");
    writeFileSync(file, "deny pong\n");
    const ended = await start();
    expect(ended.code).toBe(2);
    expect(ended.stderr).toStartWith(`service: ${file}:1: "pong" is no rule`);
    expect(scratch.entries()).toEqual(["rules"]);
  });
});

const stranger = 12_345;

test.if(process.getuid!() === 0)(
  "another user needs a rule, and cannot ask what it knows",
  async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const words = ["ipcd", "--users", "anyone", "--allow", "out pong"];
    await using _ = await startService(words, { rundir });
    const program = new URL("../ipc/programs/stranger.ts", import.meta.url);
    await using child = await Child.start(program, { rundir, uid: stranger });
    // Theirs to enter, and still not theirs.
    chownSync(rundir, 0, 0);
    chmodSync(rundir, 0o755);
    const say = (name: string, text: string) => child.ask<string>("say", { name, text });
    const ask = (name: string, text: string) => child.ask<string>("ask", { name, text });
    expect(await ask("ipc", `pong;${network}`)).toContain('nobody serves "tcp"');
    expect(await ask("ipc", `audio;${network}`)).toBe(
      'error: "audio" at unix://sound is denied: no rule allows it, and other users need one',
    );
    for (const name of ["ipc.query", "ipc.in"]) {
      await expect(say(name, "select 1")).rejects.toMatchObject({
        code: expect.stringMatching(/^(EACCES|ECONNRESET)$/),
      });
    }
    await child.finish();
  },
);

test("one bad client is in nobody's way", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  await using ipcd = await startService(["ipcd"], { rundir });
  using tooLong = await RawPeer.connect(scratch.join("ipc"));
  tooLong.write(header(requestBytesMax + 1));
  await tooLong.gone();
  await ipcd.complains("a lookup is one message, SERVICE;NETWORK\n");
  const garbage = Uint8Array.of(0xff, 0x3b, 0xff);
  expect(await answerOf("ipc", garbage, { rundir })).toStartWith("error: a lookup is one message");
  // Longest that may be, and nothing but entries.
  const entries = `${"pong unix://sound;".repeat(3640)}`;
  expect(await lookUp(rundir, "pong", entries)).toContain('nobody serves "sound"');
  expect((await ipcd.end()).code).toBe(0);
});

test("a daemon asks before it lets remotes in", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  const words = ["ipcd", "--allow", "in pong tcp://10.*", "--deny", "in *"];
  await using _ = await startService(words, { rundir });
  await using daemon = await connect("ipc.in", { rundir });
  expect((await daemon.request("open 1 pong tcp://10.0.0.1:5000")).text()).toBe("ok");
  expect((await daemon.request("open 2 pong tcp://11.0.0.1:5000")).text()).toContain("is denied");
  expect(
    await rows(rundir, "select direction, service, uri, daemon, pid from connections"),
  ).toEqual([
    {
      direction: "in",
      service: "pong",
      uri: "tcp://10.0.0.1:5000",
      daemon: "tcp",
      pid: process.pid,
    },
  ]);
});

test("tells its counters at SIGUSR2", async () => {
  using scratch = new Scratch();
  await using ipcd = await startService(["ipcd"], { rundir: scratch.path });
  await lookUp(scratch.path, "nosuch");
  ipcd.signal("SIGUSR2");
  await ipcd.complains("ipc: counters {");
  const [, counters] = /^ipc: counters (.*)$/m.exec(ipcd.stderr)!;
  expect(JSON.parse(counters!)).toMatchObject({ out_unclear: 1, out_allowed: 0, connections: 0 });
});
