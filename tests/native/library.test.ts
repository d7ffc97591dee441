/** What happens where the library is missing, broken or of another version: an error that says so, and what to do. */

import { expect, test } from "bun:test";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ipcLibrary, sealLibrary } from "../../src/native/library.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();

const root = join(import.meta.dir, "..", "..");
const built = ipcLibrary().path;

/** A copy of the native side, whose library is anything. */
class Doctored extends Scratch {
  readonly library = this.join(built.slice(root.length + 1));

  constructor() {
    super();
    cpSync(join(root, "src", "native"), this.join("src/native"), { recursive: true });
    mkdirSync(join(this.library, ".."), { recursive: true });
  }

  replace(file: string, from: string, to: string): void {
    const path = this.join(`src/native/${file}`);
    const text = readFileSync(path, "utf8");
    expect(text).toContain(from);
    writeFileSync(path, text.replace(from, to));
  }

  /** What loading it comes to, in a process of its own. */
  async load(): Promise<{ name: string; code: string; path: string; message: string }> {
    const probe = `
      import { ipcLibrary } from ${JSON.stringify(this.join("src/native/library.ts"))};
      try {
        ipcLibrary();
        console.log(JSON.stringify({ code: "loaded" }));
      } catch (error) {
        const { name, code, path, message } = error;
        console.log(JSON.stringify({ name, code, path, message }));
      }`;
    const process = Bun.spawn({ cmd: [globalThis.process.execPath, "-e", probe], stdout: "pipe" });
    const text = await new Response(process.stdout).text();
    expect(await process.exited).toBe(0);
    return JSON.parse(text);
  }
}

const advice = "bun run build";

test("a good copy loads", async () => {
  using doctored = new Doctored();
  cpSync(built, doctored.library);
  expect(await doctored.load()).toMatchObject({ code: "loaded" });
});

test("a missing library: which, and how to build it", async () => {
  using doctored = new Doctored();
  const error = await doctored.load();
  expect(error).toMatchObject({ name: "IpcError", code: "ELIBRARY", path: doctored.library });
  expect(error.message).toContain(doctored.library);
  expect(error.message).toContain(advice);
});

for (const [what, content] of [
  ["an empty file", ""],
  ["a file of something else", "#!/bin/sh\necho pong\n"],
] as const) {
  test(`${what} in the library's place`, async () => {
    using doctored = new Doctored();
    writeFileSync(doctored.library, content);
    const error = await doctored.load();
    expect(error).toMatchObject({ name: "IpcError", code: "ELIBRARY", path: doctored.library });
    expect(error.message).toContain(advice);
  });
}

// Within the headers, at the ends of pages, and with nothing missing but the last byte.
const whole = readFileSync(built);
test.each([
  1,
  100,
  4095,
  4096,
  4097,
  Math.floor(whole.length / 2),
  whole.length - (whole.length % 4096),
  whole.length - 1,
])("a library that was cut short to %d bytes", async (length) => {
  using doctored = new Doctored();
  writeFileSync(doctored.library, whole.subarray(0, length));
  const error = await doctored.load();
  expect(error).toMatchObject({ name: "IpcError", code: "ELIBRARY", path: doctored.library });
  expect(error.message).toContain(`it has ${length} bytes`);
  expect(error.message).toContain(advice);
});

const isElf = process.platform !== "darwin";

test.skipIf(!isElf)("a library for another processor: which, and which is needed", async () => {
  using doctored = new Doctored();
  const foreign = Buffer.from(whole);
  const [machine, cpu] = process.arch === "arm64" ? [62, "x64"] : [183, "arm64"];
  foreign.writeUInt16LE(machine as number, 18);
  writeFileSync(doctored.library, foreign);
  const error = await doctored.load();
  expect(error).toMatchObject({ name: "IpcError", code: "ELIBRARY", path: doctored.library });
  expect(error.message).toContain(`is built for ${cpu}, and this process runs on ${process.arch}`);
  expect(error.message).toContain(advice);
});

// Musl's name is the shorter one, and so fits in the place of the other.
const needsGlibc = isElf && whole.includes("libc.so.6\0");

