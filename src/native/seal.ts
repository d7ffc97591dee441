/**
 * Two ends that know each other's public key seal what they send: a `Handshake` of one message in each direction, and
 * then a `Seal`, which seals what goes and opens what comes. Both are thin shapes of libearshot-seal, whose header,
 * `earshot/seal.h`, tells the format.
 */

import { own, sealLibrary } from "./library.ts";
import { sealCodes, sealErrorOf } from "./seal-errors.ts";
import type { Role, Suite } from "./seal-layout.ts";
import { roles, sealConstants, suites } from "./seal-layout.ts";
import type { Address } from "./symbols.ts";

/** By how many bytes a record is longer than the message in it. */
export const tagBytes = sealConstants.tag_bytes;

const keyBytes = sealConstants.key_bytes;
const nothing = new Uint8Array(0);
const suiteNames = new Map<number, Suite>(
  Object.entries(suites).map(([name, number]) => [number, name as Suite]),
);

export type HandshakeOptions = {
  /** The initiator, which is the client, writes the first message. */
  readonly role: Role;
  /** This end's, of 32 bytes. It is copied, and the copy is overwritten when the handshake is over. */
  readonly secretKey: Uint8Array;
  /** Of 32 bytes. */
  readonly peerPublicKey: Uint8Array;
  /** What both ends have to know alike. The handshake fails if they do not. */
  readonly prologue?: Uint8Array | undefined;
  /** The ciphers that this end can do. By default all that this machine does well. */
  readonly suites?: readonly Suite[] | undefined;
};

/**
 * The beginning of a sealed connection.
 *
 * @example
 * using client = new Handshake({ role: "initiator", secretKey, peerPublicKey });
 * transport.send(client.write());
 * client.read(await transport.receive());
 * const seal = client.finish();
 */
export class Handshake implements Disposable {
  #keeper: Keeper | undefined;

