/**
 * RFC 6455 and RFC 7692 as cases, numbered as the Autobahn test suite numbers them. Each is what a client does and what
 * it has to see. The service behind is pong, so that what is whole and right comes back.
 *
 * What is sent with several `tx` in a row goes in several writes. A message is waited for before what makes the daemon
 * give up follows, because an echo comes by way of another process and a failed connection carries nothing any more.
 */

import { deflateRawSync, constants as zlib } from "node:zlib";
import { join } from "../kit/frames.ts";
import { pattern } from "../kit/random.ts";
import { bytesOf, clientFrame, closing, opcodes } from "../kit/raw-websocket.ts";

/**
 * Whether an answer is compressed. While Bun's server has half a compressed message it compresses none that it sends,
 * which it may: each message says for itself whether it is.
 */
export type Compression = "always" | "perhaps" | "never";

export type Step =
  | { do: "send"; writes: Uint8Array[] }
  | { do: "expect"; opcode: number; payload: Uint8Array; compression: Compression }
  /** The daemon says a Close with this code, and ends the conversation: whether for a violation of ours. */
  | { do: "end"; code: number; reason: string | undefined; isViolation: boolean };

export type Case = {
  readonly id: string;
  readonly what: string;
  readonly speech: "earshot.text" | "earshot.binary";
  /** What is asked of permessage-deflate; without it, nothing. */
  readonly deflate?: string;
  readonly steps: readonly Step[];
};

const { continuation, text, binary, close, ping, pong } = opcodes;
const failures = { protocol: 1002, content: 1007, size: 1009 } as const;

const tx = (...writes: Uint8Array[]): Step => ({ do: "send", writes });
/** The same bytes in pieces of `size`. */
const chopped = (bytes: Uint8Array, size: number): Step => {
  const count = Math.ceil(bytes.length / size);
  return tx(
    ...Array.from({ length: count }, (_, at) => bytes.subarray(at * size, (at + 1) * size)),
  );
};
const rx = (
  opcode: number,
  payload: Uint8Array | string,
  compression: Compression = "never",
): Step => ({
  do: "expect",
  opcode,
  payload: bytesOf(payload),
  compression,
});
const fails = (code: number): Step => ({ do: "end", code, reason: undefined, isViolation: true });
const answers = (code: number, reason = ""): Step => ({
  do: "end",
  code,
  reason,
  isViolation: false,
});
/** Closes as one should, and is answered. */
const goodbye = [tx(clientFrame(close, closing(1000))), answers(1000)];

const whole = (opcode: number, payload: Uint8Array | string) => clientFrame(opcode, payload);
/** A message in pieces, each in a frame. */
const fragments = (opcode: number, pieces: readonly (Uint8Array | string)[]) =>
  pieces.map((piece, at) =>
    clientFrame(at === 0 ? opcode : continuation, piece, { fin: at === pieces.length - 1 }),
  );
const letters = (length: number) => "*".repeat(length);

const cases: Case[] = [];

function add(id: string, what: string, ...steps: Step[]): void {
  cases.push({ id, what, speech: "earshot.text", steps });
}

function addBinary(id: string, what: string, ...steps: Step[]): void {
  cases.push({ id, what, speech: "earshot.binary", steps });
}

// ---- 1: framing ----

for (const [at, size] of [0, 125, 126, 127, 128, 65_535, 65_536].entries()) {
  const echo = [tx(whole(text, letters(size))), rx(text, letters(size)), ...goodbye];
  add(`1.1.${at + 1}`, `a text of ${size} bytes`, ...echo);
  const bytes = pattern(size);
  const binaryEcho = [tx(whole(binary, bytes)), rx(binary, bytes), ...goodbye];
  addBinary(`1.2.${at + 1}`, `a binary message of ${size} bytes`, ...binaryEcho);
}
const longText = letters(65_536);
add(
  "1.1.8",
  "a text of 65536 bytes in pieces of 997",
  chopped(whole(text, longText), 997),
  rx(text, longText),
  ...goodbye,
);
const longBytes = pattern(65_536);
addBinary(
  "1.2.8",
  "a binary message of 65536 bytes in pieces of 997",
  chopped(whole(binary, longBytes), 997),
  rx(binary, longBytes),
  ...goodbye,
);

// ---- 2: pings and pongs ----

