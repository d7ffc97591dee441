/** The programs and commands of the README, as they stand there. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "./kit/command.ts";
import { leaveNoCommand, run, Command as Started } from "./kit/command.ts";
import { commandsOfReadme, programs, writePrograms } from "./kit/readme.ts";
import { Scratch } from "./kit/scratch.ts";

const root = join(import.meta.dir, "..");

// Each npm takes its time; what is waited for in vain says so itself.
setDefaultTimeout(120_000);

/** A user's folder, in which earshot is installed. */
let folder: Scratch;

beforeAll(() => {
  folder = new Scratch();
  mkdirSync(folder.join("node_modules"));
  symlinkSync(root, folder.join("node_modules/earshot"));
  writePrograms(folder.path);
});

afterAll(() => folder[Symbol.dispose]());
leaveNoCommand();

test("the README has a program for each side, and one for the loop", () => {
  expect(Object.keys(programs)).toEqual(["pong.ts", "hello.ts", "loop.ts"]);
});

async function startPong(words: string[], rundir: string): Promise<Command> {
  const pong = new Started(words, { rundir });
  await pong.says("pong: listening on ");
  return pong;
}

describe("the README's programs", () => {
  test.each(["hello.ts", "loop.ts"])("pong.ts answers %s", async (program) => {
    using scratch = new Scratch();
    await using pong = await startPong([process.execPath, folder.join("pong.ts")], scratch.path);
    const client = await run([process.execPath, folder.join(program)], { rundir: scratch.path });
    expect(client).toMatchObject({ code: 0, stdout: "hello\n", stderr: "" });
    await pong.end("SIGKILL");
  });
});

describe("the README's commands", () => {
  // What installs the toolchain is run by whoever runs the tests, before; what installs the package, by another test.
  const hasNpm = Bun.which("npm") !== null;
  const lines = commandsOfReadme
    .filter((line) => !/^(bun add|npm install) earshot$/.test(line))
    .map((line) => line.replace(/^npm install && /, ""))
    .map((line) => (hasNpm ? line : line.replace(/\bnpm /g, "bun ").replace(" -- ", " ")));
  const commands = lines.map((line) => line.split(" "));
  const [service, client, list, everything, takeover] = commands;

  test("are those that are tried here", () => {
    expect(lines.map((line) => line.replace(/\b(npm|bun) /g, "").replace(" -- ", " "))).toEqual([
      "run service pong",
      "run client pong hello",
      "run list",
      "test",
      "run service pong --takeover",
      "run service pong",
      "run service tcpd --listen 127.0.0.1:9900 --allow pong",
      "run service ipcd",
      "run service tcpd",
      'IPC_NETWORK="pong tcp://127.0.0.1:9900/pong" run client pong hello',
      'run query "select service, uri, daemon from connections"',
      "run keys save ~/pong.keys",
      "run keys save ~/my.keys",
      'run service pong --keys ~/pong.keys --allow-key="$(run --silent keys show ~/my.keys)"',
      'run client pong hello --keys ~/my.keys --peer="$(run --silent keys show ~/pong.keys)"',
    ]);
    expect(everything).toBeDefined();
  });

  test("reach a service on another machine, which another run directory stands for", async () => {
    using there = new Scratch();
    using here = new Scratch();
    // Somebody may have the port.
    const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
    const { port } = probe;
    probe.stop(true);
    const [pongLine, tcpdLine, ipcdLine, tcpdHereLine, clientLine, queryLine] = lines
      .slice(5)
      .map((line) => line.replace("9900", `${port}`));
    const start = async (line: string, rundir: string) => {
      const started = new Started(line.split(" "), { rundir });
      await started.says(": listening on ");
      return started;
    };
    await using pong = await start(pongLine!, there.path);
    await using tcpdThere = await start(tcpdLine!, there.path);
    await using ipcd = await start(ipcdLine!, here.path);
    await using tcpdHere = await start(tcpdHereLine!, here.path);
    const inShell = (line: string) => run(["sh", "-c", line], { rundir: here.path });
    const answered = await inShell(clientLine!);
    expect(answered).toMatchObject({ code: 0 });
    expect(answered.stdout.trimEnd().split("\n").at(-1)).toBe("hello");
    expect((await inShell(queryLine!)).stdout).toContain("service");
    for (const each of [tcpdHere, ipcd, tcpdThere, pong]) await each.end("SIGTERM");
    expect([...here.entries(), ...there.entries()]).toEqual([]);
  });

  test("seal a service, and speak to it", async () => {
    using scratch = new Scratch();
    using home = new Scratch();
    const [savePong, saveMine, serviceLine, clientLine] = lines.slice(11);
    const options = { rundir: scratch.path, env: { HOME: home.path } };
    for (const line of [savePong!, saveMine!]) {
      expect(await run(["sh", "-c", line], options)).toMatchObject({ code: 0 });
    }
    // So that a signal to the shell reaches what it started.
    await using pong = new Started(["sh", "-c", `exec ${serviceLine!}`], options);
    await pong.says("pong: listening on ");
    const answered = await run(["sh", "-c", clientLine!], options);
    expect(answered).toMatchObject({ code: 0 });
    expect(answered.stdout.trimEnd().split("\n").at(-1)).toBe("hello");
    const stranger = await run(client!, options);
    expect(stranger).toMatchObject({ code: 1 });
    expect(stranger.stderr).toContain('"pong" is sealed');
    await pong.end("SIGTERM");
    expect(scratch.entries()).toEqual([]);
  });

  test("start a service, speak to it and list it", async () => {
    using scratch = new Scratch();
    await using pong = await startPong(service!, scratch.path);
    const answered = await run(client!, { rundir: scratch.path });
    expect(answered).toMatchObject({ code: 0 });
    expect(answered.stdout.trimEnd().split("\n").at(-1)).toBe("hello");
    const listed = await run(list!, { rundir: scratch.path });
    expect(listed.stdout).toContain(`live`);
    expect(listed.stdout).toContain(scratch.join("pong"));
    await pong.end("SIGTERM");
    expect(scratch.entries()).toEqual([]);
  });

  test("take it over", async () => {
    using scratch = new Scratch();
    await using pong = await startPong(service!, scratch.path);
    await using next = await startPong(takeover!, scratch.path);
    expect((await pong.whenEnded()).code).toBe(0);
    const answered = await run(client!, { rundir: scratch.path });
    expect(answered.stdout.trimEnd().split("\n").at(-1)).toBe("hello");
    await next.end("SIGTERM");
    expect(scratch.entries()).toEqual([]);
  });
});
