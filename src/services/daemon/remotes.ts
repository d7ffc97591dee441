/**
 * Those who come from a network: each is greeted, and bound to the service that it names.
 *
 *     arrived ──ready──▶ named ──▶ admitted ──▶ connect ──▶ ok, and bound
 *        │                 │          │           └──────▶ error: WHY
 *        │                 │          └─ ipcd denies it, or does not say: error: WHY
 *        │                 └─ none that is allowed: error: WHY
 *        └─ no name for so long: error: WHY
 *
 * What carries them says when one arrives, can be talked to, says something, and goes.
 */

import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import { errorAnswer, ok } from "../../ipc/lookup.ts";
import type { Start } from "../startable.ts";
import { formatAddress } from "./address.ts";
import type { Admission, Leave } from "./admission.ts";
import { NotAdmitted } from "./admission.ts";
import type { Counters } from "./counters.ts";
import type { Exposure } from "./exposure.ts";
import { Greeting } from "./greeting.ts";
import { proxyHeader } from "./proxy.ts";
import type { Bound, Remote } from "./remote.ts";
import { exhaustedText, isExhausted, whyNot } from "./way.ts";

export const remoteCounts = [
  "remotes",
  "remotes_open",
  "remotes_refused",
  "remotes_failed",
  "bytes_in",
  "bytes_out",
] as const;
export type RemoteCount = (typeof remoteCounts)[number];

export type RemoteOptions = {
  readonly exposure: Exposure;
  readonly admission: Admission;
  /** The one service that all are bound to at once, without a greeting. */
  readonly service: string | undefined;
  readonly handshakeMs: number;
  readonly remotesMax: number;
  /** Tells the service who is there. */
  readonly proxy: boolean;
};

/** A remote that has not been bound yet. */
type Guest = {
  readonly greeting: Greeting;
  readonly patience: ReturnType<typeof setTimeout>;
  /** Its name was heard, and nothing more is to come before it is answered. */
  named: boolean;
};

/** What a refusal is counted as, and a flood of them told as. */
type Refusal = "handshake" | "name" | "denied" | "full" | "failed" | "tls";

/** The same for one that there is and that is not for them: what is here is not for others to know. */
const noService = "there is no such service here";
const bytesBehind = "there are bytes behind the name; wait for ok";

/** More than any name has: what is beyond one is noticed, and not much is read of what is none. */
export const readBytesMax = 512;

export class Remotes {
  readonly #start: Start;
  readonly #options: RemoteOptions;
  readonly #counters: Counters<RemoteCount>;
  readonly #guests = new Map<Remote, Guest>();
  readonly #bound = new Set<Bound>();

  constructor(start: Start, options: RemoteOptions, counters: Counters<RemoteCount>) {
    this.#start = start;
    this.#options = options;
    this.#counters = counters;
  }

