/**
 * Those who come over TCP: each is greeted, and bound to the service that it names.
 *
 *     accepted ──name──▶ connect ──▶ ok, and bound: bytes pass without JavaScript
 *        │                  └──────▶ error: WHY
 *        └─ no name for so long, or none that is allowed: error: WHY
 */

import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import type { InternetAddress } from "../../ipc/internet-address.ts";
import { errorAnswer, ok } from "../../ipc/lookup.ts";
import { serve } from "../../ipc/serve.ts";
import type { Service } from "../../ipc/service.ts";
import type { Switch } from "../../ipc/switch.ts";
import { bind } from "../../ipc/switch.ts";
import type { Address } from "../daemon/address.ts";
import { formatAddress } from "../daemon/address.ts";
import type { Counters } from "../daemon/counters.ts";
import type { Exposure } from "../daemon/exposure.ts";
import { Greeting } from "../daemon/greeting.ts";
import { proxyHeader } from "../daemon/proxy.ts";
import { whyNot } from "../daemon/way.ts";
import type { Start } from "../startable.ts";

export const remoteCounts = [
  "remotes",
  "remotesOpen",
  "remotesRefused",
  "remotesFailed",
  "bytesIn",
  "bytesOut",
] as const;
export type RemoteCount = (typeof remoteCounts)[number];

export type RemoteOptions = {
  readonly exposure: Exposure;
  /** The one service that all are bound to at once, without a greeting. */
  readonly service: string | undefined;
  readonly handshakeMs: number;
  readonly remotesMax: number;
  /** Tells the service who is there. */
  readonly proxy: boolean;
};

/** A remote that has not been bound yet. */
type Guest = {
  readonly address: InternetAddress;
  readonly greeting: Greeting;
  readonly patience: ReturnType<typeof setTimeout>;
  /** Its name was heard, and nothing more is to come before it is answered. */
  named: boolean;
};

/** More than any name has: what is beyond one is noticed, and not much is read of what is none. */
const readBytesMax = 512;

export class Remotes {
  readonly #start: Start;
  readonly #options: RemoteOptions;
  readonly #counters: Counters<RemoteCount>;
  readonly #guests = new Map<Connection, Guest>();
  readonly #bound = new Set<Switch>();
  #own: InternetAddress | undefined;
  #listener: Service | undefined;

  constructor(start: Start, options: RemoteOptions, counters: Counters<RemoteCount>) {
    this.#start = start;
    this.#options = options;
    this.#counters = counters;
  }

  /** Where they can come from now on. */
  async listen(address: InternetAddress): Promise<Address> {
    const { options } = this.#start;
    this.#listener = await serve(
      this.#start.name,
      {
        open: (remote) => this.#open(remote),
        message: (remote, { bytes }) => this.#hear(remote, bytes),
        close: (remote) => this.#forget(remote),
        trouble: this.#start.reports.trouble,
        error: (remote, error) => this.#refuse(remote, whyNot(error), "failed"),
      },
      {
        address,
        raw: true,
        messageBytesMax: readBytesMax,
        queueBytesMax: options.queueBytesMax,
        connectionsMax: this.#options.remotesMax,
      },
    );
    this.#own = this.#listener.address;
    return this.#own;
  }

  async close(now: boolean): Promise<void> {
    for (const bound of this.#bound) bound.close();
    await this.#listener?.close({ now });
  }

  #open(remote: Connection): void {
    this.#counters.add("remotes");
    const { exposure, handshakeMs, remotesMax, service } = this.#options;
    const address = remote.remote;
    const patience = setTimeout(
      () => this.#refuse(remote, `no service was named within ${handshakeMs} ms`, "handshake"),
      handshakeMs,
    );
    const guest = { address, greeting: new Greeting(exposure), patience, named: false };
    this.#guests.set(remote, guest);
    if (this.#bound.size + this.#guests.size > remotesMax) {
      this.#refuse(remote, "there are as many remotes as are allowed; try again later", "full");
    } else if (service !== undefined) {
      void this.#lead(remote, guest, service);
    }
  }

  #hear(remote: Connection, bytes: Uint8Array): void {
    const guest = this.#guests.get(remote);
    if (guest === undefined) return;
    if (guest.named) {
      this.#refuse(remote, "there are bytes behind the name; wait for ok", "handshake");
      return;
    }
    const heard = guest.greeting.hear(bytes);
    if (heard === "more") return;
    if (heard === "refused") this.#refuse(remote, "there is no such service here", "name");
    else void this.#lead(remote, guest, heard.service);
  }

  async #lead(remote: Connection, guest: Guest, service: string): Promise<void> {
    guest.named = true;
    const greets = this.#options.service === undefined;
    // Bytes that come at once are the service's own; they wait in the kernel.
    if (!greets) remote.pause();
    const { rundir, shared } = this.#start.options;
    try {
      const local = await connect(service, { rundir, shared, network: "" });
      if (!this.#guests.has(remote) || !remote.open) {
        await local.close({ now: true });
        return;
      }
      if (greets) remote.send(ok);
      this.#join(remote, local, guest);
    } catch (error) {
      const { code } = error as { code?: string };
      const known = code === "ENOENT" || code === "ECONNREFUSED" || code === "EBUSY";
      // Where things are on this machine is not for others to know.
      const text = known ? `"${service}" is not there now; try again later` : "it failed here";
      this.#refuse(remote, text, "failed", whyNot(error));
    }
  }

  #join(remote: Connection, local: Connection, guest: Guest): void {
    if (this.#options.proxy) local.send(proxyHeader(guest.address, this.#own!));
    const bound = bind(remote, local);
    this.#bound.add(bound);
    this.#counters.add("remotesOpen");
    clearTimeout(guest.patience);
    void bound.ended.then(() => {
      this.#bound.delete(bound);
      this.#counters.add("remotesOpen", -1);
      this.#counters.add("bytesIn", bound.received[0]);
      this.#counters.add("bytesOut", bound.sent[0]);
    });
  }

  #refuse(remote: Connection, text: string, kind: string, known = text): void {
    const guest = this.#guests.get(remote);
    if (guest === undefined) return;
    this.#forget(remote);
    this.#counters.add(kind === "failed" ? "remotesFailed" : "remotesRefused");
    this.#start.complain(formatAddress(guest.address), known, kind);
    if (!remote.open) return;
    remote.send(errorAnswer(text));
    void remote.close();
  }

  #forget(remote: Connection): void {
    clearTimeout(this.#guests.get(remote)?.patience);
    this.#guests.delete(remote);
  }
}
