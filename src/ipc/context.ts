/**
 * A context: owns services, connections, timers and external descriptors, and reports what happens to them. One native
 * call waits for, and brings, a whole batch of events.
 */

import { join } from "node:path";
import type { Areas } from "../native/areas.ts";
import { mapAreas } from "../native/areas.ts";
import type { IpcError, Subject } from "../native/errors.ts";
import { codes, errorOf, IpcError as Failure, systemFailure } from "../native/errors.ts";
import {
  Address as AddressLayout,
  closeHow,
  constants,
  EventType,
  Failure as FailureLayout,
  Peer as PeerLayout,
  Statistics as StatisticsLayout,
} from "../native/layout.ts";
import type { IpcLibrary } from "../native/library.ts";
import { ipcLibrary, own } from "../native/library.ts";
import { Struct } from "../native/struct.ts";
import type { Address } from "../native/symbols.ts";
import type {
  AdoptOptions,
  ConnectOptions,
  ContextOptions,
  SendOptions,
  ServiceOptions,
} from "./context-options.ts";
import {
  fullBacklog,
  nativeConnect,
  nativeContext,
  nativeLimits,
  nativeService,
} from "./context-options.ts";
import { Converters } from "./converters.ts";
import { Descriptor, numberOf, numbersOf } from "./descriptor.ts";
import { Doorbell } from "./doorbell.ts";
import { isElsewhere, lookUpNow } from "./elsewhere.ts";
import type { Held } from "./event.ts";
import { Event, eventWords } from "./event.ts";
import type { Format } from "./format.ts";
import type { InternetAddress } from "./internet-address.ts";
import { nativeAddress, readAddress } from "./internet-address.ts";
import type { Limits } from "./limits.ts";
import type { Inbox, Payload } from "./message.ts";
import { bytesOf, memoryOf, sizeBound, stale } from "./message.ts";
import { handleOf, patience, textOf, u32Max, whole, within } from "./numbers.ts";
import { Outbox } from "./outbox.ts";
import type { RunDirectoryOptions } from "./run-directory.ts";
import { nativeText, runDirectory } from "./run-directory.ts";
import type { Statistics } from "./statistics.ts";
import { readStatistics } from "./statistics.ts";

/** Who is at the other end, as the kernel saw it when the connection was made. */
export type Peer = {
  uid: number;
  gid: number;
  /** 0 where the system does not tell. */
  pid: number;
  /** Where the connection is sealed: the public key of the other end, which it has shown to be its own. */
  publicKey?: string;
};

/** What became of messages that were handed over: bytes queued, or a code below zero. */
export type Sent = { result: number; messages: number; bytes: number };

/** After so long whoever hands events out on Bun's loop lets the rest of it have its turn. */
export const turnMs = 0.5;
/** A service's queue of new connections is looked at so often, in milliseconds, while it is full. */
export const busyRetryMs = 2;
const nsPerMs = 1e6;
const forever = -1;
const noCallback = 0 as Address;
/** Beyond this a payload is sent from where it lies instead of being copied into the outbox. */
const directBytesMin = 32 * 1024;
const closed = new Struct(FailureLayout);

/**
 * @example
 * const context = new Context();
 * const connection = context.connect("pong");
 * context.schedule(connection, "hello");
 * for (const event of context) {
 *   if (event.type === EventType.MessageRx) break;
 * }
 * context.close();
 */
export class Context implements Disposable {
  readonly #library: IpcLibrary;
  readonly #areas: Areas;
  readonly #outbox: Outbox;
  readonly #inbox: Inbox;
  readonly #rundir: string | undefined;
  #address: Address | undefined;
  #doorbell: Doorbell | undefined;
  /** The bell's descriptor, and the other end as long as nothing rings it. */
  #bellNumber = -1;
  #ringer: Descriptor | undefined;
  #hasThread = false;
  #bellEnds: Promise<readonly [number, number]> | undefined;
  #iterated = false;
  /** `events()` sleeps, and what it sleeps on was settled before it fell asleep. */
  #asleep = false;
  #count = 0;
  #at = 0;
  /** Who is being sent to, and what was queued for it when its last run was settled. */
  #asked = 0;
  #queued = 0;
  /** There are none before there is a switch with a format. */
  #converters: Converters | undefined;
  /** Where native code puts the descriptors of a message. */
  readonly #taken = new Int32Array(constants.descriptors_max);
  /** Those of this batch that somebody has looked at, a message's together. */
  #arrived: (readonly Descriptor[])[] = [];
  /** Why things that this side asked for could not be done; they come first in the next batch. */
  #errors: Event[] = [];
  /** @internal Told what became of what was sent, instead of an Error event. */
  onSent: ((connection: number, sent: Sent) => void) | undefined;

