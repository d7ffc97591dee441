/**
 * A remote, which is an address that datagrams come from, and its connection to the service.
 *
 *     first datagram ──▶ waits for its turn, admitted, connecting: what comes is kept ──▶ open ──▶ ended: by time, by the service, with the
 *                          │                                                   daemon
 *                          └─ denied: what comes is dropped, until its time is over and it may be asked for again
 */

import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import type { ConnectOptions } from "../../ipc/context-options.ts";
import type { End } from "../../ipc/handlers.ts";
import type { Message } from "../../ipc/message.ts";
import type { Address } from "../daemon/address.ts";
import type { Admission, Leave } from "../daemon/admission.ts";
import { NotAdmitted } from "../daemon/admission.ts";

export type RemoteOptions = {
  readonly admission: Admission;
  readonly service: string;
  readonly connect: ConnectOptions;
  /** What may wait for the service to take it. */
  readonly queueBytesMax: number;
  /** A message of the service, good until this returns. */
  readonly onMessage: (remote: Remote, message: Message) => void;
  /** Told once; with an error if it was never connected. */
  readonly onEnd: (remote: Remote, why: End | { error: unknown }) => void;
};

export class Remote {
  readonly address: Address;
  readonly #options: RemoteOptions;
  #connection: Connection | undefined;
  /** What came while it was being connected. */
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #over = false;
  #denied = false;
  #leave: Leave | undefined;
  #heardAt = performance.now();
  #answered = false;
  #knows = false;
  #unanswered = 0;

  constructor(address: Address, options: RemoteOptions) {
    this.address = address;
    this.#options = options;
  }

  /** Has it connected to the service; what comes before is kept. */
  begin(): void {
    if (!this.#over) void this.#connect();
  }

  /** When something last came or went. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Whether it has sent something since it was sent something, which nobody does who only borrows an address. */
  get knows(): boolean {
    return this.#knows;
  }

  /** How many more messages went to the service than came back. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /** Whether it may not come in. */
  get denied(): boolean {
    return this.#denied;
  }

  /** Sends a datagram to the service. False where there is no room for it. Throws ECLOSED where its connection is ending. */
  take(bytes: Uint8Array): boolean {
    this.#heardAt = performance.now();
    if (this.#answered) this.#knows = true;
    const waiting = this.#connection?.queuedBytes ?? this.#keptBytes;
    if (waiting + bytes.length > this.#options.queueBytesMax) return false;
    if (this.#connection === undefined) {
      this.#kept.push(bytes);
      this.#keptBytes += bytes.length + keptOverheadBytes;
    } else {
      this.#connection.send(bytes);
    }
    this.#unanswered += 1;
    return true;
  }

  end(): void {
    this.#over = true;
    this.#gone();
    void this.#connection?.close({ now: true });
  }

  async #connect(): Promise<void> {
    const { service, connect: options, admission, onEnd } = this.#options;
    try {
      this.#leave = await admission.admit(service, this.address);
      if (this.#over) return this.#gone();
      const connection = await connect(service, {
        ...options,
        // One for each remote, of which there are many, and rings are large.
        transport: "unix",
        message: (_, message) => this.#answer(message),
        close: (_, end) => {
          this.#gone();
          onEnd(this, end);
        },
      });
      connection.gathers = true;
      this.#connection = connection;
      for (const bytes of this.#kept) connection.send(bytes);
      this.#kept = [];
      if (this.#over) void connection.close({ now: true });
    } catch (error) {
      if (this.#connection !== undefined) {
        void this.#connection.close({ now: true });
        return;
      }
      this.#gone();
      this.#denied = error instanceof NotAdmitted;
      this.#kept = [];
      onEnd(this, { error });
      this.#unanswered = 0;
    }
  }

  #gone(): void {
    this.#leave?.();
    this.#leave = undefined;
  }

  #answer(message: Message): void {
    this.#heardAt = performance.now();
    this.#answered = true;
    if (this.#unanswered > 0) this.#unanswered -= 1;
    this.#options.onMessage(this, message);
  }
}

/** An empty datagram takes up memory too. */
const keptOverheadBytes = 64;