const notUtf8 = Uint8Array.of(0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff);
add("2.1", "a ping without a payload", tx(whole(ping, "")), rx(pong, ""), ...goodbye);
add("2.2", "a ping with a payload", tx(whole(ping, "Hello!")), rx(pong, "Hello!"), ...goodbye);
add("2.3", "a ping that is no UTF-8", tx(whole(ping, notUtf8)), rx(pong, notUtf8), ...goodbye);
add(
  "2.4",
  "a ping of 125 bytes",
  tx(whole(ping, letters(125))),
  rx(pong, letters(125)),
  ...goodbye,
);
add("2.5", "a ping of 126 bytes", tx(whole(ping, letters(126))), fails(failures.protocol));
add(
  "2.6",
  "a ping of 125 bytes, byte by byte",
  chopped(whole(ping, letters(125)), 1),
  rx(pong, letters(125)),
  ...goodbye,
);
add("2.7", "a pong that nobody asked for, without a payload", tx(whole(pong, "")), ...goodbye);
add("2.8", "a pong that nobody asked for", tx(whole(pong, "unsolicited")), ...goodbye);
add(
  "2.9",
  "a pong that nobody asked for, and a ping",
  tx(whole(pong, "unsolicited"), whole(ping, "asked")),
  rx(pong, "asked"),
  ...goodbye,
);
const tenPings = Array.from({ length: 10 }, (_, at) => whole(ping, `payload-${at}`));
const tenPongs = tenPings.map((_, at) => rx(pong, `payload-${at}`));
add("2.10", "ten pings", tx(...tenPings), ...tenPongs, ...goodbye);
add("2.11", "ten pings, byte by byte", chopped(join(tenPings), 1), ...tenPongs, ...goodbye);

// ---- 3: reserved bits ----

const hello = [tx(whole(text, "Hello, world!")), rx(text, "Hello, world!")];
const reserved = (opcode: number, rsv: number) => clientFrame(opcode, "Hello, world!", { rsv });
const bad = fails(failures.protocol);
add("3.1", "a text with reserved bit 1", tx(reserved(text, 4)), bad);
add(
  "3.2",
  "one with bit 2 behind a good one",
  ...hello,
  tx(reserved(text, 2), whole(ping, "")),
  bad,
);
add("3.3", "one with bits 2 and 3", ...hello, tx(reserved(text, 3)), tx(whole(ping, "")), bad);
add("3.4", "one with bit 3, byte by byte", ...hello, chopped(reserved(text, 1), 1), bad);
addBinary("3.5", "a binary one with bits 1 and 3", tx(reserved(binary, 5)), bad);
add("3.6", "a ping with bits 1 and 2", tx(reserved(ping, 6)), bad);
add("3.7", "a close with all three", tx(clientFrame(close, closing(1000), { rsv: 7 })), bad);

// ---- 4: opcodes ----

for (const [group, first] of [
  [1, 3],
  [2, 11],
] as const) {
  const id = (number: number) => `4.${group}.${number}`;
  add(id(1), `opcode ${first}`, tx(whole(first, "")), bad);
  add(id(2), `opcode ${first + 1} with a payload`, tx(whole(first + 1, "reserved")), bad);
  add(id(3), `opcode ${first + 2} behind a text`, ...hello, tx(whole(first + 2, "")), bad);
  const payload = tx(whole(first + 3, "reserved"), whole(ping, ""));
  add(id(4), `opcode ${first + 3} with a payload behind a text`, ...hello, payload, bad);
  const pieces = chopped(whole(first + 4, "reserved"), 1);
  add(id(5), `opcode ${first + 4} byte by byte`, ...hello, pieces, bad);
}

// ---- 5: fragments ----

