/** Sealing through the native library: handshakes, records, and everything that somebody between two ends could do. */

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { keyPair } from "../../src/crypto/key-pair.ts";
import { parsePublicKey } from "../../src/crypto/public-key.ts";
import { IpcError } from "../../src/native/errors.ts";
import { chooseSuite, Handshake, ownSuites, Seal, tagBytes } from "../../src/native/seal.ts";
import type { Suite } from "../../src/native/seal-layout.ts";
import { aegis256 } from "../kit/aegis.ts";
import { bytesOf, unhex } from "../kit/bytes.ts";
import { chacha20Poly1305 } from "../kit/chacha.ts";
import { leaveNoCommand, run } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern, Random } from "../kit/random.ts";
import { allSuites, besides, Ends, mirror, sealElsewhere } from "../kit/sealed.ts";
import aead from "../vectors/aead.json";
import records from "../vectors/records.json";

leaveNoTrace();
leaveNoCommand();

const programs = join(import.meta.dir, "programs");

const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function sealed(seal: Seal, text: string, kind = 0): Uint8Array {
  const out = new Uint8Array(text.length + tagBytes);
  expect(seal.seal(kind, bytesOf(text), out)).toBe(out.length);
  return out;
}

function opened(seal: Seal, record: Uint8Array, kind = 0): string {
  const out = new Uint8Array(record.length);
  return textOf(out.subarray(0, seal.open(kind, record, out)));
}

/** What a call throws. */
function failureOf(act: () => unknown): IpcError {
  try {
    act();
  } catch (error) {
    if (error instanceof IpcError) return error;
    throw error;
  }
  throw new Error("it threw nothing");
}

/** The seal delivers nothing for it, and nothing after it, not even what would have been right. */
function expectBroken(receiver: Seal, record: Uint8Array, right: Uint8Array, kind = 0): void {
  const out = new Uint8Array(record.length + 1).fill(0xa5);
  expect(failureOf(() => receiver.open(kind, record, out))).toMatchObject({ code: "ESEAL" });
  expect(out.every((byte) => byte === 0 || byte === 0xa5)).toBe(true);
  expect(failureOf(() => opened(receiver, right))).toMatchObject({ code: "ESEAL" });
}

describe("a handshake", () => {
  test("leads to seals that talk in both directions, and carries what the callers add", () => {
    using ends = new Ends();
    expect(textOf(ends.server.read(ends.client.write(bytesOf("rings of 1 MiB"))))).toBe(
      "rings of 1 MiB",
    );
    expect(textOf(ends.client.read(ends.server.write(bytesOf("rings of 64 KiB"))))).toBe(
      "rings of 64 KiB",
    );
    using client = ends.client.finish();
    using server = ends.server.finish();
    for (const round of [0, 1, 2]) {
      expect(opened(server, sealed(client, `ask ${round}`))).toBe(`ask ${round}`);
      expect(opened(client, sealed(server, `answer ${round}`))).toBe(`answer ${round}`);
    }
    expect(client.suite).toBe(server.suite);
    expect(client.suite).toBe(chooseSuite(ownSuites(), ownSuites())!);
  });

  test.each([
    [["aegis_256"], ["aegis_256"], "aegis_256"],
    [["aes_256_gcm"], allSuites, "aes_256_gcm"],
    [allSuites, ["aes_256_gcm", "chacha20_poly1305"], "chacha20_poly1305"],
  ] as [Suite[], Suite[], Suite][])("of %j with %j takes %s", (client, server, suite) => {
    using ends = new Ends({ suites: client }, { suites: server });
    const seals = ends.shake();
    for (const seal of seals) expect(seal.suite).toBe(suite);
    expect(opened(seals[1], sealed(seals[0], "hello"))).toBe("hello");
  });

  test("gives each connection keys of its own", () => {
    const keys = { client: keyPair(), server: keyPair() };
    using first = new Ends({}, {}, keys);
    using second = new Ends({}, {}, keys);
    const [client] = first.shake();
    const [, server] = second.shake();
    expectBroken(server, sealed(client, "hello"), sealed(client, "hello"));
  });

  test("ends with a stranger, another server, and another prologue", () => {
    const stranger = keyPair();
    const prologue = bytesOf("one");
    for (const ends of [
      new Ends({ secretKey: stranger.secretKey }),
      new Ends({ peerPublicKey: parsePublicKey(stranger.publicKey) }),
      new Ends({ prologue }),
      new Ends({ prologue }, { prologue: bytesOf("other") }),
    ]) {
      using open = ends;
      const message = open.client.write();
      expect(failureOf(() => open.server.read(message))).toMatchObject({ code: "ESEAL" });
      expect(failureOf(() => open.server.write())).toMatchObject({ code: "ESEAL" });
      expect(failureOf(() => open.server.finish())).toMatchObject({ code: "EINVAL" });
    }
  });

  test("ends with an answer to somebody else, an answer cut short, and its own message", () => {
    const keys = { client: keyPair(), server: keyPair() };
    const answers: ((ends: Ends) => Uint8Array)[] = [
      () => {
        using other = new Ends({}, {}, keys);
        other.server.read(other.client.write());
        return other.server.write();
      },
      (ends) => ends.server.write().subarray(0, 49),
      (ends) => ends.server.write().subarray(0, 20),
      () => new Uint8Array(0),
    ];
    for (const answer of answers) {
      using ends = new Ends({}, {}, keys);
      ends.server.read(ends.client.write());
      expect(failureOf(() => ends.client.read(answer(ends)))).toMatchObject({ code: "ESEAL" });
      expect(failureOf(() => ends.client.finish())).toMatchObject({ code: "EINVAL" });
    }
    using ends = new Ends();
    const own = ends.client.write();
    expect(failureOf(() => ends.client.read(own))).toMatchObject({ code: "ESEAL" });
  });

  test("refuses keys with which nothing is secret, and keys that are none", () => {
    const { secretKey } = keyPair();
    for (const first of [0, 1]) {
      const peerPublicKey = new Uint8Array(32);
      peerPublicKey[0] = first;
      const begin = () => new Handshake({ role: "initiator", secretKey, peerPublicKey });
      expect(failureOf(begin)).toMatchObject({ code: "EKEY" });
    }
    const short = new Uint8Array(31);
    expect(() => new Handshake({ role: "initiator", secretKey, peerPublicKey: short })).toThrow(
      "peerPublicKey has 31 bytes, and a key has 32",
    );
    expect(() => new Ends({ suites: [] })).toThrow("suites");
  });

  test("goes in its order", () => {
    using ends = new Ends();
    expect(failureOf(() => ends.server.write())).toMatchObject({ code: "EINVAL" });
    expect(failureOf(() => ends.client.finish())).toMatchObject({ code: "EINVAL" });
    expect(failureOf(() => ends.client.write(new Uint8Array(1025)))).toMatchObject({
      code: "EMSGSIZE",
    });
    const [client] = ends.shake();
    expect(failureOf(() => ends.client.write())).toMatchObject({ code: "ECLOSED" });
    client.close();
    client.close();
    expect(failureOf(() => sealed(client, "x"))).toMatchObject({ code: "ECLOSED" });
  });
});