test.skipIf(!needsGlibc)("a library for another libc: both", async () => {
  using doctored = new Doctored();
  const foreign = Buffer.from(whole);
  foreign.write("libc.so\0", foreign.indexOf("libc.so.6\0"));
  writeFileSync(doctored.library, foreign);
  const error = await doctored.load();
  expect(error).toMatchObject({ name: "IpcError", code: "ELIBRARY", path: doctored.library });
  expect(error.message).toContain("is built for musl's libc, and this process runs on glibc's");
  expect(error.message).toContain(advice);
});

test("a folder in the library's place", async () => {
  using doctored = new Doctored();
  mkdirSync(doctored.library);
  const error = await doctored.load();
  expect(error).toMatchObject({ name: "IpcError", code: "ELIBRARY", path: doctored.library });
  expect(error.message).toContain("could not be read");
});

test.skipIf(process.platform !== "linux")("a library of somebody else's", async () => {
  using doctored = new Doctored();
  const maps = readFileSync("/proc/self/maps", "utf8");
  const [other] = /\/\S*\/(libc\.so\.6|ld-musl-\S*)$/m.exec(maps)!;
  cpSync(other, doctored.library, { dereference: true });
  const error = await doctored.load();
  expect(error).toMatchObject({ name: "IpcError", code: "ELIBRARY", path: doctored.library });
  expect(error.message).toContain("earshot_ipc_abi");
});

// Ours is 1: one of the two is newer, the other older.
test.each([1, 3])("a library of another ABI than %d: both numbers", async (wanted) => {
  using doctored = new Doctored();
  cpSync(built, doctored.library);
  doctored.replace("layout.ts", "abiVersion = 2", `abiVersion = ${wanted}`);
  // It lacks a function, too, as such a one may; but that is not what is wrong with it.
  doctored.replace("symbols.ts", "earshot_ipc_flush:", "earshot_ipc_flush_twice:");
  const error = await doctored.load();
  expect(error).toMatchObject({ name: "IpcError", code: "ELIBRARY", path: doctored.library });
  expect(error.message).toContain("speaks ABI 2");
  expect(error.message).toContain(`speaks ${wanted}`);
  expect(error.message).toContain(advice);
});

test("a library that lacks a function: which", async () => {
  using doctored = new Doctored();
  cpSync(built, doctored.library);
  doctored.replace("symbols.ts", "earshot_ipc_flush:", "earshot_ipc_flush_twice:");
  const error = await doctored.load();
  expect(error).toMatchObject({ name: "IpcError", code: "ELIBRARY", path: doctored.library });
  expect(error.message).toContain("earshot_ipc_flush_twice");
  expect(error.message).toContain(advice);
});

test("it is opened once, however often it is asked for", () => {
  expect(ipcLibrary()).toBe(ipcLibrary());
});

test("nothing is loaded by merely importing it", async () => {
  using doctored = new Doctored();
  const importing = `await import(${JSON.stringify(doctored.join("src/native/library.ts"))})`;
  expect(await Bun.spawn({ cmd: [process.execPath, "-e", importing] }).exited).toBe(0);
});

/** What a process has mapped of the libraries after it has asked for some of them. */
async function mapped(...asked: string[]): Promise<string[]> {
  const path = JSON.stringify(join(root, "src/native/library.ts"));
  const probe = `
    import * as libraries from ${path};
    for (const name of ${JSON.stringify(asked)}) libraries[name]().calls;
    const maps = require("node:fs").readFileSync("/proc/self/maps", "utf8");
    const found = new Set([...maps.matchAll(/libearshot-\\w+/g)].map(([name]) => name));
    console.log(JSON.stringify([...found].sort()));`;
  const process = Bun.spawn({ cmd: [globalThis.process.execPath, "-e", probe], stdout: "pipe" });
  const text = await new Response(process.stdout).text();
  expect(await process.exited).toBe(0);
  return JSON.parse(text);
}

test.skipIf(process.platform !== "linux")(
  "each library is mapped when it is asked for",
  async () => {
    expect(await mapped()).toEqual([]);
    expect(await mapped("ipcLibrary")).toEqual(["libearshot-ipc"]);
    expect(await mapped("sealLibrary")).toEqual(["libearshot-seal"]);
  },
);

test("a library that seals is told apart from one that does not", async () => {
  using doctored = new Doctored();
  const sealing = sealLibrary().path;
  cpSync(sealing, doctored.library);
  const error = await doctored.load();
  expect(error).toMatchObject({ name: "IpcError", code: "ELIBRARY", path: doctored.library });
  expect(error.message).toContain("earshot_ipc_abi");
});
