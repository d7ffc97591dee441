/**
 * A WebSocket by hand, over TCP, so that tests of the protocol do not lean on an implementation of it: it sends what
 * frames it is told to, right or wrong, and keeps what comes back. RFC 6455, section 5.2:
 *
 *     | fin rsv1-3 opcode | masked, length | length, if it is 126 or 127 | mask | payload |
 */

import { join } from "./frames.ts";
import { until } from "./until.ts";
import { Unwritten } from "./unwritten.ts";

export const opcodes = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

export type Frame = { fin: boolean; rsv: number; opcode: number; payload: Uint8Array };

export type FrameOptions = { fin?: boolean; rsv?: number; masked?: boolean };

const mask = Uint8Array.of(0x37, 0xfa, 0x21, 0x3d);

export function bytesOf(payload: Uint8Array | string): Uint8Array {
  return typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
}

/** One frame as a client sends it. */
export function clientFrame(
  opcode: number,
  content: Uint8Array | string = "",
  { fin = true, rsv = 0, masked = true }: FrameOptions = {},
): Uint8Array {
  const payload = bytesOf(content);
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  const head = Uint8Array.of(first, ...lengthOf(payload.length, masked ? 0x80 : 0));
  if (!masked) return join([head, payload]);
  return join([head, mask, payload.map((byte, at) => byte ^ mask[at & 3]!)]);
}

function lengthOf(length: number, masked: number): number[] {
  if (length < 126) return [masked | length];
  if (length < 65_536) return [masked | 126, length >> 8, length & 255];
  const low = [24, 16, 8, 0].map((shift) => (length >>> shift) & 255);
  return [masked | 127, 0, 0, 0, 0, ...low];
}

/** The payload of a Close frame. */
export function closing(code: number, reason: Uint8Array | string = ""): Uint8Array {
  return join([Uint8Array.of(code >> 8, code & 255), bytesOf(reason)]);
}

