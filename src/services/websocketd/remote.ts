/**
 * One remote: a WebSocket, bound to a connection to a service.
 *
 *     remote ──receive──▶ connection.send      its queue over the mark: the WebSocket is read no more, until it drains
 *     remote ◀──deliver── the service          what waits for the remote over the mark: the service is read no more
 *
 * So nothing grows without bound, and whoever is slow is waited for by the one it talks to, and by nobody else.
 */

import { isUtf8 } from "node:buffer";
import type { Connection } from "../../ipc/connection.ts";
import { Fifo } from "../../ipc/fifo.ts";
import type { End } from "../../ipc/handlers.ts";
import type { Message } from "../../ipc/message.ts";
import { isClosed } from "../../native/errors.ts";
import type { Leave } from "../daemon/admission.ts";
import type { Admission } from "./door.ts";
import { Presence } from "./presence.ts";
import type { Tally } from "./tally.ts";
import { Turn } from "./turn.ts";

export type Socket = Bun.ServerWebSocket<Remote>;

/** RFC 6455, section 7.4.1, and the registry it founded. */
export const closeCodes = {
  goingAway: 1001,
  policy: 1008,
  internal: 1011,
  restart: 1012,
  tryAgainLater: 1013,
} as const;

/** Compressing shorter ones costs more than it saves. */
const compressBytesMin = 256;

/** What all remotes of a daemon have in common. */
export type House = {
  readonly tally: Tally;
  readonly queueBytesHigh: number;
  readonly deflate: boolean;
  readonly heldBytesMax: number;
  /** What waits for all of them, and for their services. */
  held(): number;
};

/** All remotes are looked at when one sends, or is sent, as much at once; what less comes to is bounded by their number. */
const largeBytes = 64 * 1024;

export class Remote {
  /** Its address. */
  readonly who: string;
  readonly #house: House;
  readonly #service: string;
  readonly #isText: boolean;
  #socket: Socket | undefined;
  #connection: Connection | undefined;
  #leave: Leave | undefined;
  /** What the service has said in this batch, to go out together when the batch is over. */
  #batch: Message[] = [];
  readonly #presence = new Presence();
  /** Its service has no room for more. */
  #waitsForService = false;
  readonly #turn = new Turn(() => this.#goOn());
  /** What was read of it already, and is for a later turn: no more than Bun reads at once, since it is paused then. */
  readonly #backlog = new Fifo<string | Uint8Array>();
  #backlogBytes = 0;
  /** What waits for it is the last it gets. */
  #isLast = false;
  /** When a message last went either way, in milliseconds. */
  #moved = performance.now();
  /** Since it was last looked at. */
  #hasMoved = false;

  constructor(who: string, { service, speech }: Admission, house: House) {
    this.who = who;
    this.#service = service;
    this.#isText = speech === "earshot.text";
    this.#house = house;
  }

  get service(): string {
    return this.#service;
  }

  /** `leave` is called when it has gone. */
  bind(connection: Connection, leave: Leave): void {
    this.#connection = connection;
    this.#leave = leave;
  }

  /** The handshake is done: now both ends are there. */
  opened(socket: Socket): void {
    this.#socket = socket;
  }

  // ---- from the remote ----

  /** A message for the service. */
  receive(message: string | Uint8Array): void {
    this.#presence.heard();
    this.#hasMoved = true;
    const connection = this.#connection;
    // What was read already still comes after the service has gone.
    if (connection === undefined || !connection.open) return;
    const { tally } = this.#house;
    const length = Buffer.byteLength(message);
    tally.add("messages_in");
    tally.add("bytes_in", length);
    if (this.#isTooMuch(length, length)) return;
    if (this.#backlog.length === 0 && !this.#turn.isOver && !this.#waitsForService) {
      this.#pass(message, length, connection);
      return;
    }
    this.#backlog.push(message);
    this.#backlogBytes += length;
  }

  #pass(message: string | Uint8Array, length: number, connection: Connection): void {
    const { tally } = this.#house;
    if (this.#turn.count(length)) tally.add("remote_turns");
    try {
      if (connection.send(message) || this.#waitsForService) return;
    } catch (error) {
      // It broke in this moment, and its end is on its way.
      if (!isClosed(error)) throw error;
      return;
    }
    tally.add("remote_pauses");
    this.#waitsForService = true;
    this.#readOrNot();
  }

  /** Whatever it waited for, it waits for less now, or for more. */
  #goOn(): void {
    while (!this.#turn.isOver && !this.#waitsForService && this.#backlog.length > 0) {
      this.#passNext();
    }
    this.#readOrNot();
  }

  #passNext(): void {
    const message = this.#backlog.shift()!;
    const length = Buffer.byteLength(message);
    this.#backlogBytes -= length;
    const connection = this.#connection;
    if (connection?.open === true) this.#pass(message, length, connection);
  }

