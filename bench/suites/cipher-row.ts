/** A row without processes: messages that one thread seals and opens again, each as soon as it is sealed. */

import type { Kind, Plan, Round, Row } from "../row.ts";

/** Of messages of one size. Returns what came out, which is checked. */
export type Cipher = (message: Uint8Array) => Uint8Array;

export class CipherRow implements Row {
  readonly id: string;
  readonly kind: Kind;
  /** Messages that one call of the cipher takes. */
  readonly #batch: number;
  readonly #prepare: (bytes: number) => Cipher;
  #cipher: { bytes: number; run: Cipher; message: Uint8Array } | undefined;

  constructor(id: string, kind: Kind, prepare: (bytes: number) => Cipher, batch = 1) {
    this.id = id;
    this.kind = kind;
    this.#prepare = prepare;
    this.#batch = batch;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  round({ bytes, milliseconds }: Plan): Promise<Round> {
    if (this.#cipher?.bytes !== bytes) {
      const message = crypto.getRandomValues(new Uint8Array(bytes));
      this.#cipher = { bytes, run: this.#prepare(bytes), message };
    }
    const { run, message } = this.#cipher;
    const begin = Bun.nanoseconds();
    const end = begin + milliseconds * 1e6;
    let count = 0;
    let now = begin;
    let out = message;
    while (now < end) {
      // Asking for the time takes as long as sealing a short message.
      for (let times = 0; times < callsPerLook; times++) out = run(message);
      count += callsPerLook * this.#batch;
      now = Bun.nanoseconds();
    }
    if (Buffer.compare(out, message) !== 0) throw new Error(`${this.id}: another message came out`);
    return Promise.resolve({ nanoseconds: now - begin, count, samples: [] });
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

const callsPerLook = 16;
