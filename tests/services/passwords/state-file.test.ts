/** A file of initial keys and values: what counts, and what is told of one that does not. */

import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { itemBytesMax } from "../../../src/services/passwords/format.ts";
import { loadState, parseState, StateError } from "../../../src/services/passwords/state-file.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Random } from "../../kit/random.ts";
import { Scratch } from "../../kit/scratch.ts";

leaveNoTrace();

const plenty = 16 * 1024 * 1024;

function read(text: string | Uint8Array, bytesMax = plenty): Record<string, string> {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  const entries = parseState("state.json", bytes, bytesMax);
  return Object.fromEntries(
    [...entries].map(([key, value]) => [
      Buffer.from(key, "latin1").toString(),
      Buffer.from(value).toString("latin1"),
    ]),
  );
}

function fault(text: string | Uint8Array, bytesMax = plenty): string {
  try {
    read(text, bytesMax);
  } catch (error) {
    if (error instanceof StateError) return error.message;
    throw error;
  }
  throw new Error(`it was taken: ${text}`);
}

test("one object, of text and of bytes in base64", () => {
  expect(read("{}")).toEqual({});
  expect(read(' {"mail":"a\\n\\u00e9","": "", "bytes": { "base64": "AP8K" } }\r\n')).toEqual({
    mail: "a\nÃ©",
    "": "",
    bytes: "\0ÿ\n",
  });
  expect(read('{"schlüssel":"x"}')).toEqual({ schlüssel: "x" });
  expect(read('{"__proto__":"x"}')).toEqual(Object.fromEntries([["__proto__", "x"]]));
});

test("what is wrong is told with its line, and without a value", () => {
  const secret = "hunter2";
  const cases: [string, string][] = [
    ["", "line 1: the file is one object"],
    ["[]", "what was found is a list"],
    [`"${secret}"`, "what was found is text"],
    [`{"a": "${secret}",\n "b": 7}`, 'line 2: the value of "b" is a number; make it text'],
    ['{"a": true}', 'the value of "a" is true'],
    ['{"a": null}', 'the value of "a" is null'],
    ['{\n"a": ["x"]}', 'line 2: the value of "a" is a list'],
    [`{"a": {"text": "${secret}"}}`, 'the value of "a" is text, or { "base64": "…" }'],
    ['{"a": {}}', 'the value of "a" is empty'],
    ['{"a": {"base64": "AP8K", "base64": "AP8K"}}', "nothing beside it"],
    ['{"a": {"base64": "AP8"}}', 'base64 of "a" is none'],
    ['{"a": {"base64": 7}}', 'base64 of "a" is no text'],
    [`{"a": "${secret}",\n\n"a": "y"}`, 'line 3: the key "a" is there twice'],
    [`{"a": "${secret}" "b": "y"}`, 'a comma or a closing brace was expected, and not "\\""'],
    [`{"a": "${secret}",}`, "a key in quotes was expected"],
    ["{a: 1}", 'a key in quotes was expected, and not "a"'],
    [`{"a" "${secret}"}`, '":" was expected'],
    [`{"a": "${secret}`, "a quote is not closed on its line"],
    [`{"a": "${secret}\n"}`, "line 1: a quote is not closed on its line"],
    [`{"a": "${secret}\\q"}`, "JSON does not allow"],
    [`{"a": "${secret}\t"}`, "JSON does not allow"],
    [`{"a": "${secret}\\ud800"}`, "half of a surrogate pair"],
    [`{"a": "${secret}"`, "and not the end of the file"],
    ['{"a": "x"} {}', 'there is "{" after the end'],
    [`{"${"k".repeat(itemBytesMax + 1)}": ""}`, `a key has ${itemBytesMax} bytes at most`],
    [`{"k": "${"v".repeat(itemBytesMax + 1)}"}`, `a value has ${itemBytesMax} bytes at most`],
  ];
  for (const [text, said] of cases) {
    const message = fault(text);
    expect(message).toStartWith("state.json, line ");
    expect(message).toContain(said);
    expect(message).not.toContain(secret);
  }
  expect(fault(Uint8Array.of(0x7b, 0xff))).toContain("state.json is not UTF-8");
  expect(fault('{"a": "x",\n"b": "y"}', 64 + 2)).toContain(
    "line 2: up to here it counts for 132 bytes, and 66 may be kept",
  );
});

test("text is what JSON says that it is, and base64 what is written in one way alone", () => {
  const random = new Random(7);
  const pieces = [
    ..."aZ09 /'é€",
    "\u{1f511}",
    "\ufeff",
    "\x7f",
    "\x1f",
    "\t",
    ...[
      '\\"',
      "\\\\",
      "\\/",
      "\\b",
      "\\f",
      "\\n",
      "\\r",
      "\\t",
      "\\v",
      "\\a",
      "\\u",
      "\\",
      "\\u12",
    ],
    ...[
      "\\u0000",
      "\\u00e9",
      "\\u20AC",
      "\\ud83d\\udd11",
      "\\uD83D",
      "\\udd11",
      "\\ufeff",
      "\\u00g0",
    ],
  ];
  let [taken, refused] = [0, 0];
  for (let round = 0; round < 5000; round += 1) {
    const text = Array.from(
      { length: random.below(5) },
      () => pieces[random.below(pieces.length)]!,
    ).join("");
    const file = `{"${text}": "${text}"}`;
    let wanted: string | undefined;
    try {
      const [[key]] = Object.entries(JSON.parse(file) as object) as [[string, string]];
      if (key.isWellFormed()) wanted = key;
    } catch {
      // It is none.
    }
    if (wanted === undefined) {
      expect(fault(file)).toMatch(/JSON does not allow|surrogate pair|not closed|expected/);
      refused += 1;
    } else {
      const bytes = Buffer.from(wanted).toString("latin1");
      expect(read(file)).toEqual(Object.fromEntries([[wanted, bytes]]));
      taken += 1;
    }
  }
  expect(Math.min(taken, refused)).toBeGreaterThan(500);
  expect(read("\ufeff{}")).toEqual({});

  for (let round = 0; round < 2000; round += 1) {
    const digits = Array.from({ length: random.below(9) }, () => "AQgw/+9=_ "[random.below(10)]!);
    const text = digits.join("");
    const file = `{"k": {"base64": "${text}"}}`;
    const found = Buffer.from(text, "base64");
    if (found.toString("base64") === text)
      expect(read(file)).toEqual({ k: found.toString("latin1") });
    else expect(fault(file)).toContain('base64 of "k" is none');
  }
});

test("a file is read whole, or not at all", async () => {
  using scratch = new Scratch();
  const path = scratch.join("state.json");
  expect(() => loadState(path, plenty)).toThrow(`${path} cannot be read: ENOENT`);
  const pipe = scratch.join("pipe");
  expect(await Bun.spawn(["mkfifo", pipe]).exited).toBe(0);
  for (const other of [scratch.path, "/dev/zero", pipe]) {
    expect(() => loadState(other, plenty)).toThrow(`${other} is not a plain file`);
  }
  writeFileSync(path, '{"mail": "secret"}\n');
  expect([...loadState(path, plenty)].map(([key, value]) => [key, value.length])).toEqual([
    ["mail", 6],
  ]);
  writeFileSync(path, " ".repeat(601));
  expect(() => loadState(path, 100)).toThrow("has 601 bytes, more than can be kept (100)");
});
