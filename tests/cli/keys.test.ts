/** `keys`: makes a key pair in a file of one's own, and shows what others may know of it. */

import { expect, test } from "bun:test";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { loadKeys } from "../../src/crypto/key-file.ts";
import { earshot, leaveNoCommand, run } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();
leaveNoCommand();

test("saves a new pair, prints its public key, and shows the same again", async () => {
  using scratch = new Scratch();
  const path = scratch.join("my keys");
  const saved = await run(earshot("keys", "save", path));
  expect(saved).toMatchObject({ code: 0, stderr: "" });
  expect(saved.stdout).toBe(`${loadKeys(path).publicKey}\n`);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(await run(earshot("keys", "show", path))).toMatchObject({
    code: 0,
    stderr: "",
    stdout: saved.stdout,
  });
});

test("leaves alone what is there, and keeps from keys that others can read", async () => {
  using scratch = new Scratch();
  const path = scratch.join("keys");
  writeFileSync(path, "mine");
  const taken = await run(earshot("keys", "save", path));
  expect(taken).toMatchObject({ code: 1, stdout: "" });
  expect(taken.stderr).toBe(
    `keys: there is something at ${path} already, which was left alone; choose another file, or move that away\n`,
  );
  expect(readFileSync(path, "utf8")).toBe("mine");
  await run(earshot("keys", "save", `${path}2`));
  chmodSync(`${path}2`, 0o644);
  const open = await run(earshot("keys", "show", `${path}2`));
  expect(open).toMatchObject({ code: 1, stdout: "" });
  expect(open.stderr).toContain("mode 0644");
  const nowhere = await run(earshot("keys", "save", "/dev/null/keys"));
  expect(nowhere).toMatchObject({ code: 1, stdout: "" });
  expect(nowhere.stderr).toContain("/dev/null/keys");
});

test.each([
  [[], "save or show?"],
  [["make", "keys"], '"make" is neither save nor show'],
  [["save"], "which file?"],
  [["show", "one", "two"], '"two" is one word too many'],
  [["show", "--secret", "one"], "--secret"],
])("%j cannot be understood", async (words, complaint) => {
  const { code, stdout, stderr } = await run(earshot("keys", ...words));
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(complaint);
  expect(stderr).toContain("usage: keys save FILE | show FILE");
});

test("--help", async () => {
  const { code, stdout, stderr } = await run(earshot("keys", "--help"));
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toStartWith("usage: keys save FILE | show FILE | --help\n");
});
