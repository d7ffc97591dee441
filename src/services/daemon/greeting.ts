/**
 * LibIPC's handshake over a stream of bytes: who connects writes the name of a service, without an end to it, and goes on
 * when it reads `ok`. From then on the bytes are the service's.
 *
 *     remote ─▶ p o n g            daemon ─▶ o k       or  error: WHY , and the end
 *
 * A name may come in pieces, and is complete when it is one that is allowed. So of two names that begin alike the
 * shorter one is found where both could be meant; written in one piece, as everybody does, the longer one is. A daemon
 * that is told of two such names says so when it starts (`ambiguity`).
 */

import type { Exposure } from "./exposure.ts";

export type Heard =
  /** It may still become a name. */
  | "more"
  /** It is no name, and will be none. */
  | "refused"
  /** It is a name with more behind it, which is not the service's before `ok`. */
  | "followed"
  | { readonly service: string };

/** What a remote writes first. */
export class Greeting {
  readonly #exposure: Exposure;
  #text = "";

  constructor(exposure: Exposure) {
    this.#exposure = exposure;
  }

  hear(bytes: Uint8Array): Heard {
    // Names are ASCII: any other byte makes it none.
    this.#text += Buffer.from(bytes).toString("latin1");
    const text = this.#text;
    if (this.#exposure.has(text)) return { service: text };
    const { names } = this.#exposure;
    if (names.some((name) => name.startsWith(text))) return "more";
    return names.some((name) => text.startsWith(name)) ? "followed" : "refused";
  }
}

/** What is to be said of names of which one begins another; undefined if none does. */
export function ambiguity({ names }: Exposure): string | undefined {
  for (const short of names) {
    const long = names.find((name) => name !== short && name.startsWith(short));
    if (long === undefined) continue;
    return `"${short}" begins "${long}": a remote whose network hands on "${long}" in two pieces may reach "${short}"; rename one, or give each a daemon of its own`;
  }
  return undefined;
}
