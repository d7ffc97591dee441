/**
 * A WebSocket to a remote, and the client that a lookup leads there.
 *
 *     shake hands ──▶ waits, paused ──join──▶ client ──▶ socket.send      what waits over the mark: the client waits
 *          │                │                 client ◀── the remote       its queue over the mark: the remote waits
 *          └─ error: WHY    └─ drop
 *
 * Whoever ends it, the other gets what is on the way to it, and then the end.
 */

import type { Connection } from "../../ipc/connection.ts";
import type { End } from "../../ipc/handlers.ts";
import { limitDefaults } from "../../ipc/limits.ts";
import type { Message } from "../../ipc/message.ts";
import type { Uri } from "../../ipc/uri.ts";
import { isClosed } from "../../native/errors.ts";
import { goOnFramed } from "../daemon/framed.ts";
import type { Complain } from "../startable.ts";
import type { Handshake } from "./handshake.ts";
import { placeOf, shakeHands } from "./handshake.ts";
import { Presence } from "./presence.ts";
import { closeCodes } from "./remote.ts";
import type { ConnectionLimits } from "./settings.ts";
import type { Tally } from "./tally.ts";
import { Turn } from "./turn.ts";

/** What all links of a daemon have in common. */
export type LinkHouse = {
  readonly tally: Tally;
  readonly handshake: Handshake;
  /** The limits hold both ways. */
  readonly connection: ConnectionLimits;
  readonly complain: Complain;
  /** It is to be looked at, until its remote has taken what waits. */
  readonly waits: (link: Link) => void;
};

const normal = 1000;
/** The other side is done, or ends; 1005 is no code at all. */
const orderlyCodes: ReadonlySet<number> = new Set([
  normal,
  closeCodes.goingAway,
  1005,
  closeCodes.restart,
]);
/** No close frame came. */
const lostCode = 1006;
const tooLongCode = 1009;

export class Link {
  readonly #house: LinkHouse;
  readonly #place: string;
  readonly #presence = new Presence();
  readonly #over = Promise.withResolvers<void>();
  #socket!: WebSocket;
  #client: Connection | undefined;
  /** What came before the client was joined: no more than one read brings. */
  #early: (string | Uint8Array)[] = [];
  /** We have ended it, and said why. */
  #isEnding = false;
  #isClosed = false;
  readonly #turn = new Turn(() => this.#readOrNot());
  /** Its client has no room for more. */
  #waitsForClient = false;
  #lingering: ReturnType<typeof setInterval> | undefined;

  /** Rejects with an error whose message is for the client, or when the signal aborts. */
  static async dial(uri: Uri, house: LinkHouse, signal: AbortSignal): Promise<Link> {
    const link = new Link(uri, house);
    link.#socket = await shakeHands(uri, house.handshake, signal, (socket) => link.#watch(socket));
    return link;
  }

  private constructor(uri: Uri, house: LinkHouse) {
    this.#place = placeOf(uri);
    this.#house = house;
  }

  /** Resolves when it has ended, whether a client was joined or not. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** Resolves when both have ended. */
  async join(raw: Connection): Promise<void> {
    const { messageBytesMax, queueBytesHigh, queueBytesMax } = this.#house.connection;
    try {
      const client = await goOnFramed(raw, {
        messageBytesMax,
        queueBytesHigh,
        queueBytesMax,
        message: (_, message) => this.#send(message),
        drain: () => this.#drained(),
        close: (_, end) => this.#clientGone(end),
      });
      this.#begin(client);
      await client.ended;
    } catch (error) {
      this.drop();
      throw error;
    }
    await this.over;
  }

  /** Ends it now. */
  drop(): void {
    this.#isEnding = true;
    this.#socket.terminate();
    void this.#client?.close({ now: true });
  }

  /** Reads nothing more from either side, and ends behind what waits for them. */
  finish(): void {
    this.#client?.pause();
    this.#end(closeCodes.goingAway, "this daemon ends");
    void this.#client?.close();
  }

