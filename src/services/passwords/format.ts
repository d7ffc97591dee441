/**
 * What a client and its copy of the passwords say to each other, over a pipe each way, in frames (`u32` big-endian length,
 * then the bytes). A request has one answer, and answers come in the order of requests. Format 1; numbers are big-endian.
 *
 *     request    u8 kind, u8 flags, the seal key (32 bytes, if flags is 1), and
 *                  1 set          u32 length of the key, the key, the value
 *                  2 get          the key
 *                  3 keyset
 *                  4 delete       the key
 *                  5 has          the key
 *                  6 disconnect
 *                  7 seal         (flags is 1)
 *     answer     u8 status, and
 *                  0 done         get: the value; has: u8, 1 for yes; keyset: u32 length and the key, for each, in the
 *                                 order in which they came to be there; else nothing
 *                  others         UTF-8, in words: what was wrong
 *
 * Keys and values are any bytes, up to 1 MiB of them, and none as well. `seal` has everything kept sealed under a key that
 * comes along with each `set` and `get` from then on and is kept by nobody in between; the others need none.
 *
 * The pipes themselves come from the service, over the connection that a client makes to it:
 *
 *     client     u8 format, 1
 *     service    u8 format, 1, u8 status, and
 *                  0 done         with two descriptors: answers are read from the first, requests written to the second
 *                  others         UTF-8, in words: why there are none
 *
 * A copy begins with an answer that nobody has asked for, 0, and one that ends by itself says so in another: 8 or 9.
 */

export const format = 1;

/** Of a key, and of a value: what one sends by hand or keeps in a file is far below, and a copy has room for some. */
export const itemBytesMax = 1024 * 1024;
/** What each key counts for beside its bytes and those of its value, so that a million empty ones are not free. */
export const entryBytes = 64;
/** As much as one client can be allowed: an answer to `keyset` is less. */
export const storeBytesLimit = 256 * 1024 * 1024;
/** As secretbox has it: XSalsa20-Poly1305. */
export const sealKeyBytes = 32;

const flagSealed = 1;
const headBytes = 2;
const lengthBytes = 4;

export const requestBytesMax = headBytes + sealKeyBytes + lengthBytes + 2 * itemBytesMax;
export const answerBytesMax = 1 + storeBytesLimit;
/** Of what a client says to the service, and the service to it. */
export const helloBytesMax = 4096;

export const kinds = {
  set: 1,
  get: 2,
  keyset: 3,
  delete: 4,
  has: 5,
  disconnect: 6,
  seal: 7,
} as const;

export type Kind = keyof typeof kinds;

export const statuses = {
  done: 0,
  /** There is no such key. */
  missing: 1,
  /** A key or a value is over 1 MiB. */
  too_long: 2,
  /** All that this client may keep is taken. */
  full: 3,
  /** The request is not as it should be. */
  malformed: 4,
  /** There is no such request. */
  unknown: 5,
  /** What is kept is sealed, and no key came along. */
  sealed: 6,
  /** What is kept is sealed under another key. */
  wrong_key: 7,
  /** Nothing was asked for so long that the copy has ended. */
  idle: 8,
  /** The service has ended, and its copies with it. */
  ended: 9,
  /** There are as many clients as may be. */
  busy: 10,
  /** No copy could be made. */
  unavailable: 11,
} as const;

export type Status = keyof typeof statuses;

const kindNames = new Map<number, Kind>(
  Object.entries(kinds).map(([name, number]) => [number, name as Kind]),
);
const statusNames = new Map<number, Status>(
  Object.entries(statuses).map(([name, number]) => [number, name as Status]),
);

/** Bytes that are not what they should be; the message says in words what is wrong, for the peer to be told. */
export class FormatError extends Error {
  override readonly name = "FormatError";
  readonly status: Exclude<Status, "done">;

  constructor(status: Exclude<Status, "done">, message: string) {
    super(message);
    this.status = status;
  }
}

export type Request = {
  readonly kind: Kind;
  readonly sealKey?: Uint8Array | undefined;
  readonly key?: Uint8Array | undefined;
  readonly value?: Uint8Array | undefined;
};

const none = new Uint8Array(0);
const keyless: ReadonlySet<Kind> = new Set<Kind>(["keyset", "disconnect", "seal"]);

const plainHeads = Object.fromEntries(
  Object.entries(kinds).map(([name, number]) => [name, Uint8Array.of(number, 0)]),
) as Record<Kind, Uint8Array>;

/** A message, part by part. */
type Parts = [Uint8Array, Uint8Array, Uint8Array];

/** The parts of a request, for one message. */
export function requestParts({ kind, sealKey = none, key = none, value }: Request): Parts {
  if (sealKey.length === 0 && kind !== "set") return [plainHeads[kind], key, none];
  const isSet = kind === "set";
  const head = new Uint8Array(headBytes + sealKey.length + (isSet ? lengthBytes : 0));
  head[0] = kinds[kind];
  head[1] = sealKey.length === 0 ? 0 : flagSealed;
  head.set(sealKey, headBytes);
  if (!isSet) return [head, key, none];
  new DataView(head.buffer).setUint32(headBytes + sealKey.length, key.length);
  return [head, key, value ?? none];
}