describe.each(allSuites)("records of %s", (suite) => {
  test("are those of the vectors, across keys", () => {
    for (const direction of records.directions.filter((each) => each.suite === suite)) {
      const key = unhex(direction.key);
      using seal = Seal.fromKeys({
        suite,
        sending: key,
        receiving: key,
        recordsPerKey: direction.records_per_key,
        bytesPerKey: direction.bytes_per_key,
      });
      for (const { kind, bytes, sealed: expected } of direction.records) {
        const out = new Uint8Array(expected.length / 2);
        expect(seal.seal(kind, unhex(bytes), out)).toBe(out.length);
        expect(out.toHex()).toBe(expected);
        expect(seal.open(kind, out, out)).toBe(bytes.length / 2);
        expect(out.subarray(0, bytes.length / 2).toHex()).toBe(bytes);
      }
    }
  });

  test("are those of ciphers made by others, whatever is in them", () => {
    const random = new Random(31);
    const key = random.bytes(32);
    using seal = mirror(suite, key);
    for (let number = 0n; number < 120n; number++) {
      const bytes = new Uint8Array(
        random.bytes(number < 70n ? Number(number) : random.below(3000)),
      );
      const kind = random.below(256);
      const out = new Uint8Array(bytes.length + tagBytes);
      expect(seal.seal(kind, bytes, out)).toBe(out.length);
      const beside = besides(suite, kind, bytes.length, number);
      expect(out.toHex()).toBe(sealElsewhere(suite, key, number, beside, bytes).toString("hex"));
      const back = new Uint8Array(bytes.length);
      expect(seal.open(kind, out, back)).toBe(bytes.length);
      expect(back.toHex()).toBe(bytes.toHex());
    }
  });

  test("break the seal with any bit that is turned", () => {
    using sender = mirror(suite);
    const record = sealed(sender, "hello");
    for (let bit = 0; bit < record.length * 8; bit++) {
      using receiver = mirror(suite);
      const changed = record.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expectBroken(receiver, changed, record);
    }
  });

  test("break it when they are repeated, left out, cut short, drawn out, or of another kind", () => {
    using sender = mirror(suite);
    const [first, second] = [sealed(sender, "first"), sealed(sender, "second")] as const;
    {
      using repeated = mirror(suite);
      expect(opened(repeated, first)).toBe("first");
      expectBroken(repeated, first, second);
    }
    for (const [record, kind] of [
      [second, 0],
      ...Array.from({ length: first.length }, (_, length) => [first.subarray(0, length), 0]),
      [Uint8Array.of(...first, 0), 0],
      [first, 1],
    ] as [Uint8Array, number][]) {
      using receiver = mirror(suite);
      expectBroken(receiver, record, first, kind);
    }
    using other = mirror(suite, new Uint8Array(32).fill(8));
    expectBroken(other, first, first);
  });

  test("go through batches: in place, elsewhere, and with nothing in them", () => {
    const lengths = [0, 64, 1, 300, 16, 0, 4096];
    using seal = mirror(suite);
    const plain = pattern(lengths.reduce((sum, length) => sum + length, 0));
    const out = new Uint8Array(plain.length + lengths.length * tagBytes);
    const list = new Uint32Array(lengths.length * 4);
    const back = new Uint32Array(lengths.length * 4);
    let from = 0;
    let into = 0;
    for (const [index, length] of lengths.entries()) {
      list.set([from, length, into, index], index * 4);
      back.set([into, length + tagBytes, from, index], index * 4);
      from += length;
      into += length + tagBytes;
    }
    expect(seal.sealBatch(plain, out, list, lengths.length)).toBe(lengths.length);
    const text = new Uint8Array(plain.length);
    expect(seal.openBatch(out, text, back, lengths.length)).toBe(lengths.length);
    expect(text.toHex()).toBe(plain.toHex());
    expect(seal.sealBatch(plain, out, list, 0)).toBe(0);
  });

  test("of a batch are delivered up to the one that is wrong", () => {
    using sender = mirror(suite);
    using receiver = mirror(suite);
    const three = new Uint8Array(3 * 24);
    const list = Uint32Array.of(0, 8, 0, 0, 8, 8, 24, 0, 16, 8, 48, 0);
    expect(sender.sealBatch(pattern(24), three, list, 3)).toBe(3);
    three[30]! ^= 1;
    const out = new Uint8Array(24);
    const back = Uint32Array.of(0, 24, 0, 0, 24, 24, 8, 0, 48, 24, 16, 0);
    expect(receiver.openBatch(three, out, back, 3)).toBe(1);
    expect(out.subarray(0, 8).toHex()).toBe(pattern(24).subarray(0, 8).toHex());
    expect(out.subarray(8).every((byte) => byte === 0)).toBe(true);
    const rest = () => receiver.openBatch(three, out, back.subarray(4), 2);
    expect(failureOf(rest)).toMatchObject({ code: "ESEAL" });
  });
});