  /** Goes on reading from the client, if its remote has taken enough. Whether it need not be looked at any more. */
  look(): boolean {
    if (this.#socket.bufferedAmount > this.#house.connection.queueBytesHigh / 2) return false;
    this.#client?.resume();
    return true;
  }

  /** To be called again and again; ends it if its remote did not answer. */
  ask(): void {
    const { bufferedAmount: waiting, isPaused } = this.#socket;
    const ping = () => this.#socket.ping();
    if (this.#isEnding || this.#presence.isThere({ waiting, isPaused, ping })) return;
    this.#house.tally.add("outward_unanswered");
    this.#house.complain(this.#place, "dropped: it does not answer", "unanswered");
    this.#isEnding = true;
    this.#socket.terminate();
  }

  // ---- from the client ----

  #send({ bytes, length }: Message): void {
    const { tally, connection } = this.#house;
    // Nobody takes it any more; the client is told by its end.
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    tally.add("outward_messages_in");
    tally.add("outward_bytes_in", length);
    this.#socket.send(bytes);
    const client = this.#client;
    if (client === undefined || client.paused) return;
    if (this.#socket.bufferedAmount <= connection.queueBytesHigh) return;
    tally.add("outward_client_pauses");
    client.pause();
    this.#house.waits(this);
  }

  #clientGone({ reason }: End): void {
    if (this.#isClosed || this.#isEnding) return;
    const { tally, complain } = this.#house;
    if (reason === "closed" || reason === "peer_closed") {
      tally.add("outward_client_closed");
      this.#end(normal, "");
      return;
    }
    tally.add("outward_client_failed");
    complain(this.#place, `closed: the connection of its client ended: ${reason}`, reason);
    this.#end(closeCodes.internal, "the connection of the client broke");
  }

  // ---- from the remote ----

  #watch(socket: WebSocket): void {
    this.#socket = socket;
    const heard = () => this.#presence.heard();
    socket.addEventListener("ping", heard);
    socket.addEventListener("pong", heard);
    socket.onmessage = ({ data }) => this.#hear(data as string | Uint8Array);
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
  }

  #begin(client: Connection): void {
    this.#client = client;
    client.gathers = true;
    if (this.#isClosed) {
      this.#deliverEarly();
      void client.close();
      return;
    }
    if (!client.open) return;
    this.#socket.resume();
    this.#deliverEarly();
    this.#readOrNot();
  }

  #deliverEarly(): void {
    const early = this.#early;
    this.#early = [];
    for (const data of early) this.#hear(data);
  }

  #hear(data: string | Uint8Array): void {
    this.#presence.heard();
    const client = this.#client;
    if (client === undefined) this.#early.push(data);
    else if (client.open && !this.#isEnding) this.#deliver(client, data);
  }

  #deliver(client: Connection, data: string | Uint8Array): void {
    const { tally, connection } = this.#house;
    const length = Buffer.byteLength(data);
    if (length > connection.messageBytesMax) {
      this.#refuseLong(client, length);
      return;
    }
    tally.add("outward_messages_out");
    tally.add("outward_bytes_out", length);
    if (this.#turn.count(length)) tally.add("outward_remote_turns");
    try {
      if (client.send(data) || this.#waitsForClient) return;
    } catch (error) {
      // It broke in this moment, and its end is on its way.
      if (!isClosed(error)) throw error;
      return;
    }
    if (this.#isClosed) return;
    tally.add("outward_remote_pauses");
    this.#waitsForClient = true;
    this.#readOrNot();
  }

  #readOrNot(): void {
    // When it ends, its answer has to be read.
    if (this.#isEnding || this.#isClosed) return;
    const isPaused = this.#waitsForClient || this.#turn.isOver;
    if (this.#socket.isPaused === isPaused) return;
    if (isPaused) this.#socket.pause();
    else this.#socket.resume();
  }

  #refuseLong(client: Connection, length: number): void {
    const { tally, complain, connection } = this.#house;
    tally.add("outward_too_long");
    const what = `closed: a message of ${length} bytes; ${connection.messageBytesMax} are allowed`;
    complain(this.#place, what, "too_long");
    this.#end(tooLongCode, `a message has up to ${connection.messageBytesMax} bytes here`);
    void client.close();
  }

  #drained(): void {
    this.#waitsForClient = false;
    this.#readOrNot();
  }

  #closed(code: number, reason: string): void {
    this.#isClosed = true;
    clearInterval(this.#lingering);
    if (!this.#isEnding && this.#client !== undefined) this.#count(code, reason);
    void this.#client?.close();
    this.#over.resolve();
  }

  #count(code: number, reason: string): void {
    const { tally, complain } = this.#house;
    if (orderlyCodes.has(code)) {
      tally.add("outward_remote_closed");
      return;
    }
    tally.add(code === lostCode ? "outward_remote_lost" : "outward_remote_failed");
    const what =
      code === lostCode ? "it was lost, and said nothing" : `it closed with code ${code}`;
    const why = reason === "" ? what : `${what} (${reason})`;
    complain(this.#place, why, `close_${code}`);
  }

  // ---- ends ----

  /** Says so to the remote, behind what waits for it, and does not wait for ever until that is taken. */
  #end(code: number, why: string): void {
    if (this.#isEnding || this.#isClosed) return;
    this.#isEnding = true;
    const socket = this.#socket;
    // Its answer has to be read.
    socket.resume();
    socket.close(code, why);
    let waiting = socket.bufferedAmount;
    this.#lingering = setInterval(() => {
      if (socket.bufferedAmount >= waiting) socket.terminate();
      waiting = socket.bufferedAmount;
    }, limitDefaults.drainTimeout);
  }
}