/** What a message asks for, as views of it. Throws a FormatError. */
export function readRequest(message: Uint8Array): Request {
  if (message.length < headBytes) {
    throw new FormatError("malformed", "a request has a kind and flags: two bytes at least");
  }
  const kind = kindNames.get(message[0]!);
  if (kind === undefined) throw new FormatError("unknown", `there is no request ${message[0]}`);
  const flags = message[1]!;
  if (flags > flagSealed) {
    throw new FormatError("malformed", `${flags} are no flags: they are 0, or 1 with a seal key`);
  }
  const bodyAt = headBytes + (flags === flagSealed ? sealKeyBytes : 0);
  if (message.length < bodyAt) {
    throw new FormatError(
      "malformed",
      `a seal key has ${sealKeyBytes} bytes; the request ends before`,
    );
  }
  const sealKey = bodyAt === headBytes ? undefined : message.subarray(headBytes, bodyAt);
  if (kind === "seal" && sealKey === undefined) {
    throw new FormatError("malformed", "seal needs the key to seal under");
  }
  const body = message.subarray(bodyAt);
  if (kind === "set") return readSet(sealKey, body);
  if (!keyless.has(kind)) return { kind, sealKey, key: fitting("key", body) };
  if (body.length === 0) return { kind, sealKey };
  throw new FormatError("malformed", `${kind} takes nothing, and ${body.length} bytes came along`);
}

function readSet(sealKey: Uint8Array | undefined, body: Uint8Array): Request {
  if (body.length < lengthBytes) {
    throw new FormatError("malformed", "set needs the length of its key, in four bytes");
  }
  const keyBytes = lengthAt(body, 0);
  if (keyBytes > itemBytesMax) throw tooLong("key");
  const valueAt = lengthBytes + keyBytes;
  if (valueAt > body.length) {
    throw new FormatError(
      "malformed",
      `set says that its key has ${keyBytes} bytes, and ${body.length - lengthBytes} came`,
    );
  }
  return {
    kind: "set",
    sealKey,
    key: body.subarray(lengthBytes, valueAt),
    value: fitting("value", body.subarray(valueAt)),
  };
}

function fitting(what: string, bytes: Uint8Array): Uint8Array {
  if (bytes.length <= itemBytesMax) return bytes;
  throw tooLong(what);
}

function tooLong(what: string): FormatError {
  return new FormatError("too_long", `a ${what} has ${itemBytesMax} bytes at most`);
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at);
}

const heads = Object.fromEntries(
  Object.entries(statuses).map(([name, number]) => [name, Uint8Array.of(number)]),
) as Record<Status, Uint8Array>;

/** The parts of an answer, for one message. */
export function answerParts(
  status: Status,
  body: Uint8Array | string = none,
): [Uint8Array, Uint8Array] {
  return [heads[status], typeof body === "string" ? Buffer.from(body) : body];
}

export type Answer = { readonly status: Status; readonly body: Uint8Array };

/** What an answer says, as a view of it. Throws a FormatError. */
export function readAnswer(message: Uint8Array): Answer {
  const status = message.length === 0 ? undefined : statusNames.get(message[0]!);
  if (status !== undefined) return { status, body: message.subarray(1) };
  throw new FormatError(
    "malformed",
    message.length === 0 ? "an answer is empty" : `there is no status ${message[0]}`,
  );
}

/** The answer to `keyset`. */
export function keysetBytes(keys: Iterable<Uint8Array>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const key of keys) {
    const length = Buffer.alloc(lengthBytes);
    length.writeUInt32BE(key.length);
    parts.push(length, key);
  }
  return Buffer.concat(parts);
}

/** The keys of an answer to `keyset`, each with bytes of its own. Throws a FormatError. */
export function readKeyset(body: Uint8Array): Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (let at = 0; at < body.length; ) {
    const end = at + lengthBytes > body.length ? Infinity : at + lengthBytes + lengthAt(body, at);
    if (end > body.length) throw new FormatError("malformed", "the keys end in the middle of one");
    keys.push(new Uint8Array(body.subarray(at + lengthBytes, end)));
    at = end;
  }
  return keys;
}

/** What a client says to the service. */
export const helloBytes: Uint8Array = Uint8Array.of(format);

/** Throws a FormatError for what is no hello, or one of another format. */
export function readHello(message: Uint8Array): void {
  if (message.length === 1 && message[0] === format) return;
  throw new FormatError(
    "malformed",
    message.length === 1
      ? `format ${message[0]} is not spoken here, but ${format}`
      : `a client begins with the number of its format, one byte: ${format}`,
  );
}

/** What the service says to a client. */
export function welcomeBytes(status: Status, text = ""): Uint8Array {
  return Buffer.concat([Uint8Array.of(format), ...answerParts(status, text)]);
}

/** Throws a FormatError for another format. */
export function readWelcome(message: Uint8Array): Answer {
  if (message[0] === format && message.length > 1) return readAnswer(message.subarray(1));
  throw new FormatError(
    "malformed",
    `the service does not speak format ${format} of passwords; is it another service?`,
  );
}
