/**
 * How two ends that know each other's public key come to a seal, whatever carries their messages:
 *
 *     client ── its public key, a message of the handshake ──▶ server, which looks the key up in those it allows
 *     client ◀───────────────── the other message ─────────── server
 *     client ─────────────────── a sealed proof ────────────▶ server, which now knows that it is no recording
 *
 * The handshake is Noise KK (see `earshot/seal.h`). What both ends have to agree on besides, such as the name of the
 * service, is authenticated with it.
 */

import { IpcError } from "../native/errors.ts";
import { Handshake, type Seal, tagBytes } from "../native/seal.ts";
import type { Asked } from "./hello.ts";
import type { KeyPair } from "./key-pair.ts";
import { sealKinds } from "./kinds.ts";
import { parseKey, parsePublicKey } from "./public-key.ts";

const base64url = { alphabet: "base64url", omitPadding: true } as const;
const encoder = new TextEncoder();

/** What two ends have come to: what they seal with, and whose the other end is. */
export type Agreed = { readonly seal: Seal; readonly publicKey: string };

/** The client's side. */
export class Asking implements Disposable {
  readonly asked: Asked;
  readonly #handshake: Handshake;
  readonly #peer: string;

  /** Throws an IpcError (EKEY) if `peer` is no public key. */
  constructor(keys: KeyPair, peer: string, about: string) {
    this.#handshake = new Handshake({
      role: "initiator",
      secretKey: keys.secretKey,
      peerPublicKey: parsePublicKey(peer),
      prologue: encoder.encode(about),
    });
    this.#peer = peer;
    this.asked = { key: keys.publicKey, message: this.#handshake.write().toBase64(base64url) };
  }

  /** With what the server says. Throws an IpcError (ESEAL) if that is no good. */
  finish(message: string): { agreed: Agreed; proof: Uint8Array } {
    this.#handshake.read(bytesOf(message));
    const seal = this.#handshake.finish();
    const proof = new Uint8Array(tagBytes);
    seal.seal(sealKinds.proof, new Uint8Array(), proof);
    return { agreed: { seal, publicKey: this.#peer }, proof };
  }

  [Symbol.dispose](): void {
    this.#handshake.close();
  }
}

/** The server's side: what it says, and what is agreed on once the proof, before anything else, was opened with the seal. */
export function answer(
  keys: KeyPair,
  allowed: ReadonlySet<string>,
  { key, message }: Asked,
  about: string,
): { message: string; agreed: Agreed } {
  const peerPublicKey = allowed.has(key) ? parseKey(key) : undefined;
  if (peerPublicKey === undefined) {
    throw new IpcError("EKEY", "EKEY: that public key is not among those that are allowed here");
  }
  using handshake = new Handshake({
    role: "responder",
    secretKey: keys.secretKey,
    peerPublicKey,
    prologue: encoder.encode(about),
  });
  handshake.read(bytesOf(message));
  const said = handshake.write().toBase64(base64url);
  return { message: said, agreed: { seal: handshake.finish(), publicKey: key } };
}

/** Throws an IpcError (ESEAL) if it is not the client's. */
export function checkProof(seal: Seal, proof: Uint8Array): void {
  seal.open(sealKinds.proof, proof, new Uint8Array());
}

/** Each message has one text and no other, so that not a bit of it can be another unnoticed. */
function bytesOf(text: string): Uint8Array {
  const bytes = decoded(text);
  if (bytes?.toBase64(base64url) === text) return bytes;
  throw new IpcError("ESEAL", "ESEAL: a message of the handshake is base64url, and this is not");
}

function decoded(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.fromBase64(text, { alphabet: "base64url" });
  } catch {
    return undefined;
  }
}