test("what only the caller got wrong is told, and breaks nothing", () => {
  using seal = mirror("aegis_256");
  const room = new Uint8Array(100);
  expect(failureOf(() => seal.seal(0, bytesOf("hello"), room.subarray(0, 20)))).toMatchObject({
    code: "EINVAL",
  });
  expect(failureOf(() => seal.seal(256, bytesOf("hello"), room))).toMatchObject({ code: "EINVAL" });
  const overlapping = () => seal.seal(0, room.subarray(1, 20), room);
  expect(failureOf(overlapping)).toMatchObject({ code: "EINVAL" });
  for (const list of [
    [0, 101, 0, 0],
    [101, 0, 0, 0],
    [0xffff_ffff, 0xffff_ffff, 0, 0],
    [0, 1, 101, 0],
    [0, 1, 0xffff_ffff, 0],
    [0, 1, 99, 0],
    [0, 1, 0, 256],
  ]) {
    const batch = () => seal.sealBatch(room, room, Uint32Array.from(list), 1);
    expect(failureOf(batch)).toMatchObject({ code: "EINVAL" });
  }
  expect(() => seal.sealBatch(room, room, new Uint32Array(7), 2)).toThrow(
    "records holds 1, and count is 2",
  );
  const record = sealed(seal, "hello");
  const small = () => seal.open(0, record, room.subarray(0, 4));
  expect(failureOf(small)).toMatchObject({ code: "EINVAL" });
  expect(opened(seal, record)).toBe("hello");
});

test("megabytes are sealed and opened as they are", () => {
  for (const suite of allSuites) {
    using seal = mirror(suite);
    const bytes = pattern(3 * 1024 * 1024 + 7);
    const out = new Uint8Array(bytes.length + tagBytes);
    seal.seal(0, bytes, out);
    seal.open(0, out, out);
    expect(Buffer.compare(out.subarray(0, bytes.length), bytes)).toBe(0);
  }
});

test.each(["collected", "terminated"])(
  "a seal that everybody has forgotten is closed: %s",
  async (how) => {
    // In a process of its own, where handles begin with the first.
    const { code, stdout } = await run([process.execPath, join(programs, "forgotten.ts"), how]);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: "all are open\nmost are closed\n",
    });
  },
);

test("the ciphers of the kit, which ours are held against, are those that were published", () => {
  for (const vector of aead.sealed) {
    if (vector.suite === "aes_256_gcm") continue;
    const made = vector.suite === "aegis_256" ? aegis256 : chacha20Poly1305;
    const parts = made.seal(
      unhex(vector.key),
      unhex(vector.nonce),
      unhex(vector.beside),
      unhex(vector.bytes),
    );
    expect(parts.map((part) => part.toHex())).toEqual([vector.sealed, vector.tag]);
  }
});