/** The request of RFC 6455, section 1.3, with lines in place of its own or beside them. */
export function handshake(path: string, lines: Record<string, string | undefined> = {}): string {
  const headers: Record<string, string | undefined> = {
    Host: "127.0.0.1",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    ...lines,
  };
  const given = Object.entries(headers).filter(([, value]) => value !== undefined);
  return `GET ${path} HTTP/1.1\r\n${given.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}

export type OpenOptions = {
  headers?: Record<string, string | undefined>;
  /** With false it reads nothing after the handshake, until `read`. */
  reads?: boolean;
};

export class RawWebSocket implements Disposable {
  readonly frames: Frame[] = [];
  #head: string | undefined;
  #body = "";
  #socket!: Bun.Socket<undefined>;
  #unread: Uint8Array[] = [];
  #unreadBytes = 0;
  /** Bytes that make it worth looking for a frame. */
  #wanted = 2;
  readonly #unwritten = new Unwritten();
  #ended = false;
  #stopsReading = false;

  /** Connects, and says nothing. */
  static async dial(port: number, host = "127.0.0.1"): Promise<RawWebSocket> {
    const raw = new RawWebSocket();
    const end = () => {
      raw.#ended = true;
    };
    raw.#socket = await Bun.connect<undefined>({
      hostname: host,
      port,
      socket: {
        open: (socket) => void socket.setNoDelay(true),
        data: (_, bytes) => raw.#take(bytes),
        drain: () => raw.#write(),
        end,
        close: end,
        error: end,
      },
    });
    return raw;
  }

  /** The same, and asks for `path`; resolves when there is an answer, whatever it says. */
  static async ask(port: number, path: string, options: OpenOptions = {}): Promise<RawWebSocket> {
    const raw = await RawWebSocket.dial(port);
    raw.#stopsReading = options.reads === false;
    raw.write(bytesOf(handshake(path, options.headers)));
    await until(`a request for ${path} is answered`, () => raw.#head !== undefined || raw.#ended);
    return raw;
  }

  /** The same, but the answer has to be a WebSocket. */
  static async open(port: number, path: string, options: OpenOptions = {}): Promise<RawWebSocket> {
    const raw = await RawWebSocket.ask(port, path, options);
    if (raw.status === 101) return raw;
    raw.close();
    throw new Error(`${path} is no WebSocket: ${raw.#head ?? "the connection was closed"}`);
  }

  /** The status of the answer; 0 if none has come. */
  get status(): number {
    return Number(/^HTTP\/1\.1 (\d{3})/.exec(this.#head ?? "")?.[1] ?? 0);
  }

  /** A header of the answer. */
  header(name: string): string | undefined {
    return new RegExp(`^${name}: (.*)$`, "im").exec(this.#head ?? "")?.[1];
  }

  /** What came behind the head of an answer that is no WebSocket. */
  get body(): string {
    return this.#body;
  }

  /** Whether the other side has ended the conversation. */
  get ended(): boolean {
    return this.#ended;
  }

  /** What the Close frame says that has come. */
  get closed(): { code: number; reason: string } | undefined {
    const payload = this.frames.find(({ opcode }) => opcode === opcodes.close)?.payload;
    if (payload === undefined) return undefined;
    const code = payload.length < 2 ? 1005 : payload[0]! * 256 + payload[1]!;
    return { code, reason: new TextDecoder().decode(payload.subarray(2)) };
  }

  get unwrittenBytes(): number {
    return this.#unwritten.bytes;
  }

  write(bytes: Uint8Array): void {
    this.#unwritten.push(bytes);
    this.#write();
  }

  send(opcode: number, payload: Uint8Array | string = "", options: FrameOptions = {}): void {
    this.write(clientFrame(opcode, payload, options));
  }

  /** Resolves when all bytes are with the kernel, or nobody wants them any more. */
  async written(): Promise<void> {
    await until("a remote's bytes are written", () => {
      this.#write();
      return this.#ended || this.#unwritten.bytes === 0;
    });
  }

  async received(count: number): Promise<Frame[]> {
    await until(
      () => `a remote has ${count} frames instead of ${this.frames.length}`,
      () => {
        if (this.frames.length >= count) return true;
        if (this.#ended) throw new Error(`it ended after ${this.frames.length} of ${count} frames`);
        return false;
      },
    );
    return this.frames.slice(0, count);
  }

  /** Resolves when the other side has ended it. */
  async gone(): Promise<void> {
    await until("a remote is sent away", () => this.#ended);
  }

  /** Reads from now on, if it has not so far. */
  read(): void {
    this.#stopsReading = false;
    this.#socket.resume();
  }

  /** Reads nothing more, until `read`. */
  pause(): void {
    this.#socket.pause();
  }

  /** Goes without a word. */
  close(): void {
    this.#socket.terminate();
    this.#ended = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #take(bytes: Uint8Array): void {
    this.#unread.push(bytes.slice());
    this.#unreadBytes += bytes.length;
    if (this.#head === undefined) this.#takeHead();
    if (this.#head === undefined) return;
    if (this.status === 101) this.#cut();
    else this.#body += new TextDecoder().decode(this.#all());
  }

  #takeHead(): void {
    const all = this.#all();
    const text = new TextDecoder("latin1").decode(all);
    const end = text.indexOf("\r\n\r\n");
    if (end >= 0) this.#head = text.slice(0, end).replaceAll("\r", "");
    this.#keep(end >= 0 ? all.subarray(end + 4) : all);
    if (end >= 0 && this.#stopsReading) this.#socket.pause();
  }

  #all(): Uint8Array {
    const all = join(this.#unread);
    this.#unread = [];
    this.#unreadBytes = 0;
    return all;
  }

  #keep(rest: Uint8Array): void {
    this.#unread = [rest];
    this.#unreadBytes = rest.length;
  }

  #cut(): void {
    if (this.#unreadBytes < this.#wanted) return;
    let rest = this.#all();
    this.#wanted = 2;
    while (rest.length >= 2) {
      const size = sizeOf(rest);
      if (size === undefined || rest.length < size.head + size.payload) {
        this.#wanted = size === undefined ? rest.length + 1 : size.head + size.payload;
        break;
      }
      const end = size.head + size.payload;
      const first = rest[0]!;
      this.frames.push({
        fin: (first & 0x80) !== 0,
        rsv: (first >> 4) & 7,
        opcode: first & 15,
        payload: rest.slice(size.head, end),
      });
      rest = rest.subarray(end);
    }
    this.#keep(rest);
  }

  #write(): void {
    if (!this.#ended) this.#unwritten.writeTo(this.#socket);
  }
}

/** How long the frame is that begins here; undefined if too little of it has come. A server masks nothing. */
function sizeOf(bytes: Uint8Array): { head: number; payload: number } | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const short = bytes[1]!;
  if (short > 127) throw new Error("a frame from a server is masked");
  if (short < 126) return { head: 2, payload: short };
  if (short === 126) return bytes.length < 4 ? undefined : { head: 4, payload: view.getUint16(2) };
  return bytes.length < 10 ? undefined : { head: 10, payload: Number(view.getBigUint64(2)) };
}