  #readOrNot(): void {
    const socket = this.#socket;
    const isPaused = this.#waitsForService || this.#turn.isOver || this.#backlog.length > 0;
    if (socket === undefined || socket.isPaused === isPaused) return;
    if (isPaused) socket.pause();
    else socket.resume();
  }

  /** Whether so many bytes `more` are more than is held for all; then it has to go, so that nobody else has to. */
  #isTooMuch(length: number, more: number): boolean {
    const { heldBytesMax, tally } = this.#house;
    if (length < largeBytes || this.#house.held() + more <= heldBytesMax) return false;
    tally.add("over_held");
    this.end(closeCodes.tryAgainLater, "as much waits here as may, try again later");
    return true;
  }

  /** A pong, or a ping of its own. */
  heard(): void {
    this.#presence.heard();
  }

  /** It has room again. */
  drained(): void {
    this.#presence.heard();
    const connection = this.#connection;
    if (connection?.paused !== true || this.#isLast) return;
    if (this.queuedBytes <= this.#house.queueBytesHigh / 2) connection.resume();
  }

  /** It has gone. What it had said is still sent to the service. */
  async left(): Promise<void> {
    this.#leave?.();
    this.#leave = undefined;
    this.#socket = undefined;
    this.#house.tally.add("lost", this.#batch.length);
    this.#batch = [];
    while (this.#backlog.length > 0) this.#passNext();
    await this.#connection?.close();
  }

  // ---- from the service ----

  /** A message for the remote. All of a batch go out together: a system call for each would cost most of the time. */
  deliver(message: Message): void {
    if (this.#socket === undefined) {
      this.#house.tally.add("lost");
      return;
    }
    // The loop runs what is queued here when the batch is over, and before it waits for the next; until then the
    // messages are good.
    if (this.#batch.push(message) === 1) queueMicrotask(this.#flush);
  }

  /** The service has room again. */
  serviceDrained(): void {
    this.#waitsForService = false;
    this.#goOn();
  }

  /** The connection has ended. */
  serviceGone({ reason }: End): void {
    this.#flush();
    if (this.#socket === undefined) return;
    this.#house.tally.add("service_gone");
    if (reason === "peer_closed") {
      this.end(closeCodes.restart, `${this.#service} ended the connection`);
    } else {
      this.end(closeCodes.internal, `the connection to ${this.#service} ended: ${reason}`);
    }
  }

  // ---- from the daemon ----

  /** Bytes that wait for the remote. */
  get queuedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  /** Bytes that wait for it, and for its service. */
  get heldBytes(): number {
    const batched = this.#batch.reduce((sum, { length }) => sum + length, 0);
    return this.queuedBytes + batched + this.#backlogBytes + (this.#connection?.queuedBytes ?? 0);
  }

  /** Reads nothing more from the service, so that an end comes to what waits. */
  finish(): void {
    this.#isLast = true;
    this.#connection?.pause();
  }

  /** Closes it behind what waits for it. */
  end(code: number, why: string): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#flush();
    socket.close(code, why);
  }

  /** Closes it now. */
  drop(): void {
    this.#socket?.terminate();
  }

  /** Whether it is still there, or may be; asks it if that is in doubt. To be called again and again. */
  isThere(): boolean {
    const socket = this.#socket;
    if (socket === undefined) return true;
    return this.#presence.isThere({
      waiting: socket.getBufferedAmount(),
      isPaused: socket.isPaused,
      ping: () => void socket.ping(),
    });
  }

  /** For how long no message has gone either way, at the time `now`, as far as is known. */
  idleMs(now: number): number {
    if (this.#hasMoved) this.#moved = now;
    this.#hasMoved = false;
    return now - this.#moved;
  }

  readonly #flush = (): void => {
    if (this.#batch.length === 0) return;
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#hasMoved = true;
    socket.cork(this.#sendBatch);
    this.#batch = [];
    const connection = this.#connection;
    // It does not read, so that nothing of what waits would get there, be it the reason.
    if (this.#isTooMuch(socket.getBufferedAmount(), 0)) {
      socket.terminate();
      return;
    }
    if (connection === undefined || connection.paused) return;
    if (socket.getBufferedAmount() <= this.#house.queueBytesHigh) return;
    this.#house.tally.add("service_pauses");
    connection.pause();
  };

  readonly #sendBatch = (): void => {
    const socket = this.#socket!;
    const { tally, deflate } = this.#house;
    let bytesOut = 0;
    for (const message of this.#batch) {
      const { bytes, length } = message;
      bytesOut += length;
      const compress = deflate && length >= compressBytesMin;
      if (!this.#isText) socket.sendBinary(bytes, compress);
      else if (isUtf8(bytes)) socket.sendText(message.text(), compress);
      else {
        tally.add("not_text");
        socket.sendBinary(bytes, compress);
      }
    }
    tally.add("messages_out", this.#batch.length);
    tally.add("bytes_out", bytesOut);
  };
}
