/** The examples in C: one program put together in three ways, and a pair by LibIPC's calls, all against Bun programs. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command, earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

const root = join(import.meta.dir, "..", "..");
const folder = join(root, "examples", "c");
const libraries = join(root, "zig-out", "lib");
const onMac = process.platform === "darwin";
const shared = join(libraries, `libearshot-ipc.${onMac ? "dylib" : "so"}`);
const strict = ["-std=c99", "-D_XOPEN_SOURCE=700", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];
const statically = [join(libraries, "libearshot-ipc.a")];
const dynamically = [`-L${libraries}`, "-learshot-ipc", `-Wl,-rpath,${libraries}`];

/** Where the programs are built. */
let built: Scratch;

const program = (name: string) => built.join(name);

async function compile(name: string, sources: readonly string[], ...flags: string[]) {
  const zig = join(root, "node_modules", "@zigc", "cli", "bin", "zig");
  const words = [process.execPath, zig, "cc", ...strict, `-I${join(root, "zig-out", "include")}`];
  const files = sources.map((source) => join(folder, source));
  const ended = await run([...words, ...files, ...flags, "-o", program(name)], {});
  expect({ code: ended.code, stderr: ended.stderr }).toEqual({ code: 0, stderr: "" });
}

beforeAll(async () => {
  built = new Scratch();
  await compile("ask-static", ["ask.c", "linked.c"], ...statically);
  await compile("ask-shared", ["ask.c", "linked.c"], ...dynamically);
  await compile("ask-loaded", ["ask.c", "loader.c"], ...(onMac ? [] : ["-ldl"]));
  await compile("pongd", ["pongd.c"], ...dynamically);
  await compile("pong", ["pong.c"], ...statically);
}, 120_000);

afterAll(() => built[Symbol.dispose]());
leaveNoTrace();
leaveNoCommand();

const ways: [string, () => string[]][] = [
  ["linked statically", () => [program("ask-static")]],
  ["linked dynamically", () => [program("ask-shared")]],
  ["loading the library", () => [program("ask-loaded"), "--library", shared]],
];

describe.each(ways)("a program %s", (_, words) => {
  test("asks a service of Bun's", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using service = new Command(earshot("service", "pong"), { rundir });
    await service.says("listening");
    for (const text of ["hello", "", "grüße", "x".repeat(100_000)]) {
      expect(await run([...words(), "pong", text], { rundir })).toMatchObject({
        code: 0,
        stdout: `${text}\n`,
        stderr: "",
      });
    }
  });

  test("says when there is nobody to ask", async () => {
    using scratch = new Scratch();
    const ended = await run([...words(), "nobody", "x"], { rundir: scratch.path });
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toBe("ask: cannot connect (code -22)\n");
  });

  test("says how it is used", async () => {
    const ended = await run(words().slice(0, 1), {});
    expect(ended).toMatchObject({ code: 2, stderr: "usage: ask [--library PATH] NAME TEXT\n" });
  });
});

const clients: [string, (text: string) => string[], string][] = [
  ...ways.map(([what, words]): [string, (text: string) => string[], string] => [
    what,
    (text) => [...words(), "pong", text],
    'ask: nobody serves "tcp"; start it: it leads to URI (code -35)\n',
  ]),
  ["by LibIPC's calls", (text) => [program("pong"), text], "pong: no answer (-1)\n"],
];

describe.each(clients)("where IPC_NETWORK leads, a program %s", (_, words, refused) => {
  test("follows it through ipcd, which may say no", async () => {
    using here = new Scratch();
    using there = new Scratch();
    await using pong = await startService(["pong"], { rundir: there.path });
    const listening = ["tcpd", "--listen", "127.0.0.1:0", "--allow", "pong", "--no-lookups"];
    await using far = await startService(listening, { rundir: there.path });
    const [, port] = /127\.0\.0\.1:(\d+)/.exec(far.stdout)!;
    const uri = `tcp://127.0.0.1:${port}/pong`;
    const options = { rundir: here.path, env: { IPC_NETWORK: `other unix://none; pong ${uri}` } };
    const asks = (text: string) => run(words(text), options);

    expect(await asks("x")).toMatchObject({ code: 1, stdout: "" });
    await using ipcd = await startService(["ipcd"], { rundir: here.path });
    const stderr = refused.replace("URI", uri);
    expect(await asks("x")).toMatchObject({ code: 1, stdout: "", stderr });
    await using near = await startService(["tcpd"], { rundir: here.path });
    for (const text of ["hello", "grüße", "x".repeat(50_000)]) {
      expect(await asks(text)).toMatchObject({ code: 0, stdout: `${text}\n`, stderr: "" });
    }
    const broken = { ...options, env: { IPC_NETWORK: `pong ${uri}; other` } };
    expect(await run(words("x"), broken)).toMatchObject({ code: 1, stdout: "" });
    const away = { rundir: there.path, env: { IPC_NETWORK: "other unix://none" } };
    expect(await run(words("here"), away)).toMatchObject({ code: 0, stdout: "here\n" });
    for (const each of [near, ipcd, far, pong]) expect((await each.end()).code).toBe(0);
  });
});