  /** Ends those that are bound. */
  close(): void {
    for (const bound of this.#bound) bound.close();
  }

  /** One has come. From now on it has so long to name a service. */
  arrive(remote: Remote): void {
    this.#counters.add("remotes");
    const { exposure, handshakeMs, remotesMax } = this.#options;
    const patience = setTimeout(
      () => this.refuse(remote, `no service was named within ${handshakeMs} ms`, "handshake"),
      handshakeMs,
    );
    this.#guests.set(remote, { greeting: new Greeting(exposure), patience, named: false });
    if (this.#bound.size + this.#guests.size <= remotesMax) return;
    this.refuse(remote, "there are as many remotes as are allowed; try again later", "full");
  }

  /** It can be talked to. */
  ready(remote: Remote): void {
    const { service } = this.#options;
    const guest = this.#guests.get(remote);
    if (guest === undefined || service === undefined) return;
    // Bytes that come at once are the service's own; they wait in the kernel.
    remote.pause();
    void this.#lead(remote, guest, service);
  }

  hear(remote: Remote, bytes: Uint8Array): void {
    const guest = this.#guests.get(remote);
    if (guest === undefined) return;
    if (guest.named) {
      this.refuse(remote, bytesBehind, "handshake");
      return;
    }
    const heard = guest.greeting.hear(bytes);
    if (heard === "more") return;
    if (heard === "followed") this.refuse(remote, bytesBehind, "handshake");
    else if (heard === "refused") this.refuse(remote, noService, "name");
    else void this.#lead(remote, guest, heard.service);
  }

  /** It has gone, or is nobody's any more. */
  forget(remote: Remote): void {
    clearTimeout(this.#guests.get(remote)?.patience);
    this.#guests.delete(remote);
  }

  /** `text` is for the remote, `known` for whoever runs this. One that was bound or refused is left alone. */
  refuse(remote: Remote, text: string, kind: Refusal, known = text): void {
    if (!this.#guests.has(remote)) return;
    this.forget(remote);
    this.#counters.add(kind === "failed" ? "remotes_failed" : "remotes_refused");
    this.#start.complain(formatAddress(remote.address), known, kind);
    // Some cannot be told why, and are to go all the same.
    if (remote.open) remote.send(errorAnswer(text));
    remote.close();
  }

  async #lead(remote: Remote, guest: Guest, service: string): Promise<void> {
    guest.named = true;
    const leave = await this.#admit(remote, service);
    if (leave === undefined) return;
    // Who has gone meanwhile needs no connection.
    if (!this.#guests.has(remote)) {
      leave();
      return;
    }
    let local: Connection;
    try {
      local = await this.#connect(service);
    } catch (error) {
      leave();
      this.refuse(remote, excuse(error, service), "failed", whyNot(error));
      return;
    }
    if (!this.#guests.has(remote) || !remote.open) {
      leave();
      await local.close({ now: true });
      return;
    }
    try {
      this.#join(remote, local, leave);
    } catch (error) {
      leave();
      // After ok there is nothing to say but the end.
      this.forget(remote);
      this.#counters.add("remotes_failed");
      this.#start.complain(formatAddress(remote.address), whyNot(error), "failed");
      remote.close();
      await local.close({ now: true });
    }
  }

  /** Undefined for one that is refused. */
  async #admit(remote: Remote, service: string): Promise<Leave | undefined> {
    try {
      return await this.#options.admission.admit(service, remote.address);
    } catch (error) {
      if (!(error instanceof NotAdmitted)) throw error;
      this.refuse(remote, error.isDenied ? noService : error.excuse, "denied", error.message);
      return undefined;
    }
  }

  /** Not a byte of it has been read, so that all of them go to the remote. */
  #connect(service: string): Promise<Connection> {
    const { rundir, shared } = this.#start.options;
    return connect(service, {
      rundir,
      shared,
      // Those here, and no others.
      network: "",
      raw: true,
      open: (local) => local.pause(),
    });
  }

  #join(remote: Remote, local: Connection, leave: Leave): void {
    if (this.#options.service === undefined) remote.send(ok);
    if (this.#options.proxy) local.send(proxyHeader(remote.address, remote.destination));
    const bound = remote.join(local);
    this.forget(remote);
    this.#bound.add(bound);
    this.#counters.add("remotes_open");
    void bound.ended.then(() => {
      leave();
      this.#bound.delete(bound);
      this.#counters.add("remotes_open", -1);
      this.#counters.add("bytes_in", bound.received[0]);
      this.#counters.add("bytes_out", bound.sent[0]);
    });
  }
}

/** What a remote is told of a failure: where things are on this machine is not for others to know. */
function excuse(error: unknown, service: string): string {
  if (isExhausted(error)) return exhaustedText;
  const { code } = error as { code?: string };
  const isKnown = code === "ENOENT" || code === "ECONNREFUSED" || code === "EBUSY";
  return isKnown ? `"${service}" is not there now; try again later` : "it failed here";
}
