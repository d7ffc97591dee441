/** Files of rules: taken whole, or refused with the line that is wrong. */

import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import {
  directivesMax,
  parseRules,
  RulesError,
  readRules,
  rulesFileBytesMax,
} from "../../../src/services/ipcd/rules-file.ts";
import { Scratch } from "../../kit/scratch.ts";

function complaint(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(RulesError);
    return (error as Error).message;
  }
  return "";
}

test("a directive a line, comments and empty lines aside", () => {
  const text = [
    "# who may go where",
    "",
    "allow out pong   # anywhere",
    "  deny\tout *  ",
    "redirect audio tls://studio:9443/sound\r",
  ].join("\n");
  const { rules, redirects } = parseRules("f", text);
  expect(rules.map(({ action, service, origin }) => [action, service.text, origin])).toEqual([
    ["allow", "pong", "f:3"],
    ["deny", "*", "f:4"],
  ]);
  expect(redirects).toEqual([{ from: "audio", to: "tls://studio:9443/sound", origin: "f:5" }]);
  expect(parseRules("f", "")).toEqual({ rules: [], redirects: [] });
});

test.each([
  ["allow out pong\nforbid out pong\n", 'f:2: "forbid" is none of allow, deny and redirect'],
  ["allow out\n", 'f:1: "out" is no rule: in or out, a service'],
  ["\n\nredirect pong\n", 'f:3: "pong" is no redirect'],
  ["allowout pong", 'f:1: "allowout" is none of'],
])("%j is refused with its line", (text, why) => {
  expect(complaint(() => parseRules("f", text))).toStartWith(why);
});

describe("what is read", () => {
  test("has a limit of directives", () => {
    const full = "deny in *\n".repeat(directivesMax);
    expect(parseRules("f", full).rules).toHaveLength(directivesMax);
    expect(complaint(() => parseRules("f", `${full}redirect a b`))).toBe(
      `f:${directivesMax + 1}: more than ${directivesMax} directives`,
    );
  });

  test("is a plain file of no more bytes than allowed", () => {
    using scratch = new Scratch();
    const path = scratch.join("rules");
    writeFileSync(path, "#".repeat(rulesFileBytesMax));
    expect(readRules(path).rules).toEqual([]);
    writeFileSync(path, "#".repeat(rulesFileBytesMax + 1));
    expect(complaint(() => readRules(path))).toContain(`it has up to ${rulesFileBytesMax}`);
    mkdirSync(scratch.join("folder"));
    expect(complaint(() => readRules(scratch.join("folder")))).toEndWith("not a plain file");
    // Whoever opened it would wait for a writer.
    expect(Bun.spawnSync(["mkfifo", scratch.join("pipe")]).exitCode).toBe(0);
    expect(complaint(() => readRules(scratch.join("pipe")))).toEndWith("not a plain file");
    expect(() => readRules(scratch.join("missing"))).toThrow("ENOENT");
  });
});
