/**
 * Bad run directories and bad names, given to each command: one clear line, a status that is not 0, and nothing made
 * or taken away.
 */

import { describe, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();
leaveNoCommand();

type Name = "service" | "client" | "list";
const commands: readonly (readonly [Name, ...string[]])[] = [
  ["service", "pong"],
  ["client", "pong", "hello"],
  ["list"],
];
const isRoot = process.getuid!() === 0;
if (!isRoot)
  console.warn("places.test.ts leaves out another user's directory: only root can make one");
/** Whom nobody is. */
const stranger = 54_321;

/** Each command fails there with 1 and one line that holds `text`. */
async function expectRefused(rundir: string, text: string, words = commands): Promise<void> {
  for (const [name, ...rest] of words) {
    const { code, stdout, stderr } = await run(earshot(name, ...rest), { rundir });
    expect({ name, code, stdout }).toEqual({ name, code: 1, stdout: "" });
    expect(stderr).toStartWith(`${name}: `);
    expect(stderr).toContain(text);
    expect(stderr).toMatch(/^[^\p{Cc}]+\n$/u);
  }
}

describe("a run directory", () => {
  test("that is a link is refused", async () => {
    using scratch = new Scratch();
    mkdirSync(scratch.join("real"), { mode: 0o700 });
    symlinkSync(scratch.join("real"), scratch.join("link"));
    symlinkSync(scratch.join("nowhere"), scratch.join("dangling"));
    await expectRefused(scratch.join("link"), `${scratch.join("link")} is a link`);
    await expectRefused(`${scratch.join("link")}/`, "is a link");
    await expectRefused(scratch.join("dangling"), "is a link");
    expect(scratch.entries()).toEqual(["dangling", "link", "real"]);
    expect(scratch.entries("real")).toEqual([]);
  });

  test.if(isRoot)("that is another user's is refused", async () => {
    using scratch = new Scratch();
    mkdirSync(scratch.join("theirs"), { mode: 0o700 });
    chownSync(scratch.join("theirs"), stranger, stranger);
    await expectRefused(scratch.join("theirs"), `belongs to user ${stranger}`);
    expect(scratch.entries("theirs")).toEqual([]);
  });

  test.each([0o777, 0o770, 0o1777])("that others can write (mode %o) is refused", async (mode) => {
    using scratch = new Scratch();
    mkdirSync(scratch.join("open"));
    chmodSync(scratch.join("open"), mode);
    await expectRefused(
      scratch.join("open"),
      `can be written by others (mode ${mode.toString(8)}), who could replace every service in it`,
    );
    expect(scratch.entries("open")).toEqual([]);
  });

  test("that is a plain file is refused, and left alone", async () => {
    using scratch = new Scratch();
    writeFileSync(scratch.join("file"), "mine");
    await expectRefused(scratch.join("file"), "is not a directory");
    expect(readFileSync(scratch.join("file"), "utf8")).toBe("mine");
  });

  test("that lies nowhere is not made, only its last part would be", async () => {
    using scratch = new Scratch();
    const rundir = scratch.join("a/b");
    await expectRefused(rundir, "the directory it should lie in is missing", [["service", "pong"]]);
    expect(scratch.entries()).toEqual([]);
  });

  test("whose sockets would have too long a path is refused", async () => {
    using scratch = new Scratch();
    const rundir = scratch.join("d".repeat(200));
    const text =
      "more than a socket address holds; choose a shorter run directory (EARSHOT_RUNDIR)";
    await expectRefused(rundir, text);
    expect(scratch.entries()).toEqual([]);
  });

  test("that leaves too little room for the name is refused", async () => {
    using scratch = new Scratch();
    const rundir = scratch.join("d".repeat(100 - scratch.path.length));
    const name = "n".repeat(40);
    await expectRefused(
      rundir,
      `has ${rundir.length + 1 + name.length} bytes, more than a socket`,
      [["service", "pong", "--name", name]],
    );
    mkdirSync(rundir, { mode: 0o700, recursive: true });
    await expectRefused(rundir, "more than a socket address holds", [["client", name, "hello"]]);
  });

  test("may be one that others use too, if that is asked for", async () => {
    using scratch = new Scratch();
    mkdirSync(scratch.join("shared"));
    chmodSync(scratch.join("shared"), 0o1777);
    const rundir = scratch.join("shared");
    await expectRefused(rundir, "or ask for a shared one");
    await using service = await startService(["pong", "--shared"], { rundir });
    await expectRefused(rundir, "or ask for a shared one");
    const answer = await run(earshot("client", "pong", "hello", "--shared"), { rundir });
    expect(answer).toMatchObject({ code: 0, stdout: "hello\n" });
    const { stdout } = await run(earshot("list", "--shared", "--json"), { rundir });
    expect(JSON.parse(stdout).services).toMatchObject([{ name: "pong", pid: service.pid }]);
    expect((await service.end()).code).toBe(0);
    expect(scratch.entries("shared")).toEqual([]);
  });
});

describe("a name", () => {
  test.each([
    ["a/b", "it holds something other than letters, digits, '.', '_' and '-'"],
    ["/etc/passwd", "it holds something other than letters"],
    ["..", "it starts with a dot"],
    ["../pong", "it starts with a dot"],
    [".", "it starts with a dot"],
    ["", "it is empty"],
    ["n".repeat(300), "it is longer than 64 bytes"],
    ["two words", "it holds something other than letters"],
    ["ünïcode", "it holds something other than letters"],
    ["pong.lock", "it ends in .lock, which is reserved"],
  ])("%j leaves nothing behind", async (name, text) => {
    using scratch = new Scratch();
    mkdirSync(scratch.join("run"), { mode: 0o700 });
    await expectRefused(scratch.join("run"), `"${name}" is not a name: ${text}`, [
      ["service", "pong", "--name", name],
      ["client", name, "hello"],
    ]);
    expect(scratch.entries()).toEqual(["run"]);
    expect(scratch.entries("run")).toEqual([]);
  });

  test("with a line break or an escape still makes one plain line", async () => {
    using scratch = new Scratch();
    const name = "a\nb\u001b[31m";
    await expectRefused(scratch.path, '[31m" is not a name', [
      ["service", "pong", "--name", name],
      ["client", name, "hello"],
    ]);
    await expectRefused(
      `${scratch.join(name)}/run`,
      String.raw`a\x0ab\x1b[31m/run cannot be made`,
      [["service", "pong"]],
    );
  });

  // No argument of a program can hold a zero byte, but a call can.
  test("with a zero byte is refused", async () => {
    using scratch = new Scratch();
    const program = `
      import { connect, serve } from "./src/index.ts";
      for (const use of [serve, connect]) {
        await use("po\\0ng", {}).catch(({ code, message }) => console.log(code, message));
      }`;
    const ended = await run([process.execPath, "-e", program], { rundir: scratch.path });
    expect(ended).toMatchObject({ code: 0, stderr: "" });
    expect(ended.stdout.match(/^ENAME ENAME: .* is not a name: it holds something/gm)).toHaveLength(
      2,
    );
    expect(scratch.entries()).toEqual([]);
  });
});

describe("what is in the place of a service", () => {
  test("and no socket is left alone", async () => {
    using scratch = new Scratch();
    writeFileSync(scratch.join("pong"), "mine");
    await expectRefused(scratch.path, "something that is not a socket is in the place of", [
      ["service", "pong"],
    ]);
    await expectRefused(scratch.path, "", [["client", "pong", "hello"]]);
    expect(await run(earshot("list"), { rundir: scratch.path })).toMatchObject({
      code: 0,
      stdout: "",
    });
    expect(readFileSync(scratch.join("pong"), "utf8")).toBe("mine");
  });

  test("and a folder, or a link, is left alone", async () => {
    using scratch = new Scratch();
    mkdirSync(scratch.join("pong"));
    symlinkSync("/etc/passwd", scratch.join("hello"));
    const words: typeof commands = [
      ["service", "pong"],
      ["service", "hello"],
    ];
    await expectRefused(scratch.path, "it was left alone: move it away", words);
    expect(scratch.entries().filter((name) => !name.endsWith(".lock"))).toEqual(["hello", "pong"]);
  });

  test("served by a stranger is not taken away", async () => {
    using scratch = new Scratch();
    const there = Bun.listen({ unix: scratch.join("pong"), socket: { data: () => undefined } });
    try {
      await expectRefused(
        scratch.path,
        `already served in ${scratch.path} by process ${process.pid}`,
        [["service", "pong"]],
      );
      expect(scratch.entries()).toContain("pong");
    } finally {
      there.stop(true);
    }
  });
});