const two = fragments(text, ["fragment1", "fragment2"]);
const rejoined = rx(text, "fragment1fragment2");
const [front, back] = two as [Uint8Array, Uint8Array];
add("5.1", "a ping in two fragments", tx(...fragments(ping, ["fragment1", "fragment2"])), bad);
add("5.2", "a pong in two fragments", tx(...fragments(pong, ["fragment1", "fragment2"])), bad);
add("5.3", "a text in two fragments, at once", tx(join(two)), rejoined, ...goodbye);
add("5.4", "a text in two fragments, one by one", tx(...two), rejoined, ...goodbye);
add("5.5", "a text in two fragments, byte by byte", chopped(join(two), 1), rejoined, ...goodbye);
const between = [front, whole(ping, "between"), back];
const betweenAnswers = [rx(pong, "between"), rejoined, ...goodbye];
add("5.6", "a ping between two fragments, at once", tx(join(between)), ...betweenAnswers);
add("5.7", "a ping between two fragments, one by one", tx(...between), ...betweenAnswers);
add(
  "5.8",
  "a ping between two fragments, byte by byte",
  chopped(join(between), 1),
  ...betweenAnswers,
);
const stray = (fin: boolean) => clientFrame(continuation, "non-continuation payload", { fin });
for (const [id, fin] of [
  [9, true],
  [12, false],
] as const) {
  const what = `a ${fin ? "last" : "further"} fragment of nothing`;
  const both = [stray(fin), whole(text, "Hello")];
  add(`5.${id}`, `${what}, at once`, tx(join(both)), bad);
  add(`5.${id + 1}`, `${what}, one by one`, tx(...both), bad);
  add(`5.${id + 2}`, `${what}, byte by byte`, chopped(join(both), 1), bad);
}
add(
  "5.15",
  "a further fragment of nothing behind fragments",
  tx(...two),
  rejoined,
  tx(stray(false)),
  bad,
);
add("5.16", "a further fragment of nothing before fragments", tx(stray(false), ...two), bad);
add("5.17", "a last fragment of nothing before fragments", tx(stray(true), ...two), bad);
const twice = [clientFrame(text, "fragment1", { fin: false }), whole(text, "fragment2")];
add("5.18", "a new message within one", tx(...twice), bad);
const five = fragments(text, ["one", "two", "three", "four", "five"]);
const pinged = [
  five[0]!,
  five[1]!,
  whole(ping, "a"),
  five[2]!,
  five[3]!,
  whole(ping, "b"),
  five[4]!,
];
const pingedAnswers = [rx(pong, "a"), rx(pong, "b"), rx(text, "onetwothreefourfive"), ...goodbye];
add("5.19", "five fragments with pings between, one by one", tx(...pinged), ...pingedAnswers);
add("5.20", "five fragments with pings between, at once", tx(join(pinged)), ...pingedAnswers);

// ---- 6: UTF-8 ----

const unicode = "Hello-µ@ßöäüàá-UTF-8!!";
const greek = "κόσμε";
const single = (bytes: Uint8Array) => Array.from(bytes, (byte) => Uint8Array.of(byte));
const hex = (digits: string) => Uint8Array.fromHex(digits.replaceAll(" ", ""));

add("6.1.1", "an empty text", tx(whole(text, "")), rx(text, ""), ...goodbye);
add(
  "6.1.2",
  "three empty fragments",
  tx(...fragments(text, ["", "", ""])),
  rx(text, ""),
  ...goodbye,
);
const middle = fragments(text, ["", "middle frame payload", ""]);
add(
  "6.1.3",
  "an empty fragment on each side",
  tx(...middle),
  rx(text, "middle frame payload"),
  ...goodbye,
);
const echoed = [rx(text, unicode), ...goodbye];
add("6.2.1", "UTF-8", tx(whole(text, unicode)), ...echoed);
add(
  "6.2.2",
  "UTF-8, cut between characters",
  tx(...fragments(text, ["Hello-µ@ßöä", "üàá-UTF-8!!"])),
  ...echoed,
);
add(
  "6.2.3",
  "UTF-8, cut within characters",
  tx(...fragments(text, single(bytesOf(unicode)))),
  ...echoed,
);
const greekEcho = [rx(text, greek), ...goodbye];
add(
  "6.2.4",
  "Greek, cut within characters",
  tx(...fragments(text, single(bytesOf(greek)))),
  ...greekEcho,
);
const edited = join([bytesOf(greek), hex("eda080"), bytesOf("edited")]);
const notText = fails(failures.content);
add("6.3.1", "what is no UTF-8", tx(whole(text, edited)), notText);
add("6.3.2", "what is no UTF-8, in fragments", tx(...fragments(text, single(edited))), notText);

