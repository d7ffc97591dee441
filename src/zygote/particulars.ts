/**
 * What a clone is told before it begins. It is the first message on its connection, with the descriptors that are meant for
 * it, and the answer, where one is asked for, is a certificate: that it is what was asked for, or why not. Without limits a
 * fork cannot be anything else, and what the owner sends next is on its way with them.
 */

import { deserialize, serialize } from "bun:jsc";
import { constants } from "../native/layout.ts";
import type { NativeLimits, Read } from "../native/zygote.ts";
import { readBytes, writeBytes } from "../native/zygote.ts";

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

/** Throws what the structured clone algorithm does of what cannot be cloned. */
export function encodeParticulars(particulars: Particulars): Uint8Array {
  return serialize(particulars, { binaryType: "nodebuffer" });
}

/** Waits for them. Undefined if the owner has changed its mind, or is gone. */
export function readParticulars(
  connection: number,
): { particulars: Particulars; descriptors: number[] } | undefined {
  const frame = readFrame(connection);
  if (frame === undefined) return undefined;
  return { particulars: decodeParticulars(frame.bytes), descriptors: frame.descriptors };
}

/** `bytes` are all of their buffer. */
export function decodeParticulars({ buffer }: Uint8Array): Particulars {
  return deserialize(buffer as ArrayBuffer) as Particulars;
}

/** One message, and what comes with it. Undefined when the other side has ended. */
export function readFrame(connection: number): Read | undefined {
  const header = readBytes(connection, headerBytes);
  if (header === undefined) return undefined;
  const body = readBytes(connection, new DataView(header.bytes.buffer).getUint32(0));
  return body && { ...body, descriptors: [...header.descriptors, ...body.descriptors] };
}

/** False if nobody is there to read it. */
export function writeFrame(connection: number, bytes: Uint8Array): boolean {
  const frame = new Uint8Array(headerBytes + bytes.length);
  new DataView(frame.buffer).setUint32(0, bytes.length);
  frame.set(bytes, headerBytes);
  return writeBytes(connection, frame);
}
