/** The programs and commands of the README, as they stand there. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "./kit/command.ts";
import { leaveNoCommand, run, Command as Started } from "./kit/command.ts";
import { commandsOfReadme, programs, writePrograms } from "./kit/readme.ts";
import { Scratch } from "./kit/scratch.ts";

const root = join(import.meta.dir, "..");

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
  const commands = commandsOfReadme
    .filter((line) => !/^(bun add|npm install) earshot$/.test(line))
    .map((line) => line.replace(/^npm install && /, "").split(" "))
    .map((words) => (Bun.which("npm") === null ? ["bun", ...words.slice(1)] : words));
  const [service, client, list, everything, takeover] = commands;

  test("are those that are tried here", () => {
    expect(commands.map((words) => words.slice(1).join(" "))).toEqual([
      "run service pong",
      "run client pong hello",
      "run list",
      "test",
      "run service pong -- --takeover",
    ]);
    expect(everything).toBeDefined();
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