/**
 * Fail-fast. RFC 6455, section 8.1, asks that it fails, and Autobahn would like it as soon as the bad byte has come;
 * Bun's server looks when the message is whole, so it fails there, and Autobahn calls that "non-strict". The bytes until
 * then are bounded by the longest message, and the service never sees them.
 */
const beyond = hex("f4908080");
const broken = [bytesOf(greek), beyond, bytesOf("edited")];
add(
  "6.4.1",
  "a bad character in the second of three fragments",
  tx(...fragments(text, broken)),
  notText,
);
const brokenWithin = [
  join([bytesOf(greek), hex("f4")]),
  hex("90"),
  join([hex("8080"), bytesOf("edited")]),
];
add(
  "6.4.2",
  "one that is bad with its second byte, in the next",
  tx(...fragments(text, brokenWithin)),
  notText,
);
add("6.4.3", "the same in pieces of one frame", chopped(whole(text, join(broken)), 11), notText);
add("6.4.4", "the same byte by byte", chopped(whole(text, join(broken)), 1), notText);

const valid: readonly [group: number, ...string[]][] = [
  [5, "ce ba e1 bd b9 cf 83 ce bc ce b5", "48 65 6c 6c 6f 2d c2 b5 40 c3 9f"],
  [6, "ce ba", "ce ba e1 bd b9", "ce ba e1 bd b9 cf 83", "ce ba e1 bd b9 cf 83 ce bc"],
  [7, "00", "c2 80", "e0 a0 80", "f0 90 80 80"],
  [9, "7f", "df bf", "ef bf bf", "f4 8f bf bf"],
  [11, "ed 9f bf", "ee 80 80", "ef bf bd", "f4 8f bf bf"],
  [22, "ef bf be", "ef bf bf", "f0 9f bf be", "f4 8f bf be"],
  [23, "ef bf b9", "ef bf ba", "ef bf bd"],
];
for (const [group, ...sequences] of valid) {
  for (const [at, sequence] of sequences.entries()) {
    const echo = [tx(whole(text, hex(sequence))), rx(text, hex(sequence)), ...goodbye];
    add(`6.${group}.${at + 1}`, `the good sequence ${sequence}`, ...echo);
  }
}
const invalid: readonly [group: number, ...string[]][] = [
  [6.5, "ce", "ce ba e1", "ce ba e1 bd", "ce ba e1 bd b9 cf"],
  [8, "f8 88 80 80 80", "fc 84 80 80 80 80"],
  [10, "f7 bf bf bf", "fb bf bf bf bf", "fd bf bf bf bf bf"],
  [11.5, "f4 90 80 80"],
  [12, "80", "bf", "80 bf", "80 bf 80 bf 80 bf"],
  [13, "c0 20 c1 20", "e0 20 e1 20", "f0 20 f1 20", "f8 20", "fc 20"],
  [14, "c0", "e0 80", "f0 80 80", "df", "ef bf", "f7 bf bf"],
  [15, "c0 e0 80 f0 80 80"],
  [16, "fe", "ff", "fe fe ff ff"],
  [17, "c0 af", "e0 80 af", "f0 80 80 af"],
  [18, "c1 bf", "e0 9f bf", "f0 8f bf bf"],
  [19, "c0 80", "e0 80 80", "f0 80 80 80"],
  [20, "ed a0 80", "ed ad bf", "ed ae 80", "ed af bf", "ed b0 80", "ed be 80", "ed bf bf"],
  [21, "ed a0 80 ed b0 80", "ed af bf ed bf bf"],
];
for (const [group, ...sequences] of invalid) {
  for (const [at, sequence] of sequences.entries()) {
    // Groups that have good and bad ones count on.
    const before = Number.isInteger(group) ? 0 : 4;
    const id = `6.${Math.floor(group)}.${before + at + 1}`;
    add(id, `the bad sequence ${sequence}`, tx(whole(text, hex(sequence))), notText);
  }
}

// ---- 7: closing ----