describe("what the loader says of", () => {
  const load = (library: string) =>
    run([program("ask-loaded"), "--library", library, "pong", "x"], {});

  /** Something with those functions, in the place of the library. */
  async function impostor(source: string): Promise<string> {
    writeFileSync(built.join("impostor.c"), source);
    const zig = join(root, "node_modules", "@zigc", "cli", "bin", "zig");
    const path = built.join("impostor.so");
    const words = [process.execPath, zig, "cc", "-shared", "-fPIC", built.join("impostor.c")];
    expect(await run([...words, "-o", path], {})).toMatchObject({ code: 0 });
    return path;
  }

  test("a library that is missing", async () => {
    const path = built.join("missing.so");
    const ended = await load(path);
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toStartWith(`ask: cannot load the library: `);
    expect(ended.stderr).toContain(path);
  });

  test("a file that is none", async () => {
    const path = built.join("text.so");
    writeFileSync(path, "not a library");
    const ended = await load(path);
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toContain(path);
  });

  test("a library of somebody else's", async () => {
    const path = await impostor("int earshot_other(void) { return 1; }");
    expect(await load(path)).toMatchObject({
      code: 1,
      stderr: `ask: ${path} is not libearshot-ipc: it has no earshot_ipc_abi\n`,
    });
  });

  test("another version", async () => {
    const path = await impostor("int earshot_ipc_abi(void) { return 99; }");
    expect(await load(path)).toMatchObject({
      code: 1,
      stderr: `ask: ${path} has ABI 99, this program needs 2\n`,
    });
  });

  test("a library that lacks a function", async () => {
    const path = await impostor("int earshot_ipc_abi(void) { return 2; }");
    expect(await load(path)).toMatchObject({
      code: 1,
      stderr: `ask: ${path} lacks earshot_ipc_run_directory\n`,
    });
  });

  test("one that is given to a program that has its own", async () => {
    const ended = await run([program("ask-static"), "--library", shared, "pong", "x"], {});
    expect(ended.stderr).toBe(
      `ask: this program has its library already; ${shared} is not looked at\n`,
    );
  });
});

describe("by LibIPC's calls", () => {
  test("a service in C answers clients of Bun's and of its own", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using service = new Command([program("pongd")], { rundir });
    await service.says("pong: listening\n");
    expect(await run(earshot("client", "pong", "hello"), { rundir })).toMatchObject({
      code: 0,
      stdout: "hello\n",
    });
    const lines = Array.from({ length: 500 }, (_, index) => `line ${index}\n`).join("");
    const long = `${"l".repeat(300_000)}\n`;
    const input = `${lines}\n${long}${lines}`;
    expect(await run(earshot("client", "pong"), { rundir, input })).toMatchObject({
      code: 0,
      stdout: input,
    });
    expect(await run([program("pong"), "from C"], { rundir })).toMatchObject({
      code: 0,
      stdout: "from C\n",
    });
    expect(await service.end("SIGTERM")).toMatchObject({ code: 0, stderr: "" });
    expect(scratch.entries()).toEqual([]);
  });

  test("a client in C asks a service of Bun's, where LibIPC's programs look for it", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using service = new Command(earshot("service", "pong"), { rundir });
    await service.says("listening");
    const env = { EARSHOT_RUNDIR: "", RUNDIR: rundir };
    expect(await run([program("pong"), "hello"], { env })).toMatchObject({
      code: 0,
      stdout: "hello\n",
      stderr: "",
    });
  });

  test("a client in C says when nobody is there", async () => {
    using scratch = new Scratch();
    expect(await run([program("pong"), "x"], { rundir: scratch.path })).toMatchObject({
      code: 1,
      stderr: "pong: no answer (-1)\n",
    });
  });
});
