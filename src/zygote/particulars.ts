/**
 * What a clone is told before it begins. It is the first message on its connection, with the descriptors that are meant for
 * it, and the answer, where one is asked for, is a certificate: that it is what was asked for, or why not. Without limits a
 * fork cannot be anything else, and what the owner sends next is on its way with them.
 */

import { deserialize, serialize } from "bun:jsc";
import { IpcError } from "../native/errors.ts";
import { constants } from "../native/layout.ts";
import type { NativeLimits } from "../native/zygote.ts";
import { writeBytes } from "../native/zygote.ts";
import { isLimited } from "./limits.ts";

export type Particulars = {
  limits: NativeLimits;
  /** What `serve` is given; anything that can be cloned. */
  arguments: unknown;
  /** To show that clones of this zygote live, and nothing else. */
  trial: boolean;
  /** Whether the owner waits for a certificate. */
  certified: boolean;
};

const headerBytes = constants.header_bytes;
/** What is longer is better written to a file, or sent when the clone is there. */
export const particularsBytesMax = 256 * 1024 * 1024;

/** Of a clone that is to be nothing in particular: told by an empty message, or by one byte if it is to certify that. */
const none: Particulars = { limits: {}, arguments: undefined, trial: false, certified: false };
const certifiedNone: Particulars = { ...none, certified: true };

/** Throws what the structured clone algorithm does of what cannot be cloned, and EMSGSIZE for what is too long. */
export function encodeParticulars(particulars: Particulars): Uint8Array {
  const { limits, arguments: given, trial, certified } = particulars;
  const isPlain = !isLimited(limits) && given === undefined && !trial;
  if (isPlain) return new Uint8Array(certified ? 1 : 0);
  const bytes = serialize(particulars, { binaryType: "nodebuffer" });
  if (bytes.length <= particularsBytesMax) return bytes;
  const text = `EMSGSIZE: the arguments of a clone are ${bytes.length} bytes; ${particularsBytesMax} are allowed`;
  throw new IpcError("EMSGSIZE", `${text}; give it a descriptor of a file with them`);
}

export function decodeParticulars(bytes: Uint8Array): Particulars {
  if (bytes.length === 0) return none;
  // Anything else takes more.
  if (bytes.length === 1) return certifiedNone;
  return deserialize(bytes.slice().buffer) as Particulars;
}

/** False if nobody is there to read it. */
export function writeFrame(connection: number, bytes: Uint8Array): boolean {
  const frame = new Uint8Array(headerBytes + bytes.length);
  new DataView(frame.buffer).setUint32(0, bytes.length);
  frame.set(bytes, headerBytes);
  return writeBytes(connection, frame);
}
