/**
 * Sealed connections for a page in a browser, which takes nothing but tweetnacl and WebCrypto (so that the page has to
 * come over HTTPS, or from this machine). The other end is a service with earshot, and what is between them, be it
 * websocketd or somebody else's proxy, sees nothing.
 *
 * The format is that of the native library, with AES-256-GCM as the cipher: `zig/seal/session.zig` tells what the
 * handshake carries, `zig/seal/direction.zig` what a record is and when a key makes place for the next.
 */

import type { Bytes } from "./noise.ts";
import { decrypt, encrypt, Initiator, joined, SealError } from "./noise.ts";

const version = 1;
/** The cipher's number, and the bit that stands for it in a set. */
const aes256Gcm = 2;
const tagBytes = 16;
const rekeyNonce = 2n ** 64n - 1n;

export type Limits = {
  readonly recordsPerKey: number;
  readonly bytesPerKey: number;
};

/** Of 32 bytes each, and different. */
export type SealKeys = { readonly sending: Uint8Array; readonly receiving: Uint8Array };

const limits: Limits = { recordsPerKey: 2 ** 20, bytesPerKey: 2 ** 36 };

/**
 * A handshake with a service whose public key is known.
 *
 * @example
 * const handshake = new SealedHandshake({ secretKey, peerPublicKey });
 * socket.send(await handshake.write());
 * await handshake.read(await answer());
 * const seal = await handshake.finish();
 */
export class SealedHandshake {
  readonly #initiator: Initiator;
  #step: "write" | "read" | "done" | "over" = "write";

  /** The keys have 32 bytes each. Both ends need to know the same prologue. */
  constructor(options: {
    secretKey: Uint8Array;
    peerPublicKey: Uint8Array;
    prologue?: Uint8Array;
  }) {
    this.#initiator = new Initiator(options);
  }

  /** The first message, with some bytes of the caller's. Others can play it again. */
  async write(payload: Uint8Array = new Uint8Array(0)): Promise<Bytes> {
    this.#go("write", "read");
    return await this.#initiator.write(joined(Uint8Array.of(version, 1 << aes256Gcm), payload));
  }

  /** Reads the service's answer, and returns what its caller has added. Throws a SealError if it is no good. */
  async read(message: Uint8Array): Promise<Bytes> {
    this.#go("read", "over");
    const payload = await this.#initiator.read(message);
    if (payload.length < 2) throw new SealError("the answer to the handshake was cut short");
    if (payload[0] !== version) throw new SealError("the service seals in a version unknown here");
    if (payload[1] !== aes256Gcm)
      throw new SealError("the service has chosen a cipher unknown here");
    this.#step = "done";
    return payload.slice(2);
  }

  async finish(): Promise<BrowserSeal> {
    this.#go("done", "over");
    return new BrowserSeal(await this.#initiator.split());
  }

  #go(from: string, to: "read" | "over"): void {
    if (this.#step !== from) throw new SealError("it is not the time for that");
    this.#step = to;
  }
}

/** Seals what goes, and opens what comes. Calls may overlap; each direction does them in their order. */
export class BrowserSeal {
  readonly #sending: Direction;
  readonly #receiving: Direction;

  constructor({ sending, receiving }: SealKeys, bounds: Limits = limits) {
    this.#sending = new Direction(sending, bounds);
    this.#receiving = new Direction(receiving, bounds);
  }

  async seal(kind: number, bytes: Uint8Array): Promise<Bytes> {
    const own = bytes.slice();
    return await this.#sending.next(own.length, (key, nonce, head) =>
      encrypt(key, nonce, beside(head, kind), own),
    );
  }

  /** Throws a SealError if it is not the other end's next record, then and ever after. */
  async open(kind: number, record: Uint8Array): Promise<Bytes> {
    const own = record.slice();
    return await this.#receiving.next(own.length - tagBytes, async (key, nonce, head) => {
      if (own.length < tagBytes) throw new SealError("what came was cut short");
      return await decrypt(key, nonce, beside(head, kind), own);
    });
  }
}

function beside(head: DataView, kind: number): Uint8Array {
  if (!Number.isInteger(kind) || kind < 0 || kind > 255) throw new RangeError(`kind ${kind}`);
  head.setUint8(2, kind);
  return new Uint8Array(head.buffer as ArrayBuffer);
}

type Act = (key: Bytes, nonce: bigint, head: DataView) => Promise<Bytes>;

class Direction {
  #key: Bytes;
  readonly #limits: Limits;
  #number = 0n;
  #records = 0;
  #bytes = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(key: Uint8Array, bounds: Limits) {
    this.#key = key.slice();
    this.#limits = bounds;
  }

  /** When all before it are done. Where one has failed, so does whatever comes after. */
  next(length: number, act: Act): Promise<Bytes> {
    const result = this.#last.then(
      () => this.#do(length, act),
      () => {
        throw new SealError("the seal was broken by what came before");
      },
    );
    this.#last = result;
    // That it was rejected is told to whoever asked.
    result.catch(() => undefined);
    return result;
  }

  async #do(length: number, act: Act): Promise<Bytes> {
    const { recordsPerKey, bytesPerKey } = this.#limits;
    const isSpent =
      this.#records >= recordsPerKey || length > Math.max(0, bytesPerKey - this.#bytes);
    if (this.#records > 0 && isSpent) await this.#rekey();
    const head = new DataView(new ArrayBuffer(16));
    head.setUint8(0, version);
    head.setUint8(1, aes256Gcm);
    head.setUint32(4, Math.max(0, length));
    head.setBigUint64(8, this.#number);
    const result = await act(this.#key, this.#number, head);
    this.#number++;
    this.#records++;
    this.#bytes += length;
    return result;
  }

  /** Noise, 4.2: the beginning of what becomes of zeros under the old key. */
  async #rekey(): Promise<void> {
    const nothing = new Uint8Array(0);
    const made = await encrypt(this.#key, rekeyNonce, nothing, new Uint8Array(this.#key.length));
    this.#key = made.slice(0, this.#key.length);
    this.#records = 0;
    this.#bytes = 0;
  }
}