  constructor(options: ContextOptions = {}) {
    this.#library = ipcLibrary();
    this.#rundir = options.rundir;
    const given = nativeContext(options);
    const address = new BigUint64Array(1);
    const failure = new Struct(FailureLayout);
    const result = this.#library.calls.earshot_ipc_context_open(given, address, failure.bytes);
    if (result < 0) throw errorOf(result, systemFailure(failure));
    this.#address = Number(address[0]) as Address;
    this.#areas = mapAreas(this.#library, this.#address);
    this.#outbox = new Outbox(this.#areas.outbox);
    const { inbox } = this.#areas;
    this.#inbox = {
      bytes: Buffer.from(inbox.buffer, inbox.byteOffset, inbox.byteLength),
      generation: 0,
    };
  }

  get closed(): boolean {
    return this.#address === undefined;
  }

  // ---- adding ----

  /** Serves `name`; its connections come as Connection events. Returns the service's handle. */
  serve(name: string, options: ServiceOptions = {}): number {
    textOf("name", name);
    const directory = this.#directory(options.rundir);
    const handle = this.#library.calls.earshot_ipc_serve(
      this.#open(),
      ...nativeText(directory),
      ...nativeText(name),
      ...nativeService(options),
    );
    return this.#added(handle, { service: name, path: directory });
  }

  /**
   * Serves `name` in place of another process, which has sent copies of its descriptors (`copies`): from now on both
   * accept, until that one closes its service with `leave`. Takes the descriptors over.
   */
  takeOver(name: string, copies: readonly Descriptor[], options: ServiceOptions = {}): number {
    textOf("name", name);
    const [socket, lock] = copies;
    if (socket === undefined || lock === undefined || copies.length > 2 || socket === lock) {
      throw new Failure(
        "EINVAL",
        "EINVAL: taking a name over takes two descriptors, its socket and its lock",
      );
    }
    const directory = this.#directory(options.rundir);
    const handle = this.#library.calls.earshot_ipc_take_over(
      this.#open(),
      ...nativeText(directory),
      ...nativeText(name),
      socket.number,
      lock.number,
      ...nativeService(options),
    );
    if (handle === codes.service_foreign.number) {
      throw new Failure(
        "EINVAL",
        `EINVAL: the descriptors are not the socket and the lock of "${name}" in ${directory}; have them from whoever ` +
          "serves it (copies)",
        { service: name, path: directory },
      );
    }
    this.#checked(handle, { service: name, path: directory });
    for (const descriptor of copies) descriptor.take();
    return this.#added(handle);
  }

  /**
   * Goes on with a socket that was made elsewhere, and takes it over. One that listens is a service from now on, with
   * Connection events, whose name is for others to look after; any other is a connection. Returns its handle.
   */
  adopt(descriptor: number | Descriptor, options: AdoptOptions = {}): number {
    const number = numberOf(descriptor);
    const handle = this.#library.calls.earshot_ipc_adopt(
      this.#open(),
      number,
      ...nativeService(options),
    );
    this.#checked(handle, { descriptor: number });
    if (descriptor instanceof Descriptor) descriptor.take();
    return this.#added(handle);
  }

  /** @internal The same for who can go on with one of the two alone. Throws EINVAL for the other. */
  adoptAs(
    kind: "connection" | "service",
    descriptor: number | Descriptor,
    options: AdoptOptions,
  ): number {
    const handle = this.adopt(descriptor, options);
    const peer = new Struct(PeerLayout);
    const isConnection =
      this.#library.calls.earshot_ipc_peer(this.#open(), handle, peer.bytes) >= 0;
    if (isConnection === (kind === "connection")) return handle;
    // It is closed, as it would be had nobody taken it over.
    this.closeHandle(handle, { now: true });
    throw new Failure(
      "EINVAL",
      isConnection
        ? "EINVAL: the descriptor is a connection; serve takes a socket that listens, and connect takes this one"
        : "EINVAL: the descriptor is a socket that listens; connect takes a connection, and serve takes this one",
    );
  }

  /**
   * Copies of what a handle stands for, to be given to another process: the socket of a connection or a service, then
   * the lock of a service that has one. Throws EBUSY for a connection that is in the middle of a message.
   */
  copies(handle: number): Descriptor[] {
    handleOf(handle);
    this.flush();
    const numbers = new Int32Array(constants.copies_max);
    const count = this.#checked(
      this.#library.calls.earshot_ipc_copies(this.#open(), handle, numbers),
    );
    return Array.from(numbers.subarray(0, count), (number) => new Descriptor(number));
  }

  /**
   * Two sockets that are connected to each other: one to `adopt`, and one to give to a process that nothing else leads
   * to.
   */
  pair(): [Descriptor, Descriptor] {
    const numbers = new Int32Array(2);
    this.#checked(this.#library.calls.earshot_ipc_pair(this.#open(), numbers));
    return [new Descriptor(numbers[0]!), new Descriptor(numbers[1]!)];
  }

  /**
   * Accepts TCP connections at an address; port 0 takes one that is free, and `address` tells which. All of IPv6, `::`,
   * stands for IPv4 as well, and who comes by that has an address of IPv4. Whoever they come from is let in: the kernel
   * knows of no user there.
   */
  listen(address: InternetAddress, options: Limits & Pick<ServiceOptions, "backlog"> = {}): number {
    const limits = nativeLimits(options);
    const handle = this.#library.calls.earshot_ipc_listen(
      this.#open(),
      nativeAddress(address).bytes,
      fullBacklog(options),
      limits,
    );
    return this.#added(handle, { path: `${address.host} port ${address.port}` });
  }

  /**
   * Begins a TCP connection. Its Connection event tells that it is there, and its Disconnection that it cannot be made.
   * How long that may take is for the caller to say, who closes it.
   */
  dial(address: InternetAddress, options: Limits = {}): number {
    const limits = nativeLimits(options);
    const handle = this.#library.calls.earshot_ipc_dial(
      this.#open(),
      nativeAddress(address).bytes,
      limits,
    );
    return this.#added(handle);
  }

  /** Where the other end of a TCP connection is, or where a service listens. Throws ENOTSUP for what is not TCP. */
  address(handle: number): InternetAddress {
    return this.#addressBy("earshot_ipc_address", handle);
  }

  /** The same for this end of a connection: where it came to, which one that listens everywhere does not say. */
  ownAddress(handle: number): InternetAddress {
    return this.#addressBy("earshot_ipc_own_address", handle);
  }

  #addressBy(
    call: "earshot_ipc_address" | "earshot_ipc_own_address",
    handle: number,
  ): InternetAddress {
    const record = new Struct(AddressLayout);
    this.#checked(this.#library.calls[call](this.#open(), handleOf(handle), record.bytes));
    return readAddress(record);
  }

  /**
   * Binds two connections or external descriptors: what arrives on one leaves by the other from now on, natively and a
   * bounded part at a time. Both handles are gone then. The end of what comes from one side is passed on, and the other
   * side goes on; when both are over, or one breaks, a Disconnection tells that the switch is. SwitchRx and SwitchTx
   * events tell how many bytes came, and left, at which end. Messages of the two that an iteration has not come to yet
   * go along.
   *
   * What can be read needs another that can be written, or it throws EBADF. Between two that have one direction each,
   * and from a file to a connection that was paused before (which is not read then), bytes go one way.
   *
   * With a format, `other` speaks something of its own, and `one` messages.
   */
  switch(one: number, other: number, format: Format = {}): number {
    if (handleOf(one) === handleOf(other)) {
      throw new Failure(
        "EINVAL",
        `EINVAL: a switch binds two, and both of these are handle ${one}`,
      );
    }
    this.flush();
    const handle = this.#library.calls.earshot_ipc_switch(this.#open(), one, other, this.#at);
    if (handle === codes.invalid_argument.number) {
      throw new Failure(
        "EINVAL",
        `EINVAL: nothing can pass between handles ${one} and ${other}: both can only be read, or only be written; or ` +
          "descriptors that wait to be sent on one of them could not go along",
      );
    }
    this.#added(handle, { ends: [one, other] });
    if (format.in !== undefined || format.out !== undefined) this.#convertAt(handle, format);
    return handle;
  }

  #convertAt(handle: number, format: Format): void {
    this.#converters ??= new Converters({
      hand: (piece) => {
        const { calls } = this.#library;
        // In the middle of a wait its owner makes no call, but this is for the wait.
        const result = calls.earshot_ipc_convert(this.#address!, sendable(piece), piece.length);
        if (result < 0) throw errorOf(result, { errno: 0, syscall: 0, detail: 0 });
      },
      fail: (handle, error) => this.#tell(handle, error),
    });
    const result = this.#library.calls.earshot_ipc_switch_converters(
      this.#open(),
      handle,
      1,
      ...this.#converters.add(handle, format),
      // What they are called with: an address to native code, and the handle to us.
      handle as Address,
    );
    this.#checked(result);
  }

  /** An Error event, which comes first in the next batch. */
  #tell(handle: number, error: Failure, messages = 0, bytes = 0): void {
    const record = new Uint32Array(eventWords);
    record[1] = handle;
    record[4] = messages;
    record[6] = bytes;
    this.#errors.push(new Event(record, 0, this.#inbox, this.#held, error));
  }

  /** Where the service `name` is, or would be, found. */
  path(name: string, rundir?: string): string {
    return join(this.#directory(rundir), textOf("name", name));
  }

  /**
   * Connects to a service and returns the connection's handle. While the service has no room for another connection
   * this blocks, for at most `timeout`.
   */
  connect(name: string, options: ConnectOptions = {}): number {
    if (isElsewhere(name, options)) {
      using found = lookUpNow(new Context(), name, this.#placed(options));
      return this.adopt(found, options);
    }
    const until = performance.now() + (patience("timeout", options.timeout ?? 5000) ?? Infinity);
    while (true) {
      const handle = this.tryConnect(name, options);
      if (handle !== undefined) return handle;
      if (performance.now() >= until) throw busy(name);
      Bun.sleepSync(busyRetryMs);
    }
  }

  #placed<Options extends RunDirectoryOptions>(options: Options): Options {
    return { ...options, rundir: options.rundir ?? this.#rundir };
  }

  /** Like `connect`, but here alone, and undefined while the service has no room for another connection. */
  tryConnect(name: string, options: ConnectOptions = {}): number | undefined {
    textOf("name", name);
    const given = nativeConnect(options);
    const directory = this.#directory(options.rundir);
    const handle = this.#library.calls.earshot_ipc_connect(
      this.#open(),
      ...nativeText(directory),
      ...nativeText(name),
      given,
    );
    if (handle === codes.service_busy.number) return undefined;
    return this.#added(handle, { service: name, path: directory });
  }

  /**
   * Reports, as External events, that a descriptor is readable or has ended, for as long as it is. It stays the
   * caller's, to close when he likes; what it stands for is kept open until the returned handle is closed. Plain files
   * are always readable.
   */
  external(descriptor: number): number {
    whole("descriptor", descriptor, 0, 2 ** 31 - 1);
    const handle = this.#library.calls.earshot_ipc_watch(this.#open(), descriptor);
    return this.#added(handle, { descriptor });
  }

  /** A timer that is due in `first` nanoseconds, and then every `period` nanoseconds unless that is 0. */
  timer(first: number, period = 0): number {
    const handle = this.#library.calls.earshot_ipc_timer(
      this.#open(),
      Math.trunc(within("first", first, 0, Number.MAX_SAFE_INTEGER)),
      Math.trunc(within("period", period, 0, Number.MAX_SAFE_INTEGER)),
    );
    return this.#added(handle);
  }

  // ---- sending ----

  /**
   * Queues a message; it goes with the next wait, or before when much has come together. What cannot be sent is
   * reported once: in the connection's Disconnection, or where none is to come, in an Error event. With `report`, a number other than 0, a
   * MessageTx event bears it as `token` when the message is with the kernel.
   *
   * Returns the bytes known to wait because the peer makes no room: over `queueBytesHigh` it is time to stop, and to go
   * on with the Drain event, which follows then.
   */
  schedule(
    connection: number,
    payload: Payload,
    options?: SendOptions & { report?: number | undefined },
  ): number {
    this.#open();
    handleOf(connection);
    this.#rouse();
    if (options?.descriptors !== undefined) return this.#send(connection, payload, options);
    const token = options?.report === undefined ? 0 : whole("report", options.report, 0, u32Max);
    const outbox = this.#outbox;
    this.#asked = connection;
    this.#queued = 0;
    if (sizeBound(payload) < directBytesMin) {
      if (outbox.add(connection, payload, token) > 0) return 0;
      this.flush();
      const queued = this.#queued;
      if (outbox.add(connection, payload, token) > 0) return queued;
    }
    this.flush();
    const bytes = bytesOf(payload);
    const { calls } = this.#library;
    const result =
      token === 0
        ? calls.earshot_ipc_write(this.#open(), connection, sendable(bytes), bytes.length)
        : calls.earshot_ipc_schedule(
            this.#open(),
            connection,
            sendable(bytes),
            bytes.length,
            token,
          );
    this.#settle(connection, result, 1, constants.header_bytes + bytes.length);
    return this.#queued;
  }

  /** Descriptors cannot lie in the outbox, so the message goes at once. */
  #send(
    connection: number,
    payload: Payload,
    { descriptors = [], report }: SendOptions & { report?: number | undefined },
  ): number {
    if (report !== undefined && report !== 0) {
      throw new Failure("EINVAL", "EINVAL: a message with descriptors is not reported");
    }
    this.flush();
    const bytes = bytesOf(payload);
    const numbers = numbersOf(descriptors);
    const queued = this.#library.calls.earshot_ipc_send(
      this.#open(),
      connection,
      sendable(bytes),
      bytes.length,
      numbers.length === 0 ? nothing : numbers,
      numbers.length,
    );
    return this.#checked(queued);
  }

  /**
   * Sends a message now, behind what is queued for the connection. Returns the bytes that wait in the queue because
   * the peer has not made room: 0 if the kernel has everything. Throws ECLOSED if the connection has ended.
   */
  write(connection: number, payload: Payload, options?: SendOptions): number {
    handleOf(connection);
    this.#rouse();
    if (options?.descriptors !== undefined) return this.#send(connection, payload, options);
    if (!this.#outbox.isEmpty) this.flush();
    const bytes = bytesOf(payload);
    const queued = this.#library.calls.earshot_ipc_write(
      this.#open(),
      connection,
      sendable(bytes),
      bytes.length,
    );
    return this.#checked(queued);
  }

  /** Sends what was scheduled, without waiting for anything. */
  flush(): void {
    if (this.#outbox.isEmpty) return;
    this.#rouse();
    const result = this.#library.calls.earshot_ipc_flush(this.#open(), this.#outbox.usedBytes);
    this.#outbox.settle(this.#settle);
    this.#checked(result);
  }

  readonly #settle = (
    connection: number,
    result: number,
    messages: number,
    bytes: number,
  ): void => {
    if (connection === this.#asked) this.#queued = Math.max(0, result);
    if (this.onSent !== undefined) {
      this.onSent(connection, { result, messages, bytes });
    } else if (result < 0 && result !== codes.ended.number) {
      const error = errorOf(result, { errno: 0, syscall: 0, detail: 0 });
      this.#tell(connection, error, messages, bytes);
    }
  };

  // ---- waiting ----

  /**
   * Blocks until something happens, or for `timeout` milliseconds, and returns the events: what is left of the batch
   * that an iteration began, else a new one. Empty means that the time is up (or `wake` was called).
   */
  wait(timeout?: number): Event[] {
    if (this.usedUp) this.fill(timeout);
    const events: Event[] = [];
    for (let event = this.next(); event !== undefined; event = this.next()) events.push(event);
    return events;
  }

  /**
   * Blocks for each event in turn, for ever; leave the loop with `break`. What was not looked at comes next time. A
   * `Worker` that blocks here does not notice `terminate()` before the next event: there `events()` is better.
   */
  [Symbol.iterator](): Iterator<Event> {
    return {
      next: () => {
        let event = this.next();
        while (event === undefined) {
          if (this.#address === undefined) return { done: true, value: undefined };
          this.fill();
          event = this.next();
        }
        return { done: false, value: event };
      },
    };
  }

  /**
   * The same inside Bun's loop: timers, `fetch` and everything else go on meanwhile, and waiting costs no CPU. It ends
   * when the context is closed or the signal aborts.
   *
   * @example
   * for await (const event of context.events()) console.log(event.type);
   */
  async *events(options: { signal?: AbortSignal } = {}): AsyncGenerator<Event, void, undefined> {
    const { signal } = options;
    const ended = () => this.closed || signal?.aborted === true;
    // Now and not when it first waits: by then peers may have taken the last descriptor.
    if (!ended()) this.bell();
    if (this.#iterated) {
      throw new Failure(
        "EINVAL",
        "EINVAL: events() is being iterated already; each event goes to one only",
      );
    }
    this.#iterated = true;
    let since = performance.now();
    try {
      while (!ended()) {
        for (let event = this.next(); event !== undefined; event = this.next()) {
          yield event;
          if (ended()) return;
        }
        if (this.fill(0) === 0) {
          this.#asleep = true;
          await this.bell().rung(signal);
          this.#asleep = false;
        } else if (performance.now() - since < turnMs) {
          continue;
        } else {
          await new Promise(setImmediate);
        }
        since = performance.now();
      }
    } finally {
      this.#iterated = false;
      this.#asleep = false;
    }
  }

  /** Has `events()` look again: something was added, or is to be sent. It does so when this task is done. */
  #rouse(): void {
    if (!this.#asleep) return;
    this.#asleep = false;
    this.bell().ring();
  }

  /** @internal Fills the next batch, and returns how many events there are. `spin` in nanoseconds. */
  fill(timeout?: number, spin = -1): number {
    const { calls } = this.#library;
    const outbox = this.#outbox;
    memoryOf(this.#inbox);
    this.#beginBatch();
    this.#count = 0;
    const ns = nsOf(timeout);
    // What could not be sent is reported at once, so there is nothing to wait for.
    const count = calls.earshot_ipc_wait(
      this.#open(),
      this.#errors.length > 0 ? 0 : ns,
      spin,
      outbox.usedBytes,
    );
    if (!outbox.isEmpty) outbox.settle(this.#settle);
    this.#count = this.#checked(count);
    return this.#count + this.#errors.length;
  }

  #beginBatch(): void {
    this.#inbox.generation += 1;
    this.#at = 0;
    if (this.#arrived.length === 0) return;
    // Whoever has kept one may forget it.
    for (const descriptors of this.#arrived) for (const each of descriptors) each.watch();
    this.#arrived = [];
  }

  /** @internal Whether the end of a connection is still to come in this batch, so that natively it is gone already. */
  endsInBatch(connection: number): boolean {
    const { events } = this.#areas;
    for (let at = this.#at * eventWords; at < this.#count * eventWords; at += eventWords) {
      const isEnd = (events[at]! & 0xff) === EventType.Disconnection;
      if (isEnd && events[at + 1] === connection) return true;
    }
    return false;
  }

  /** @internal Whether nothing is to be sent with the next wait. */
  get outboxIsEmpty(): boolean {
    return this.#outbox.isEmpty;
  }

  /** @internal Whether all of the batch was looked at. */
  get usedUp(): boolean {
    return this.#at >= this.#count && this.#errors.length === 0;
  }

  /** @internal The next event of the batch. */
  next(): Event | undefined {
    if (this.#errors.length > 0) return this.#errors.shift();
    const { events } = this.#areas;
    // What a switch has taken over is no event any more.
    while (this.#at < this.#count && events[this.#at * eventWords + 1] === 0) this.#at += 1;
    if (this.#at >= this.#count) return undefined;
    const at = this.#at++ * eventWords;
    const event = new Event(events, at, this.#inbox, this.#held);
    if (this.#converters !== undefined && event.type === EventType.Disconnection) {
      this.#converters.remove(event.source);
    }
    return event;
  }

  /** @internal Whether there is a bell that rings. */
  get hasBell(): boolean {
    return this.#doorbell !== undefined && this.#ringer === undefined;
  }

  /** @internal Whether a native thread rings it. */
  get hasThread(): boolean {
    return this.#hasThread;
  }

  /** @internal Made when it is first asked for, and rings from then on. */
  bell(): Doorbell {
    const doorbell = this.#makeBell();
    if (this.#ringer !== undefined) this.#hang(this.#ringer);
    return doorbell;
  }

  /**
   * @internal A bell that nothing rings before it is asked for, as a process that is to be forked can have no thread. Resolves
   * with its two ends.
   */
  quietBell(): Promise<readonly [number, number]> {
    this.#bellEnds ??= this.#makeQuietBell();
    return this.#bellEnds;
  }

  async #makeQuietBell(): Promise<readonly [number, number]> {
    const doorbell = this.#makeBell();
    if (this.#ringer === undefined) throw new Failure("EINVAL", "EINVAL: there is a bell already");
    const ends = [this.#bellNumber, this.#ringer.number] as const;
    await doorbell.ready;
    return ends;
  }

  #makeBell(): Doorbell {
    if (this.#doorbell !== undefined) return this.#doorbell;
    const [end, ringer] = this.pair();
    this.#ringer = ringer;
    this.#doorbell = this.#bellOf(end.take());
    return this.#doorbell;
  }

  #bellOf(descriptor: number): Doorbell {
    const { calls } = this.#library;
    this.#bellNumber = descriptor;
    return new Doorbell(descriptor, {
      arm: () => {
        if (this.#address === undefined) return 1;
        return this.#checked(calls.earshot_ipc_arm(this.#address, noCallback));
      },
      heard: () => {
        if (this.#address !== undefined) calls.earshot_ipc_bell_heard(this.#address);
      },
      lost: () => {
        if (this.#address === undefined) return;
        calls.earshot_ipc_bell_end(this.#address);
        this.#doorbell = undefined;
      },
    });
  }

  /** Has the bell ring from now on. */
  #hang(ringer: Descriptor): void {
    const { calls } = this.#library;
    const result = calls.earshot_ipc_bell_beside(this.#open(), ringer.number, this.#bellNumber);
    this.#hasThread = this.#checked(result) === 0;
    ringer.take();
    this.#ringer = undefined;
  }

  /** Lets the next wait, or the one that `events()` sleeps in, return at once, though nothing has happened. */
  wake(): void {
    this.#library.calls.earshot_ipc_ring(this.#open());
  }

  readonly #held: Held = {
    loan: (address, length) => {
      const { calls } = this.#library;
      const release = this.#library.address("earshot_ipc_loan_release");
      this.#checked(calls.earshot_ipc_loan_take(this.#open(), address as Address));
      return new Uint8Array(own(address as Address, length, release, release));
    },
    descriptors: (detail, generation) => {
      if (this.#inbox.generation !== generation) throw stale("descriptors of a message are");
      const numbers = this.#taken;
      const count = this.#checked(
        this.#library.calls.earshot_ipc_take(this.#open(), detail, numbers),
      );
      const descriptors: Descriptor[] = [];
      for (let at = 0; at < count; at++) descriptors.push(new Descriptor(numbers[at]!, false));
      this.#arrived.push(descriptors);
      return descriptors;
    },
  };

  // ---- asking ----

  /** Who is at the other end of a connection. Good until its Disconnection event. */
  peer(connection: number): Peer {
    const peer = new Struct(PeerLayout);
    this.#checked(
      this.#library.calls.earshot_ipc_peer(this.#open(), handleOf(connection), peer.bytes),
    );
    return { uid: peer.get("uid") >>> 0, gid: peer.get("gid") >>> 0, pid: peer.get("pid") };
  }

  /**
   * A descriptor (Linux: pidfd) of the process at the other end, which stands for it even when its number is used
   * again. It is the caller's to close. Throws ENOTSUP where the system has none.
   */
  peerProcess(connection: number): number {
    return this.#checked(
      this.#library.calls.earshot_ipc_peer_process(this.#open(), handleOf(connection)),
    );
  }

  /** The figures of the context, or of one of its connections or services. */
  statistics(handle = 0): Statistics {
    handleOf(handle);
    const record = new Struct(StatisticsLayout);
    this.#checked(this.#library.calls.earshot_ipc_statistics(this.#open(), handle, record.bytes));
    return readStatistics(record);
  }

  // ---- closing ----

  /**
   * Reads nothing more from a connection, so that its peer comes to wait; or goes on reading. A peer that is gone makes
   * an end of the pause: what it had still sent is handed out, and then its Disconnection.
   */
  pause(connection: number, paused = true): void {
    handleOf(connection);
    this.#rouse();
    this.#checked(this.#library.calls.earshot_ipc_pause(this.#open(), connection, paused ? 1 : 0));
  }

  /**
   * Changes `messageBytesMax` of one connection: what its peer may send, as more is known of him, and what is sent to him.
   * A message whose length has come already goes on. Throws EINVAL if the queue has no room for one.
   */
  limitMessages(connection: number, messageBytesMax: number): void {
    handleOf(connection);
    const bytes = whole("messageBytesMax", messageBytesMax, 0, constants.message_bytes_limit);
    this.#rouse();
    // What was scheduled before is held to what held then.
    this.flush();
    this.#checked(this.#library.calls.earshot_ipc_limit_messages(this.#open(), connection, bytes));
  }

  /**
   * Closes one connection, service, timer, switch or external descriptor by its handle. A connection still sends what it
   * has taken, unless `now` is set; its Disconnection event follows either way. A service's connections go on; with
   * `leave` its name stays, for whoever goes on with copies of its descriptors.
   */
  closeHandle(handle: number, options: { now?: boolean; leave?: boolean } = {}): void {
    handleOf(handle);
    this.#rouse();
    this.flush();
    const how = options.leave === true ? "leave" : options.now === true ? "now" : "drain";
    this.#checked(this.#library.calls.earshot_ipc_close(this.#open(), handle, closeHow[how]));
    this.#converters?.remove(handle);
  }

  /** The same for everything there is. */
  closeAll(options: { now?: boolean } = {}): void {
    this.#rouse();
    this.flush();
    const how = options.now === true ? closeHow.now : closeHow.drain;
    this.#checked(this.#library.calls.earshot_ipc_close_all(this.#open(), how));
  }

  /** Closes everything at once, after sending what the kernel takes. Closing twice is no error. */
  close(): void {
    const address = this.#address;
    if (address === undefined) return;
    this.flush();
    const result = this.#library.calls.earshot_ipc_context_close(address);
    if (result < 0) throw errorOf(result, systemFailure(this.#areas.control));
    this.#address = undefined;
    this.#beginBatch();
    this.#count = 0;
    this.#errors = [];
    this.#converters?.close();
    this.#doorbell?.close();
    this.#ringer?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  // ---- inside ----

  #directory(rundir = this.#rundir): string {
    return runDirectory(rundir === undefined ? undefined : textOf("rundir", rundir));
  }

  #open(): Address {
    if (this.#converters?.running === true) {
      throw new Failure(
        "ETHREAD",
        "ETHREAD: a function of a switch's format runs in the middle of a wait, and makes no call on its context",
      );
    }
    if (this.#address === undefined) throw new Failure("ECLOSED", "ECLOSED: the context is closed");
    return this.#address;
  }

  #added(handle: number, subject: Subject = {}): number {
    this.#checked(handle, subject);
    this.#rouse();
    return handle;
  }

  #checked(result: number, subject: Subject = {}): number {
    if (result >= 0) return result;
    throw errorOf(result, systemFailure(this.#areas.control), subject);
  }
}

/** The error of a service that has had no room for too long. */
export function busy(name: string): IpcError {
  return errorOf(codes.service_busy.number, systemFailure(closed), { service: name });
}

/** A timeout as native code takes it: what has passed is now, and NaN would be any time at all. */
function nsOf(timeout: number | undefined): number {
  if (timeout === undefined || timeout === Infinity) return forever;
  const ms = within("timeout", timeout, -Number.MAX_VALUE, Number.MAX_VALUE);
  return Math.trunc(Math.min(Math.max(0, ms) * nsPerMs, Number.MAX_SAFE_INTEGER));
}

const nothing = new Uint8Array(1);

/** Memory that a native call can be given even if it is empty. Throws EMSGSIZE if its length is no length on the wire. */
function sendable(bytes: Uint8Array): Uint8Array {
  if (bytes.length > constants.message_bytes_limit) {
    throw new Failure(
      "EMSGSIZE",
      `EMSGSIZE: a message of ${bytes.length} bytes; no message is longer than ${constants.message_bytes_limit}`,
    );
  }
  return bytes.length === 0 ? nothing : bytes;
}
