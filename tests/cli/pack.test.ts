/** `pack`: what it writes, and where. What becomes of it is in `tests/e2e/packages.test.ts`. */

import { expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import repository from "../../package.json" with { type: "json" };
import { readBinary } from "../../src/native/binary.ts";
import { Command, earshot, leaveNoCommand, run } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();
leaveNoCommand();

const { version } = repository;
const outputs = join(import.meta.dir, "..", "..", "zig-out");

test("writes earshot and the package of a platform that may be another, and says what it wrote", async () => {
  using scratch = new Scratch();
  const out = scratch.join("new/folder");
  const words = earshot("pack", "--platform", "darwin-arm64", "--out", out);
  await using command = new Command(words);
  const { code, stdout, stderr } = await command.ended;
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: "pack: building the libraries for darwin-arm64\n",
  });
  const names = [`earshot-${version}.tgz`, `earshot-darwin-arm64-${version}.tgz`];
  const paths = names.map((name) => join(out, name));
  expect(stdout).toBe(paths.map((path) => `${path}  ${statSync(path).size}\n`).join(""));
  expect(readdirSync(out).sort()).toEqual(names.toSorted());
  expect(readdirSync(outputs).filter((name) => name.startsWith("packing-"))).toEqual([]);

  const main = await read(paths[0]!);
  const folders = new Set([...main.keys()].map((name) => name.split("/")[1]));
  expect([...folders].sort()).toEqual([
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "dist",
    "package.json",
  ]);
  expect([...main.keys()].filter((name) => /\/(cli|services)\//.test(name))).toEqual([]);

  const libraries = await read(paths[1]!);
  expect([...libraries.keys()].sort()).toEqual([
    "package/LICENSE",
    "package/README.md",
    "package/libearshot-ipc.dylib",
    "package/libearshot-ipc.js",
    "package/libearshot-memory.dylib",
    "package/libearshot-memory.js",
    "package/libearshot-seal.dylib",
    "package/libearshot-seal.js",
    "package/libearshot-zygote.dylib",
    "package/libearshot-zygote.js",
    "package/package.json",
  ]);
  const manifest = JSON.parse(await libraries.get("package/package.json")!.text());
  expect(manifest).toMatchObject({ name: "@earshot/darwin-arm64", version, os: ["darwin"] });
  expect(manifest).not.toHaveProperty("libc");
  for (const name of ["ipc", "memory", "seal", "zygote"]) {
    const library = await libraries.get(`package/libearshot-${name}.dylib`)!.bytes();
    expect(readBinary(library)).toMatchObject({ format: "Mach-O", cpu: "arm64", loadable: true });
  }
});

function read(tarball: string): Promise<Map<string, File>> {
  return new Bun.Archive(readFileSync(tarball)).files();
}

test("the repository itself is not published by accident", () => {
  expect(repository.private).toBe(true);
});

test.each([
  [["more"], '"more" is one word too many'],
  [["--platform", "vax"], '--platform: "vax" is none of this, linux-x64-gnu'],
  [["--out"], "--out"],
])("%j cannot be understood", async (words, complaint) => {
  const { code, stdout, stderr } = await run(earshot("pack", ...words));
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(complaint);
  expect(stderr).toContain("usage: pack");
});

test("a place where nothing can be written, and --help", async () => {
  const impossible = await run(earshot("pack", "--out", "/dev/null/packages"));
  expect(impossible).toMatchObject({ code: 1, stdout: "" });
  expect(impossible.stderr).toContain("/dev/null/packages");
  const { code, stdout, stderr } = await run(earshot("pack", "--help"));
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toStartWith("usage: pack [OPTIONS…]\n");
  for (const option of ["--out DIR", "--platform NAME"]) expect(stdout).toContain(option);
});
