/** Both ends of sealed connections, and the ciphers by others that they are held against. */

import { createCipheriv } from "node:crypto";
import { keyPair } from "../../src/crypto/key-pair.ts";
import { parsePublicKey } from "../../src/crypto/public-key.ts";
import type { HandshakeOptions } from "../../src/native/seal.ts";
import { Handshake, Seal } from "../../src/native/seal.ts";
import type { Suite } from "../../src/native/seal-layout.ts";
import { suites } from "../../src/native/seal-layout.ts";
import { aegis256 } from "./aegis.ts";
import { chacha20Poly1305 } from "./chacha.ts";

export const allSuites = Object.keys(suites) as Suite[];

/** A handshake's two ends, which close with the test. */
export class Ends implements Disposable {
  readonly client: Handshake;
  readonly server: Handshake;
  readonly #open: Disposable[] = [];

  constructor(
    client: Partial<HandshakeOptions> = {},
    server: Partial<HandshakeOptions> = {},
    keys = { client: keyPair(), server: keyPair() },
  ) {
    this.client = this.keep(
      new Handshake({
        role: "initiator",
        secretKey: keys.client.secretKey,
        peerPublicKey: parsePublicKey(keys.server.publicKey),
        ...client,
      }),
    );
    this.server = this.keep(
      new Handshake({
        role: "responder",
        secretKey: keys.server.secretKey,
        peerPublicKey: parsePublicKey(keys.client.publicKey),
        ...server,
      }),
    );
  }

  keep<Thing extends Disposable>(thing: Thing): Thing {
    this.#open.push(thing);
    return thing;
  }

  /** The two seals that come of it. */
  shake(): [Seal, Seal] {
    this.server.read(this.client.write());
    this.client.read(this.server.write());
    return [this.keep(this.client.finish()), this.keep(this.server.finish())];
  }

  [Symbol.dispose](): void {
    for (const thing of this.#open) thing[Symbol.dispose]();
  }
}

/** A seal whose own records it can open. */
export function mirror(suite: Suite, key: Uint8Array = new Uint8Array(32).fill(7)): Seal {
  return Seal.fromKeys({ suite, sending: key, receiving: key });
}

/** A cipher of somebody else's with our nonces: the bytes, encrypted, and the tag. */
export function sealElsewhere(
  suite: Suite,
  key: Uint8Array,
  nonce: bigint,
  beside: Uint8Array,
  bytes: Uint8Array,
): Buffer {
  const numbered = (length: number, littleEnd = false) => {
    const view = new DataView(new ArrayBuffer(length));
    view.setBigUint64(length - 8, nonce, littleEnd);
    return new Uint8Array(view.buffer);
  };
  if (suite === "aegis_256") {
    return Buffer.concat(aegis256.seal(key, numbered(32), beside, bytes));
  }
  if (suite === "chacha20_poly1305") {
    return Buffer.concat(chacha20Poly1305.seal(key, numbered(12, true), beside, bytes));
  }
  const cipher = createCipheriv("aes-256-gcm", key, numbered(12));
  cipher.setAAD(beside);
  return Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
}

/** What stands beside a record. */
export function besides(suite: Suite, kind: number, length: number, number: bigint): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint8(0, 1);
  view.setUint8(1, suites[suite]);
  view.setUint8(2, kind);
  view.setUint32(4, length);
  view.setBigUint64(8, number);
  return new Uint8Array(view.buffer);
}
