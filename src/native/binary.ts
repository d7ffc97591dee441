/**
 * What a file of machine code says of itself in its headers: of which format it is, for which processor and C library,
 * and how long. It is asked before the system's loader is, which takes the headers at their word: a page that is
 * mapped behind the end of a file kills the process that touches it (SIGBUS, mmap(2)).
 *
 *     ELF      header | program headers | segments … | section headers      System V ABI, chapters 4 and 5
 *     Mach-O   header | load commands   | segments …                        mach-o/loader.h
 */

export type Binary = {
  readonly format: "ELF" | "Mach-O";
  /** As `process.arch` has it, or the format's number for another. */
  readonly cpu: string;
  /** Whether it can be loaded into a process, as its header has it. */
  readonly loadable: boolean;
  /** The C library that it needs, where it names one of those known here. */
  readonly libc: "glibc" | "musl" | "FreeBSD" | undefined;
  /** How long the file has to be for everything that its headers speak of to be in it. */
  readonly bytesNeeded: number;
};

const elfMagic = 0x464c457f;
const machMagic = 0xfeedfacf;
const bits64 = 2;
const littleEndian = 1;

const elfCpus: Record<number, string> = { 62: "x64", 183: "arm64" };
const machCpus: Record<number, string> = { 16777223: "x64", 16777228: "arm64" };

/** Segments of an ELF file. */
const segment = { load: 1, dynamic: 2, interpreter: 3 } as const;
/** Entries of its dynamic segment. */
const dynamic = { end: 0, needed: 1, strings: 5 } as const;
const elfShared = 3;
const machDylib = 6;
const machSegment64 = 0x19;

/** Undefined if it is neither ELF nor Mach-O of 64 bits, or ends before its headers do. */
export function readBinary(bytes: Uint8Array): Binary | undefined {
  return cautiously(() => {
    const view = viewOf(bytes);
    const magic = view.getUint32(0, true);
    if (magic === machMagic) return readMach(view);
    return magic === elfMagic && isElf64(view) ? readElf(view) : undefined;
  });
}

/** The loader that an ELF program asks for; undefined if it asks for none. The beginning of the file is enough. */
export function interpreterOf(bytes: Uint8Array): string | undefined {
  return cautiously(() => {
    const view = viewOf(bytes);
    if (view.getUint32(0, true) !== elfMagic || !isElf64(view)) return undefined;
    const found = segmentsOf(view).find(({ type }) => type === segment.interpreter);
    return found === undefined ? undefined : stringAt(view, found.offset);
  });
}

/** Headers may say anything: that something lies outside the file is found by trying to read it there. */
function cautiously<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function isElf64(view: DataView): boolean {
  return view.getUint8(4) === bits64 && view.getUint8(5) === littleEndian;
}

function readElf(view: DataView): Binary {
  const segments = segmentsOf(view);
  const machine = view.getUint16(18, true);
  const sections = wordAt(view, 40) + view.getUint16(58, true) * view.getUint16(60, true);
  return {
    format: "ELF",
    cpu: elfCpus[machine] ?? `machine ${machine}`,
    loadable: view.getUint16(16, true) === elfShared,
    // Told of a file that was cut short, too, which may lack the table it is read from.
    libc: cautiously(() => libcOf(view, segments)),
    bytesNeeded: Math.max(sections, ...segments.map(({ offset, bytes }) => offset + bytes)),
  };
}

type Segment = { type: number; offset: number; address: number; bytes: number };

function segmentsOf(view: DataView): Segment[] {
  const start = wordAt(view, 32);
  const size = view.getUint16(54, true);
  return Array.from({ length: view.getUint16(56, true) }, (_, index) => {
    const at = start + index * size;
    return {
      type: view.getUint32(at, true),
      offset: wordAt(view, at + 8),
      address: wordAt(view, at + 16),
      bytes: wordAt(view, at + 32),
    };
  });
}

function libcOf(view: DataView, segments: readonly Segment[]): Binary["libc"] {
  const table = segments.find(({ type }) => type === segment.dynamic);
  if (table === undefined) return undefined;
  const needed: number[] = [];
  let strings = 0;
  for (let at = table.offset; at < table.offset + table.bytes; at += 16) {
    const tag = wordAt(view, at);
    if (tag === dynamic.end) break;
    if (tag === dynamic.needed) needed.push(wordAt(view, at + 8));
    if (tag === dynamic.strings) strings = wordAt(view, at + 8);
  }
  // The table speaks of addresses in memory; where in the file that is, the segment knows that is loaded there.
  const home = segments.find(
    ({ type, address, bytes }) =>
      type === segment.load && strings >= address && strings < address + bytes,
  );
  if (home === undefined) return undefined;
  const offset = home.offset + strings - home.address;
  return needed.map((name) => libcCalled(stringAt(view, offset + name))).find(Boolean);
}

function libcCalled(name: string): Binary["libc"] {
  if (name === "libc.so.6") return "glibc";
  if (name === "libc.so.7") return "FreeBSD";
  return name === "libc.so" || name.startsWith("libc.musl-") ? "musl" : undefined;
}

function readMach(view: DataView): Binary {
  const cpu = view.getUint32(4, true);
  const headerBytes = 32;
  let bytesNeeded = headerBytes + view.getUint32(20, true);
  let at = headerBytes;
  for (let count = view.getUint32(16, true); count > 0; count--) {
    if (view.getUint32(at, true) === machSegment64) {
      bytesNeeded = Math.max(bytesNeeded, wordAt(view, at + 40) + wordAt(view, at + 48));
    }
    // A command that says it has no length would be read for ever.
    at += Math.max(view.getUint32(at + 4, true), 8);
  }
  return {
    format: "Mach-O",
    cpu: machCpus[cpu] ?? `processor ${cpu}`,
    loadable: view.getUint32(12, true) === machDylib,
    libc: undefined,
    bytesNeeded,
  };
}

/** A file of more than 2 ^ 53 bytes is none, so that the number may be a rounded one. */
function wordAt(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

function stringAt(view: DataView, start: number): string {
  let end = start;
  while (view.getUint8(end) !== 0) end++;
  return new TextDecoder().decode(
    new Uint8Array(view.buffer, view.byteOffset + start, end - start),
  );
}