const closes = (code: number, reason = "") => tx(clientFrame(close, closing(code, reason)));
add("7.1.1", "a text, and a close", ...hello, ...goodbye);
const again = tx(join([clientFrame(close, closing(1000)), clientFrame(close, closing(1000))]));
add("7.1.2", "two closes", again, answers(1000));
const after = (frame: Uint8Array) => tx(join([clientFrame(close, closing(1000)), frame]));
add("7.1.3", "a ping after the close", after(whole(ping, "late")), answers(1000));
add("7.1.4", "a text after the close", after(whole(text, "late")), answers(1000));
const halved = tx(join([front, clientFrame(close, closing(1000)), back]));
add("7.1.5", "a close between two fragments", halved, answers(1000));
const large = letters(256 * 1024);
const afterMuch = [
  tx(whole(text, large)),
  rx(text, large),
  ...hello,
  after(whole(ping, "")),
  answers(1000),
];
add("7.1.6", "a text of 256 KiB, another, and a close", ...afterMuch);
add("7.3.1", "a close without a payload", tx(whole(close, "")), answers(1005));
add("7.3.2", "a close with one byte", tx(whole(close, "a")), bad);
add("7.3.3", "a close with a code", closes(1000), answers(1000));
add("7.3.4", "a close with a reason", closes(1000, "Hello World!"), answers(1000, "Hello World!"));
add("7.3.5", "the longest reason", closes(1000, letters(123)), answers(1000, letters(123)));
add("7.3.6", "a reason that is too long", closes(1000, letters(124)), bad);
add("7.5.1", "a reason that is no UTF-8", tx(clientFrame(close, closing(1000, edited))), notText);
const validCodes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
for (const [at, code] of validCodes.entries()) {
  add(`7.7.${at + 1}`, `a close with ${code}`, closes(code), answers(code));
}
const invalidCodes = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
for (const [at, code] of invalidCodes.entries()) {
  add(`7.9.${at + 1}`, `a close with ${code}, which is none`, closes(code), bad);
}
add("7.13.1", "a close with 5000, which is none", closes(5000), bad);
add("7.13.2", "a close with 65535, which is none", closes(65_535), bad);

// ---- 9: sizes ----

const kib = 1024;
const mib = 1024 * kib;
for (const [at, size] of [64 * kib, 256 * kib, mib, 4 * mib, 8 * mib, 16 * mib].entries()) {
  const content = letters(size);
  add(
    `9.1.${at + 1}`,
    `a text of ${size / kib} KiB`,
    tx(whole(text, content)),
    rx(text, content),
    ...goodbye,
  );
  const bytes = pattern(size);
  const echo = [tx(whole(binary, bytes)), rx(binary, bytes), ...goodbye];
  addBinary(`9.2.${at + 1}`, `a binary message of ${size / kib} KiB`, ...echo);
}
const cut = (bytes: Uint8Array, size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
    bytes.subarray(at * size, (at + 1) * size),
  );
const fourMib = pattern(4 * mib);
for (const [at, size] of [kib, 16 * kib, 256 * kib, 4 * mib].entries()) {
  const pieces = fragments(binary, cut(fourMib, size));
  const echo = [tx(join(pieces)), rx(binary, fourMib), ...goodbye];
  addBinary(`9.4.${2 + 2 * at}`, `4 MiB in fragments of ${size / kib} KiB`, ...echo);
}
const oneMib = pattern(mib);
for (const [at, size] of [512, 1024, 2048].entries()) {
  const echo = [chopped(whole(binary, oneMib), size), rx(binary, oneMib), ...goodbye];
  addBinary(`9.6.${4 + at}`, `1 MiB in pieces of ${size}`, ...echo);
}
for (const [at, size] of [0, 16, 64, 256, 1024, 4096].entries()) {
  const many = Array.from({ length: 1000 }, () => whole(text, letters(size)));
  const echoes = many.map(() => rx(text, letters(size)));
  add(`9.7.${at + 1}`, `1000 texts of ${size} bytes`, tx(join(many)), ...echoes, ...goodbye);
}
addBinary(
  "9.9.1",
  "one byte more than 16 MiB",
  tx(whole(binary, new Uint8Array(16 * mib + 1))),
  fails(failures.size),
);
const tooMany = fragments(binary, cut(new Uint8Array(16 * mib + 1), mib));
addBinary("9.9.2", "one byte more than 16 MiB, in fragments", tx(...tooMany), fails(failures.size));
const endless = hex("82 ff 7f ff ff ff ff ff ff ff 00 00 00 00");
addBinary("9.9.3", "the length of 2⁶³ - 1", tx(endless), fails(failures.size));

// ---- 10: fragments as they come ----

