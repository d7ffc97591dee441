/** What happens where the library is missing, broken or of another version: an error that says so, and what to do. */

import { expect, test } from "bun:test";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ipcLibrary } from "../../src/native/library.ts";
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

test("a library that was cut short", async () => {
  using doctored = new Doctored();
  writeFileSync(doctored.library, readFileSync(built).subarray(0, 100));
  const error = await doctored.load();
  expect(error).toMatchObject({ name: "IpcError", code: "ELIBRARY" });
  expect(error.message).toContain(advice);
});

test("a library of another ABI: both numbers", async () => {
  using doctored = new Doctored();
  cpSync(built, doctored.library);
  doctored.replace("layout.ts", "abiVersion = 1", "abiVersion = 2");
  const error = await doctored.load();
  expect(error).toMatchObject({ name: "IpcError", code: "ELIBRARY", path: doctored.library });
  expect(error.message).toContain("speaks ABI 1");
  expect(error.message).toContain("speaks 2");
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
