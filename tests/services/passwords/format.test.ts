/** The bytes between a client and its copy of the passwords, against `tests/vectors/passwords.json`. */

import { describe, expect, test } from "bun:test";
import type { Kind, Status } from "../../../src/services/passwords/format.ts";
import {
  answerParts,
  FormatError,
  helloBytes,
  itemBytesMax,
  keysetBytes,
  readAnswer,
  readHello,
  readKeyset,
  readRequest,
  readWelcome,
  requestParts,
  welcomeBytes,
} from "../../../src/services/passwords/format.ts";
import { hexOf, unhex } from "../../kit/bytes.ts";
import vectors from "../../vectors/passwords.json";

const maybe = (text: string | undefined) => (text === undefined ? undefined : unhex(text));

function statusOf(read: () => unknown): Status {
  try {
    read();
  } catch (error) {
    if (error instanceof FormatError) return error.status;
    throw error;
  }
  return "done";
}

describe("requests", () => {
  for (const { kind, bytes, ...given } of vectors.requests) {
    test(`${kind} is ${bytes.slice(0, 40)}`, () => {
      const { sealKey, key, value } = given as { sealKey?: string; key?: string; value?: string };
      const request = {
        kind: kind as Kind,
        sealKey: maybe(sealKey),
        key: maybe(key),
        value: maybe(value),
      };
      expect(hexOf(Buffer.concat(requestParts(request)))).toBe(bytes);
      const read = readRequest(unhex(bytes));
      expect(read.kind).toBe(request.kind);
      for (const part of ["sealKey", "key", "value"] as const) {
        expect(read[part] && hexOf(read[part])).toBe(request[part] && hexOf(request[part]));
      }
    });
  }

  for (const { bytes, status, why } of vectors.badRequests) {
    test(`${why} is ${status}`, () => {
      expect(statusOf(() => readRequest(unhex(bytes)))).toBe(status as Status);
    });
  }

  test("a key and a value have as many bytes as may be, and not one more", () => {
    const most = new Uint8Array(itemBytesMax);
    const more = new Uint8Array(itemBytesMax + 1);
    const read = (key: Uint8Array, value: Uint8Array) =>
      statusOf(() => readRequest(Buffer.concat(requestParts({ kind: "set", key, value }))));
    expect([read(most, most), read(more, most), read(most, more)]).toEqual([
      "done",
      "too_long",
      "too_long",
    ]);
  });
});

describe("answers", () => {
  for (const { status, body, bytes } of vectors.answers) {
    test(`${status} is ${bytes}`, () => {
      expect(hexOf(Buffer.concat(answerParts(status as Status, unhex(body))))).toBe(bytes);
      const read = readAnswer(unhex(bytes));
      expect({ status: read.status as string, body: hexOf(read.body) }).toEqual({ status, body });
    });
  }

  test.each(vectors.badAnswers)("%p is none", (bytes) => {
    expect(statusOf(() => readAnswer(unhex(bytes)))).toBe("malformed");
  });

  for (const { keys, bytes } of vectors.keysets) {
    test(`${keys.length} keys are ${bytes}`, () => {
      expect(hexOf(keysetBytes((keys as string[]).map(unhex)))).toBe(bytes);
      expect(readKeyset(unhex(bytes)).map(hexOf)).toEqual(keys as string[]);
    });
  }

  test("keys have bytes of their own, whatever becomes of the answer", () => {
    const body = Buffer.from(keysetBytes([unhex("01"), unhex("02")]));
    const keys = readKeyset(body);
    body.fill(0);
    expect(keys.map(hexOf)).toEqual(["01", "02"]);
  });

  test.each(vectors.badKeysets)("%p are no keys", (bytes) => {
    expect(statusOf(() => readKeyset(unhex(bytes)))).toBe("malformed");
  });
});

describe("what client and service say first", () => {
  test("a hello", () => {
    expect(hexOf(helloBytes)).toBe(vectors.hello);
    readHello(unhex(vectors.hello));
  });

  test.each(vectors.badHellos)("%p is no hello", (bytes) => {
    expect(statusOf(() => readHello(unhex(bytes)))).toBe("malformed");
  });

  for (const { status, text, bytes } of vectors.welcomes) {
    test(`${status} is ${bytes}`, () => {
      expect(hexOf(welcomeBytes(status as Status, text))).toBe(bytes);
      const read = readWelcome(unhex(bytes));
      expect({ status: read.status as string, text: Buffer.from(read.body).toString() }).toEqual({
        status,
        text,
      });
    });
  }

  test.each(vectors.badWelcomes)("%p is no answer to one", (bytes) => {
    expect(statusOf(() => readWelcome(unhex(bytes)))).toBe("malformed");
  });
});
