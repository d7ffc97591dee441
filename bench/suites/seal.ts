/** What sealing costs: each cipher of the native library beside those that a program has without it. */

import { createCipheriv, createDecipheriv } from "node:crypto";
import nacl from "tweetnacl";
import { Seal, tagBytes } from "../../src/native/seal.ts";
import type { Suite } from "../../src/native/seal-layout.ts";
import { suites } from "../../src/native/seal-layout.ts";
import type { Efforts } from "../effort.ts";
import type { Seat } from "../row.ts";
import type { Cipher } from "./cipher-row.ts";
import { CipherRow } from "./cipher-row.ts";
import { compare, type SuiteResult } from "./suite.ts";

const batchCount = 64;

export async function runSeal(efforts: Efforts, seats: readonly Seat[]): Promise<SuiteResult> {
  const rows = [
    ...Object.keys(suites).map((suite) => {
      const id = `seal-${suite.replaceAll("_", "-")}`;
      return new CipherRow(id, "earshot", (bytes) => sealOne(suite as Suite, bytes));
    }),
    new CipherRow("seal-aegis-256-batch", "earshot", sealMany, batchCount),
    new CipherRow("node-crypto-aes-256-gcm", "peer", sealByNode),
    new CipherRow("tweetnacl-secretbox", "peer", sealByTweetnacl),
  ];
  const { bytes, stream: effort } = efforts;
  // One thread does it all, so that one place is as good as another.
  return await compare({ suite: "seal", rows, bytes, effort }, seats.slice(0, 1));
}

const key = crypto.getRandomValues(new Uint8Array(32));

function sealOne(suite: Suite, bytes: number): Cipher {
  const seal = Seal.fromKeys({ suite, sending: key, receiving: key });
  const record = new Uint8Array(bytes + tagBytes);
  const out = new Uint8Array(bytes);
  return (message) => {
    seal.seal(0, message, record);
    seal.open(0, record, out);
    return out;
  };
}

/** The same message many times, each into a place of its own. */
function sealMany(bytes: number): Cipher {
  const seal = Seal.fromKeys({ suite: "aegis_256", sending: key, receiving: key });
  const recordBytes = bytes + tagBytes;
  const room = new Uint8Array(batchCount * recordBytes);
  const out = new Uint8Array(batchCount * bytes);
  const places = Array.from({ length: batchCount }, (_, index) => index);
  const sealing = Uint32Array.from(places.flatMap((at) => [0, bytes, at * recordBytes, 0]));
  const opening = Uint32Array.from(
    places.flatMap((at) => [at * recordBytes, recordBytes, at * bytes, 0]),
  );
  const last = out.subarray((batchCount - 1) * bytes);
  return (message) => {
    seal.sealBatch(message, room, sealing, batchCount);
    seal.openBatch(room, out, opening, batchCount);
    return last;
  };
}

/** A nonce is counted, as it has to be; here it only has to be written. */
function sealByNode(): Cipher {
  const nonce = Buffer.alloc(12);
  let number = 0;
  return (message) => {
    nonce.writeUInt32BE(number++, 8);
    const cipher = createCipheriv("aes-256-gcm", key, nonce);
    const sealed = cipher.update(message);
    cipher.final();
    const decipher = createDecipheriv("aes-256-gcm", key, nonce);
    decipher.setAuthTag(cipher.getAuthTag());
    const out = decipher.update(sealed);
    decipher.final();
    return out;
  };
}

function sealByTweetnacl(): Cipher {
  const nonce = Buffer.alloc(nacl.secretbox.nonceLength);
  let number = 0;
  return (message) => {
    nonce.writeUInt32BE(number++, 20);
    return nacl.secretbox.open(nacl.secretbox(message, nonce, key), nonce, key)!;
  };
}