  /** Throws an IpcError (EKEY) for a public key with which nothing is secret. */
  constructor({ role, secretKey, peerPublicKey, prologue = nothing, suites }: HandshakeOptions) {
    expectKey("secretKey", secretKey);
    expectKey("peerPublicKey", peerPublicKey);
    const { earshot_seal_begin: begin } = sealLibrary().calls;
    const set = suites === undefined ? 0 : setOf(suites);
    if (suites !== undefined && set === 0) throw new RangeError("suites: at least one is needed");
    this.#keeper = new Keeper(
      checked(begin(roles[role], secretKey, peerPublicKey, prologue, prologue.length, set)),
    );
  }

  /** This end's message, with at most 1024 bytes of the caller's. Those of the initiator can be played again by others. */
  write(payload: Uint8Array = nothing): Uint8Array {
    const out = new Uint8Array(payload.length + sealConstants.handshake_overhead_bytes);
    const { earshot_seal_write: write } = sealLibrary().calls;
    checked(write(this.#handle, payload, payload.length, out, out.length));
    return out;
  }

  /**
   * Reads the other end's message, and returns what its caller has added. Throws an IpcError (ESEAL) if it is no good,
   * after which the handshake can only be closed.
   */
  read(message: Uint8Array): Uint8Array {
    const out = new Uint8Array(
      Math.max(0, message.length - sealConstants.handshake_overhead_bytes),
    );
    const { earshot_seal_read: read } = sealLibrary().calls;
    checked(read(this.#handle, message, message.length, out, out.length));
    return out;
  }

  /** What both messages have led to. The handshake gives it away, and need not be closed. */
  finish(): Seal {
    if (this.#keeper === undefined) throw sealErrorOf(sealCodes.closed.number);
    const seal = new Seal(this.#keeper);
    this.#keeper = undefined;
    return seal;
  }

  /** Overwrites the keys. */
  close(): void {
    this.#keeper?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get #handle(): number {
    return this.#keeper?.handle ?? 0;
  }
}

/** Keys that two ends have from elsewhere: fresh for each connection, and different for each direction. */
export type SealKeys = {
  readonly suite: Suite;
  readonly sending: Uint8Array;
  readonly receiving: Uint8Array;
  /** After how many records, and bytes, both ends go on to the next key: for tests. Never above the default. */
  readonly recordsPerKey?: number | undefined;
  readonly bytesPerKey?: number | undefined;
};

/** Seals what goes to a peer, and opens what comes from it, in the order in which the peer has sealed it. */
export class Seal implements Disposable {
  readonly suite: Suite;
  readonly #keeper: Keeper;
  readonly #calls = sealLibrary().calls;

  /** @internal */
  constructor(keeper: Keeper) {
    this.suite = suiteNames.get(checked(this.#calls.earshot_seal_suite(keeper.handle)))!;
    this.#keeper = keeper;
  }

  static fromKeys({ suite, sending, receiving, recordsPerKey, bytesPerKey }: SealKeys): Seal {
    expectKey("sending", sending);
    expectKey("receiving", receiving);
    const { earshot_seal_from_keys: fromKeys } = sealLibrary().calls;
    const limits = [recordsPerKey ?? 0, bytesPerKey ?? 0] as const;
    const handle = checked(fromKeys(suites[suite], sending, receiving, ...limits));
    return new Seal(new Keeper(handle));
  }

  /**
   * Seals `bytes` into `out`, and returns how many bytes the record has: 16 more. `out` may begin where `bytes` does.
   * `kind` is a number from 0 to 255 that is not sent, and has to be given to open the record.
   */
  seal(kind: number, bytes: Uint8Array, out: Uint8Array): number {
    const result = this.#calls.earshot_seal_seal(
      this.#keeper.handle,
      kind,
      bytes,
      bytes.length,
      out,
      out.length,
    );
    return result < 0 ? fail(result) : result;
  }

  /**
   * Opens a record into `out`, and returns how many bytes the message has: 16 fewer. Throws an IpcError (ESEAL) if it is
   * not the peer's next one, with nothing in `out`; then and ever after, since there is no going on from there.
   */
  open(kind: number, record: Uint8Array, out: Uint8Array): number {
    const result = this.#calls.earshot_seal_open(
      this.#keeper.handle,
      kind,
      record,
      record.length,
      out,
      out.length,
    );
    return result < 0 ? fail(result) : result;
  }

  /**
   * Seals `count` messages in one call. `records` holds four words for each: where in `from` it begins, its length, where
   * in `into` the record is to begin, its kind. Returns how many were done; if fewer than `count`, the rest is as it was,
   * and a call that begins with the next throws what is wrong with it.
   */
  sealBatch(from: Uint8Array, into: Uint8Array, records: Uint32Array, count: number): number {
    expectRecords(records, count);
    const result = this.#calls.earshot_seal_seal_batch(
      this.#keeper.handle,
      from,
      from.length,
      into,
      into.length,
      records,
      count,
    );
    return result < 0 ? fail(result) : result;
  }

  /** The same for opening: the lengths are those of the records, and what comes out is 16 bytes shorter. */
  openBatch(from: Uint8Array, into: Uint8Array, records: Uint32Array, count: number): number {
    expectRecords(records, count);
    const result = this.#calls.earshot_seal_open_batch(
      this.#keeper.handle,
      from,
      from.length,
      into,
      into.length,
      records,
      count,
    );
    return result < 0 ? fail(result) : result;
  }

  /** Overwrites the keys. */
  close(): void {
    this.#keeper.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The ciphers that this machine does well. */
export function ownSuites(): Suite[] {
  const set = sealLibrary().calls.earshot_seal_suites();
  return Object.entries(suites)
    .filter(([, number]) => set & (1 << number))
    .map(([name]) => name as Suite);
}

/** The one that two ends which can do these use; undefined if they have none in common. */
export function chooseSuite(one: readonly Suite[], other: readonly Suite[]): Suite | undefined {
  return suiteNames.get(sealLibrary().calls.earshot_seal_choose(setOf(one), setOf(other)));
}

/**
 * A handle that is given back once, at the latest when nobody sees its keeper any more. A thread that is terminated runs
 * nothing of ours, but its buffers are let go, so that the handle hangs on one.
 */
class Keeper {
  /** 0, which is nobody's, when it has gone. */
  handle: number;
  /** Only ever held on to. */
  anchor: ArrayBuffer | undefined;

  constructor(handle: number) {
    const library = sealLibrary();
    const address = new BigUint64Array(1);
    checked(library.calls.earshot_seal_anchor(handle, address));
    const release = library.address("earshot_seal_release");
    this.handle = handle;
    this.anchor = own(Number(address[0]) as Address, anchorBytes, handle as Address, release);
  }

  close(): void {
    const { handle } = this;
    if (handle === 0) return;
    this.handle = 0;
    this.anchor = undefined;
    sealLibrary().calls.earshot_seal_close(handle);
  }
}

const anchorBytes = 4;

function setOf(names: readonly Suite[]): number {
  return names.reduce((set, name) => set | (1 << suites[name]), 0);
}

function expectKey(name: string, key: Uint8Array): void {
  if (key.length === keyBytes) return;
  throw new RangeError(`${name} has ${key.length} bytes, and a key has ${keyBytes}`);
}

const wordsPerRecord = 4;

function expectRecords({ length }: Uint32Array, count: number): void {
  if (length >= count * wordsPerRecord) return;
  throw new RangeError(
    `records holds ${Math.floor(length / wordsPerRecord)}, and count is ${count}`,
  );
}

function checked(result: number): number {
  return result < 0 ? fail(result) : result;
}

function fail(result: number): never {
  throw sealErrorOf(result);
}