const automatic = fragments(text, cut(bytesOf(longText), 1300));
add(
  "10.1.1",
  "a text of 65536 bytes in fragments of 1300",
  tx(...automatic),
  rx(text, longText),
  ...goodbye,
);

// ---- 12, 13: permessage-deflate ----

export function deflated(payload: Uint8Array | string, windowBits = 15): Uint8Array {
  const bytes = deflateRawSync(bytesOf(payload), { finishFlush: zlib.Z_SYNC_FLUSH, windowBits });
  // The last four are always the same, and not sent; RFC 7692, section 7.2.1.
  return bytes.subarray(0, -4);
}

const compressedFrame = (opcode: number, payload: Uint8Array) =>
  clientFrame(opcode, deflated(payload), { rsv: 4 });
const json = (length: number) => {
  let content = "";
  for (let at = 0; content.length < length; at++) content += `{"id":${at},"name":"µ${at * 7}"},`;
  return bytesOf(content)
    .slice(0, length)
    .map((byte) => (byte > 127 ? 63 : byte));
};
const offer = "permessage-deflate; client_no_context_takeover";

function addDeflated(id: string, what: string, deflate: string, ...steps: Step[]): void {
  cases.push({ id, what, speech: "earshot.text", deflate, steps });
}

for (const [at, size] of [
  16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072,
].entries()) {
  const content = json(size);
  const many = Array.from({ length: 20 }, () => compressedFrame(text, content));
  const echoes = many.map(() => rx(text, content, size >= 256 ? "perhaps" : "never"));
  addDeflated(
    `12.1.${at + 1}`,
    `20 compressed texts of ${size} bytes`,
    offer,
    tx(join(many)),
    ...echoes,
    ...goodbye,
  );
}
const offers = [
  "permessage-deflate",
  "permessage-deflate; server_no_context_takeover",
  "permessage-deflate; server_max_window_bits=9, permessage-deflate",
  "permessage-deflate; server_max_window_bits=15",
  "permessage-deflate; server_no_context_takeover; server_max_window_bits=9, permessage-deflate",
  "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
  "permessage-deflate; client_max_window_bits",
];
for (const [at, each] of offers.entries()) {
  const content = json(1024);
  const frames = [compressedFrame(text, content), whole(text, content)];
  const echoes = [rx(text, content, "always"), rx(text, content, "always")];
  addDeflated(`13.${at + 1}.1`, `the offer ${each}`, each, tx(...frames), ...echoes, ...goodbye);
}
const inTwo = deflated(json(4096));
const split = [
  clientFrame(text, inTwo.subarray(0, 100), { fin: false, rsv: 4 }),
  whole(ping, "between"),
  clientFrame(continuation, inTwo.subarray(100)),
];
const splitEcho = [rx(pong, "between"), rx(text, json(4096), "always"), ...goodbye];
addDeflated("12.9.1", "a compressed text in fragments", offer, tx(...split), ...splitEcho);
const bomb = clientFrame(binary, deflated(new Uint8Array(16 * mib + 1)), { rsv: 4 });
addDeflated(
  "12.9.2",
  "little that becomes more than 16 MiB",
  offer,
  tx(bomb),
  fails(failures.size),
);
const garbage = clientFrame(binary, hex("ff ff ff ff ff"), { rsv: 4 });
addDeflated("12.9.3", "what cannot be decompressed", offer, tx(garbage), notText);
const badText = clientFrame(text, deflated(edited), { rsv: 4 });
addDeflated("12.9.4", "what is no UTF-8 when decompressed", offer, tx(badText), notText);
addDeflated("12.9.5", "a compressed ping", offer, tx(clientFrame(ping, "", { rsv: 4 })), bad);
const late = clientFrame(continuation, "x", { rsv: 4 });
addDeflated("12.9.6", "a fragment that says it is compressed", offer, tx(front, late), bad);
addDeflated(
  "12.9.7",
  "reserved bit 2 beside bit 1",
  offer,
  tx(clientFrame(text, "x", { rsv: 6 })),
  bad,
);

// ---- what has no number there ----

const unmasked = clientFrame(text, "Hello, world!", { masked: false });
add("0.1", "a frame without a mask", tx(unmasked), bad);
add("0.2", "a frame without a mask behind a good one", ...hello, tx(unmasked), bad);

export { cases };
