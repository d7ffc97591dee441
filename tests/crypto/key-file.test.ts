/** Key pairs in files: written for their owner alone, and read only if it stayed so. */

import { expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { loadKeys, saveKeys } from "../../src/crypto/key-file.ts";
import { keyPair } from "../../src/crypto/key-pair.ts";
import { keyText } from "../../src/crypto/public-key.ts";
import { IpcError } from "../../src/native/errors.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();

function failureOf(act: () => unknown): IpcError {
  try {
    act();
  } catch (error) {
    if (error instanceof IpcError) return error;
    throw error;
  }
  throw new Error("it threw nothing");
}

test("what is saved is loaded again, and nobody else can read it, whatever the mask", () => {
  using scratch = new Scratch();
  const path = scratch.join("keys");
  const keys = keyPair();
  for (const [index, mask] of [0, 0o777].entries()) {
    const before = process.umask(mask);
    try {
      saveKeys(`${path}${index}`, keys);
    } finally {
      process.umask(before);
    }
    expect(statSync(`${path}${index}`).mode & 0o777).toBe(0o600);
    const found = loadKeys(`${path}${index}`);
    expect(found.publicKey).toBe(keys.publicKey);
    expect(found.secretKey).toEqual(keys.secretKey);
  }
  expect(JSON.parse(readFileSync(`${path}0`, "utf8"))).toEqual({
    schema: 1,
    publicKey: keys.publicKey,
    secretKey: keyText(keys.secretKey),
  });
});

test("nothing is overwritten, and no link is followed", () => {
  using scratch = new Scratch();
  writeFileSync(scratch.join("file"), "mine");
  symlinkSync(scratch.join("elsewhere"), scratch.join("link"));
  mkdirSync(scratch.join("folder"));
  for (const name of ["file", "link", "folder"]) {
    const path = scratch.join(name);
    const error = failureOf(() => saveKeys(path, keyPair()));
    expect(error).toMatchObject({ code: "EEXIST", path });
    expect(error.message).toContain(path);
  }
  expect(readFileSync(scratch.join("file"), "utf8")).toBe("mine");
  expect(scratch.entries()).toEqual(["file", "folder", "link"]);
});

test("a file that others can read or write is refused, with its mode and what to do", () => {
  using scratch = new Scratch();
  const path = scratch.join("keys");
  saveKeys(path, keyPair());
  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o610, 0o644]) {
    chmodSync(path, mode);
    const error = failureOf(() => loadKeys(path));
    expect(error).toMatchObject({ code: "EKEY", path });
    expect(error.message).toContain(`mode 0${mode.toString(8)}`);
    expect(error.message).toContain("chmod 0600");
  }
  chmodSync(path, 0o400);
  expect(loadKeys(path).publicKey).toHaveLength(43);
});

test("links, folders, pipes, and what is not there", async () => {
  using scratch = new Scratch();
  saveKeys(scratch.join("keys"), keyPair());
  symlinkSync(scratch.join("keys"), scratch.join("link"));
  mkdirSync(scratch.join("folder"));
  expect(await Bun.spawn(["mkfifo", scratch.join("pipe")]).exited).toBe(0);
  const told = (name: string) => failureOf(() => loadKeys(scratch.join(name)));
  expect(told("link").message).toContain("is a link");
  expect(told("folder").message).toContain("is not a plain file");
  expect(told("pipe").message).toContain("is not a plain file");
  expect(told("missing")).toMatchObject({ code: "ENOENT" });
  expect(told("missing").message).toContain("keys save FILE");
  // Another name of the same file gives away nothing.
  linkSync(scratch.join("keys"), scratch.join("other"));
  expect(loadKeys(scratch.join("other")).publicKey).toHaveLength(43);
});

test("what holds no keys is told, and none of what it holds", () => {
  using scratch = new Scratch();
  const path = scratch.join("keys");
  const { publicKey, secretKey } = keyPair();
  const secret = keyText(secretKey);
  const cases: [string, string][] = [
    ["", "holds no JSON"],
    [secret, "holds no JSON"],
    ["null", "holds no keys"],
    ['"text"', "holds no keys"],
    ["{}", "is of format undefined"],
    [JSON.stringify({ schema: 2, publicKey, secretKey: secret }), "is of format 2"],
    [JSON.stringify({ schema: 1, publicKey }), "holds no secret key"],
    [JSON.stringify({ schema: 1, publicKey, secretKey: `${secret}x` }), "holds no secret key"],
    [JSON.stringify({ schema: 1, publicKey, secretKey: 7 }), "holds no secret key"],
    [
      JSON.stringify({ schema: 1, publicKey: keyPair().publicKey, secretKey: secret }),
      "is not that of its secret key",
    ],
    [JSON.stringify({ schema: 1, secretKey: secret }), "is not that of its secret key"],
    [" ".repeat(5000), "is longer than 4096 bytes"],
  ];
  for (const [text, fault] of cases) {
    writeFileSync(path, text, { mode: 0o600 });
    const error = failureOf(() => loadKeys(path));
    expect(error).toMatchObject({ code: "EKEY", path });
    expect(error.message).toContain(fault);
    expect(error.message).not.toContain(secret);
  }
});

test.skipIf(process.getuid!() !== 0)("a file of another user is refused", () => {
  using scratch = new Scratch();
  const path = scratch.join("keys");
  saveKeys(path, keyPair());
  chownSync(path, 1234, -1);
  expect(failureOf(() => loadKeys(path)).message).toContain("belongs to user 1234");
});
