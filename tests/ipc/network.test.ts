/** IPC_NETWORK: what it says of a service, and what is said of one that cannot be understood. */

import { describe, expect, test } from "bun:test";
import {
  NetworkError,
  networkBytesMax,
  networkEntry,
  parseNetwork,
} from "../../src/ipc/network.ts";
import { localUri, parseUri, uriBytesMax } from "../../src/ipc/uri.ts";
import { IpcError } from "../../src/native/errors.ts";
import vectors from "../vectors/network.json" with { type: "json" };

type Vector = { variable: string; service: string } & (
  | { uri: string | null }
  | { error: string; entry: number }
);

const entries = vectors.entries as Vector[];

function failure(variable: string, service = "pong"): NetworkError {
  try {
    networkEntry(service, variable);
  } catch (error) {
    expect(error).toBeInstanceOf(NetworkError);
    return error as NetworkError;
  }
  throw new Error(`${JSON.stringify(variable)} was understood`);
}

test("the vectors are those that this was written for", () => {
  expect(vectors.version).toBe(1);
  expect(vectors.network_bytes_max).toBe(networkBytesMax);
  expect(vectors.uri_bytes_max).toBe(uriBytesMax);
});

describe("the vectors", () => {
  for (const vector of entries) {
    const { variable, service } = vector;
    if ("uri" in vector) {
      test(`${JSON.stringify(variable)} has ${service} at ${vector.uri ?? "no other place"}`, () => {
        expect(networkEntry(service, variable)?.text ?? null).toBe(vector.uri);
      });
    } else {
      test(`${JSON.stringify(variable)} is refused: ${vector.error}`, () => {
        const { fault, entry } = failure(variable, service);
        expect({ fault: fault as string, entry }).toEqual({
          fault: vector.error,
          entry: vector.entry,
        });
      });
    }
  }
});

describe("an error", () => {
  test("shows the entry and says where it stands", () => {
    const error = failure("pong tcp://h:1/a;  audio tcp://host:99999/sound ;");
    expect(error).toBeInstanceOf(IpcError);
    expect(error.code).toBe("ENETWORK");
    expect(error.message).toBe(
      'ENETWORK: IPC_NETWORK, entry 2 at character 20, "audio tcp://host:99999/sound": ' +
        '"99999" is no port: 1 to 65535',
    );
  });

  test.each([
    ["pong", "a URI follows the name, as in tcp://HOST:PORT/NAME"],
    [".pong unix://a", '".pong" is not a name: it starts with a dot'],
    ["pong tcp://me@host:1", "a URI names no user or password: who is let in is not said there"],
    ["pong tcp://host", "tcp needs a port: tcp://HOST:PORT/NAME"],
    ["pong tcp://host:1/.b", '".b" in the path is not a name: it starts with a dot'],
    ["pong unix://a b", "it is NAME URI; another entry comes after a semicolon"],
  ])("of %j says what would do", (variable, what) => {
    expect(failure(variable).message).toEndWith(`: ${what}`);
  });

  test("shows the beginning of what is long, and nothing a terminal would obey", () => {
    const { message } = failure(`\u001b[2J${"n".repeat(1000)} tcp://host:1`);
    expect(message.length).toBeLessThan(400);
    expect(failure("\u001b[2J").message).toContain('"\\u001b[2J" is not a name');
    expect(message + failure("\u001b[2J").message).not.toContain("\u001b");
  });
});

test("the variable has its limit, in bytes", () => {
  const entry = "pong unix://other;";
  const full = entry.padEnd(networkBytesMax, ";");
  expect(networkEntry("pong", full)?.text).toBe("unix://other");
  expect(failure(`${full};`)).toMatchObject({ fault: "too_long", entry: 0 });
  // Two bytes each.
  expect(failure("ö".repeat(networkBytesMax / 2 + 1)).fault).toBe("too_long");
  expect(failure("ö".repeat(networkBytesMax / 2)).fault).toBe("name");
});

test("a variable full of entries has them all", () => {
  const count = Math.floor(networkBytesMax / 16);
  const names = Array.from({ length: count }, (_, index) => index.toString(36).padStart(6, "0"));
  const found = parseNetwork(names.map((name) => `${name} unix://x`).join(";"));
  expect([...found.keys()]).toEqual(names);
});

describe("a URI", () => {
  test("is taken apart", () => {
    expect(parseUri("tcp://[::1]:9000/pong")).toEqual({
      text: "tcp://[::1]:9000/pong",
      scheme: "tcp",
      host: "::1",
      port: 9000,
      path: ["pong"],
      service: "pong",
    });
    expect(parseUri("wss://host/chat/pong")).toMatchObject({
      host: "host",
      port: undefined,
      path: ["chat", "pong"],
      service: "pong",
    });
    expect(parseUri("tcp://host:1/")).toMatchObject({ path: [], service: undefined });
  });

  test("of a service in the run directory names nothing but it", () => {
    expect(localUri("other")).toEqual(parseUri("unix://other"));
    expect(localUri("other")).toMatchObject({ scheme: "unix", host: "", service: "other" });
  });
});
