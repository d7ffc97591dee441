/** `errors.ts` against the library's codes, and what becomes of each of them. */

import { describe, expect, test } from "bun:test";
import type { CodeName } from "../../src/native/errors.ts";
import { codes, errorOf, IpcError } from "../../src/native/errors.ts";
import { nameFaults, syscalls } from "../../src/native/layout.ts";
import { ipcLibrary, memoryLibrary, sealLibrary, zygoteLibrary } from "../../src/native/library.ts";
import { memoryCodes, memoryErrorOf } from "../../src/native/memory-errors.ts";
import { sealCodes, sealErrorOf } from "../../src/native/seal-errors.ts";
import { zygoteCodes, zygoteErrorOf } from "../../src/native/zygote-errors.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";

leaveNoTrace();

const manifest = ipcLibrary().manifest();
const subject = { service: "pong", path: "/run/earshot" };
const silence = { errno: 0, syscall: 0, detail: 0 };
const failures = Object.entries(codes).filter(([name]) => name !== "ok");

test("both sides know the same codes by the same numbers", () => {
  const numbers = Object.entries(codes).map(([name, { number }]) => [name, number]);
  expect(Object.fromEntries(numbers)).toEqual(manifest.enums["Code"]!);
});

test("no two codes have the same number", () => {
  const numbers = Object.values(codes).map(({ number }) => number);
  expect(new Set<number>(numbers).size).toBe(numbers.length);
});

describe("every code becomes an error", () => {
  for (const [name, { number, code }] of failures) {
    test(`${name}: ${code}, with a text that begins with it and says more`, () => {
      const error = errorOf(number, silence, subject);
      expect(error).toBeInstanceOf(IpcError);
      expect(error.code).toBe(code as typeof error.code);
      expect(error.message).toStartWith(`${code}: `);
      expect(error.message.length).toBeGreaterThan(`${code}: `.length + 10);
      expect(error.message).not.toContain("undefined");
      expect(error.message).not.toContain("NaN");
      expect(errorOf(number, silence).message).not.toContain("undefined");
    });
  }

  test("and no two of them have the same text", () => {
    const texts = failures.map(([, { number }]) => errorOf(number, silence, subject).message);
    expect(new Set(texts).size).toBe(texts.length);
  });
});

/** Those that can come from `serve` and `connect`, and so have to say whom they are about. */
const aboutTheService: CodeName[] = [
  "name_invalid",
  "path_too_long",
  "service_missing",
  "service_gone",
  "service_busy",
  "service_foreign",
  "already_served",
  "path_taken",
  "permission",
  "directory_missing",
  "socket_owner",
  "lock_not_file",
  "lock_owner",
  "lock_foreign",
];

test("what is wrong with a service is said with its name", () => {
  for (const name of aboutTheService) {
    expect(errorOf(codes[name].number, silence, subject).message).toContain('"pong"');
  }
});

test("what is wrong with the run directory is said with its path", () => {
  for (const [name, { number }] of failures) {
    if (!/^(directory|not_directory|parent)/.test(name)) continue;
    expect(errorOf(number, silence, subject).message).toContain(subject.path);
  }
});

test("what is wrong with a name is said with the rule that it breaks", () => {
  const texts = nameFaults.map(
    (_, detail) => errorOf(codes.name_invalid.number, { ...silence, detail }, subject).message,
  );
  expect(new Set(texts).size).toBe(nameFaults.length);
  expect(texts[nameFaults.indexOf("too_long")]).toContain(
    `${manifest.constants["name_bytes_max"]} bytes`,
  );
});

test("a name that could play tricks on a terminal is shown, not printed", () => {
  const error = errorOf(codes.name_invalid.number, silence, { service: "a\0b\n\u001b[2Jc" });
  expect(error.message).toContain('"a\\u0000b\\n\\u001b[2Jc"');
});

test("an error carries the system's own number and call, as Node's errors do", () => {
  const error = errorOf(
    codes.unexpected.number,
    { errno: 9, syscall: syscalls.indexOf("epoll_ctl"), detail: 0 },
    subject,
  );
  expect(error).toMatchObject({
    name: "IpcError",
    code: "EUNKNOWN",
    errno: -9,
    syscall: "epoll_ctl",
    service: "pong",
    path: "/run/earshot",
  });
  expect(error.message).toContain("errno 9 in epoll_ctl");
});

test("a result that nobody knows is an error all the same", () => {
  expect(errorOf(-12345, silence)).toMatchObject({ code: "EUNKNOWN" });
});

const others = [
  ["libearshot-seal", sealCodes, sealErrorOf, sealLibrary],
  ["libearshot-memory", memoryCodes, memoryErrorOf, memoryLibrary],
  ["libearshot-zygote", zygoteCodes, zygoteErrorOf, zygoteLibrary],
] as const;

describe.each(others)("%s", (_, known, errorFor, library) => {
  const failures = Object.entries(known).filter(([name]) => name !== "ok");

  test("both sides know the same codes by the same numbers", () => {
    const numbers = Object.entries(known).map(([name, { number }]) => [name, number]);
    expect(Object.fromEntries(numbers)).toEqual(library().manifest().enums["Code"]!);
  });

  test("every code becomes an error with a text of its own", () => {
    const texts = new Set<string>();
    for (const [, { number, code }] of failures) {
      const error = errorFor(number);
      expect(error).toBeInstanceOf(IpcError);
      expect(error.code).toBe(code);
      expect(error.message).toStartWith(`${code}: `);
      expect(error.message.length).toBeGreaterThan(`${code}: `.length + 10);
      texts.add(error.message);
    }
    expect(texts.size).toBe(failures.length);
  });

  test("what means the same as in libearshot-ipc has the same number", () => {
    for (const [name, { number }] of Object.entries(known)) {
      if (name in codes) expect<number>(number).toBe(codes[name as CodeName].number);
    }
  });

  test("a result that nobody knows is an error all the same", () => {
    expect(errorFor(-12345)).toMatchObject({ code: "EUNKNOWN" });
  });
});
