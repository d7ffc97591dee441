/**
 * What the two sides of a memory socket say to each other over its Unix connection before they talk through memory, and
 * beside it.
 *
 *     client ──hello──▶ server      how large the rings are to be, and how it is to be sealed
 *     client ◀─welcome─ server      how large they are, with their descriptors: what the client writes, what it reads
 *     client ◀─refusal─ server      why not; then the connection ends
 *     client ──proof──▶ server      if it is sealed: the first sealed record, which holds nothing
 *
 * Those are JSON, one message each. From then on an empty message wakes the other side. A message `value` brings the
 * descriptor of a message that is too long for its ring, of which few are on their way (`passing.ts`), and `descriptors`
 * those that belong to a message. `end` says that this side closes, and `unread` that it does and leaves messages that it
 * has not read; where it is sealed, a record of its own kind with that word in it, behind all messages, does. This is
 * version 1; `tests/vectors/hellos.json` has examples.
 */

import type { Asked } from "../crypto/hello.ts";
import { memoryConstants } from "../native/memory-layout.ts";

const { ring_bytes_min: ringBytesMin, ring_bytes_max: ringBytesMax } = memoryConstants;

export const version = 1;
/** No hello or welcome is longer. */
export const helloBytesMax = 4096;
/** Of a frame that says something beside the rings, its header included. */
const frameBytesMax = 16;
/** Frames that wake somebody, of which there is one when he has said that he sleeps, and that pass messages. */
const framesBytesMax = 64 * 1024;

/** What may wait to be sent beside the rings, where so many descriptors may be on their way at once. */
export function queueBytesMax(descriptorsHeld: number): number {
  return framesBytesMax + descriptorsHeld * frameBytesMax;
}
/** In bytes, each a power of two. */
export type RingSizes = {
  /** From client to server. */
  readonly up: number;
  readonly down: number;
};

/** With `seal` if it is to be sealed: what `crypto/meeting.ts` has the two say. */
export type Hello = { readonly rings: RingSizes; readonly seal?: Asked | undefined };
export type Welcome = { readonly rings: RingSizes; readonly seal?: string | undefined };
export type Refusal = {
  readonly code: "EPROTO" | "EINVAL" | "EMFILE" | "EKEY" | "EBUSY";
  readonly message: string;
};

export function formatHello({ rings, seal }: Hello): string {
  return JSON.stringify({ memory: version, rings, seal });
}

export function formatWelcome({ rings, seal }: Welcome): string {
  return JSON.stringify({ memory: version, rings, seal });
}

/** What both ends of a sealed connection have to agree on, to be authenticated with the handshake. */
export function about(service: string, { up, down }: RingSizes): string {
  return `earshot memory ${version} ${service} ${up} ${down}`;
}

export function formatRefusal(error: Refusal): string {
  return JSON.stringify({ memory: version, error });
}

/** Throws an Error that says what is wrong with it. */
export function parseHello(bytes: Uint8Array): Hello {
  const said = parse(bytes);
  return { rings: ringsOf(said["rings"]), seal: askedOf(said["seal"]) };
}

/** What the server says to a hello. Throws an Error that says what is wrong with it. */
export function parseAnswer(bytes: Uint8Array): Welcome | { readonly error: Refusal } {
  const said = parse(bytes);
  const { error } = said;
  const { seal } = said;
  if (error === undefined) {
    if (seal !== undefined && typeof seal !== "string") throw new Error("its seal is none");
    return { rings: ringsOf(said["rings"]), seal };
  }
  if (!isRecord(error) || typeof error["code"] !== "string") throw new Error("its error is none");
  return { error: { code: error["code"] as Refusal["code"], message: String(error["message"]) } };
}

function askedOf(seal: unknown): Asked | undefined {
  if (seal === undefined) return undefined;
  if (isRecord(seal) && typeof seal["key"] === "string" && typeof seal["message"] === "string") {
    return { key: seal["key"], message: seal["message"] };
  }
  throw new Error("its seal is none");
}

function parse(bytes: Uint8Array): Record<string, unknown> {
  if (bytes.length > helloBytesMax) {
    throw new Error(`${bytes.length} bytes; a hello has ${helloBytesMax} at most`);
  }
  let said: unknown;
  try {
    said = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Error("a hello is JSON, and this is not");
  }
  if (!isRecord(said)) throw new Error("a hello is a JSON object");
  if (said["memory"] !== version) {
    throw new Error(`version ${JSON.stringify(said["memory"])}; version ${version} is spoken here`);
  }
  return said;
}

function ringsOf(rings: unknown): RingSizes {
  if (!isRecord(rings)) throw new Error("its rings are missing");
  return {
    up: ringBytesOf("rings.up", rings["up"]),
    down: ringBytesOf("rings.down", rings["down"]),
  };
}

/** The size of a ring, if it can be one. Throws an Error, naming it, if not. */
export function ringBytesOf(name: string, bytes: unknown): number {
  if (
    typeof bytes === "number" &&
    bytes >= ringBytesMin &&
    bytes <= ringBytesMax &&
    Number.isInteger(Math.log2(bytes))
  ) {
    return bytes;
  }
  throw new Error(
    `${name} is ${JSON.stringify(bytes)}; it is a power of two from ${ringBytesMin} to ${ringBytesMax}`,
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
