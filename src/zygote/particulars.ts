/**
 * What a clone is told before it begins. It is the first message on its connection, with the descriptors that are meant for
 * it, and the answer, where one is asked for, is a certificate: that it is what was asked for, or why not. Without limits a
 * fork cannot be anything else, and what the owner sends next is on its way with them.
 */

import { deserialize, serialize } from "bun:jsc";
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

/** Of a clone that is to be nothing in particular, which is told by an empty message. */
const none: Particulars = { limits: {}, arguments: undefined, trial: false, certified: false };

/** Throws what the structured clone algorithm does of what cannot be cloned. */
export function encodeParticulars(particulars: Particulars): Uint8Array {
  const { limits, arguments: given, trial, certified } = particulars;
  const isPlain = !isLimited(limits) && given === undefined && !trial && !certified;
  return isPlain ? new Uint8Array(0) : serialize(particulars, { binaryType: "nodebuffer" });
}

export function decodeParticulars(bytes: Uint8Array): Particulars {
  if (bytes.length === 0) return none;
  return deserialize(bytes.slice().buffer) as Particulars;
}

/** False if nobody is there to read it. */
export function writeFrame(connection: number, bytes: Uint8Array): boolean {
  const frame = new Uint8Array(headerBytes + bytes.length);
  new DataView(frame.buffer).setUint32(0, bytes.length);
  frame.set(bytes, headerBytes);
  return writeBytes(connection, frame);
}
