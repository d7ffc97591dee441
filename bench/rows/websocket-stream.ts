/**
 * Drives `…-stream` rows over WebSockets: one client that sends 100,000 messages without waiting for
 * any answer, and has all of them back. It speaks the protocol (RFC 6455) by itself, with frames
 * made beforehand, so that what is measured is the other end. Option: the port.
 */

import { attempt } from "./attempt.ts";
import { now, plans, ready, report } from "./control.ts";
import { Pattern } from "./pattern.ts";
import { readRole } from "./role.ts";

const messages = 100_000;
const finalBinary = 0x82;
const masked = 0x80;
const maskBytes = 4; // a mask of zeros, which leaves the bytes as they are

const port = Number(readRole().options[0]);
const request = [
  "GET /pong HTTP/1.1",
  `Host: 127.0.0.1:${port}`,
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
  "\r\n",
].join("\r\n");

/** Every frame of a round, one behind the other. Payloads are shorter than 126 bytes. */
function framesOf(bytes: number, isMasked: boolean): Uint8Array {
  const header = 2 + (isMasked ? maskBytes : 0);
  const frames = new Uint8Array(messages * (header + bytes));
  const pattern = Pattern.of(bytes);
  for (let k = 0, at = 0; k < messages; k += 1, at += header + bytes) {
    frames[at] = finalBinary;
    frames[at + 1] = bytes | (isMasked ? masked : 0);
    frames.set(pattern.payload(k), at + header);
  }
  return frames;
}

class Client {
  #outgoing = new Uint8Array(0);
  #expected = new Uint8Array(0);
  #answered = Promise.withResolvers<void>();
  #came = 0;
  #greeting = "";
  readonly #upgraded = Promise.withResolvers<void>();

  async connect(): Promise<Bun.Socket> {
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_, chunk) => this.#receive(chunk),
        drain: (writable) => this.#write(writable),
        close: () => process.exit(1),
      },
    });
    socket.write(request);
    await this.#upgraded.promise;
    return socket;
  }

  async round(socket: Bun.Socket, outgoing: Uint8Array, expected: Uint8Array): Promise<void> {
    this.#outgoing = outgoing as Uint8Array<ArrayBuffer>;
    this.#expected = expected as Uint8Array<ArrayBuffer>;
    this.#came = 0;
    this.#answered = Promise.withResolvers();
    this.#write(socket);
    await this.#answered.promise;
  }

  #write(socket: Bun.Socket): void {
    if (this.#outgoing.length === 0) return;
    const written = Math.max(0, socket.write(this.#outgoing));
    this.#outgoing = this.#outgoing.subarray(written);
  }

  #receive(chunk: Uint8Array): void {
    if (this.#expected.length === 0) {
      this.#greeting += Buffer.from(chunk).toString("latin1");
      if (!this.#greeting.endsWith("\r\n\r\n")) return;
      if (this.#greeting.startsWith("HTTP/1.1 101 ")) this.#upgraded.resolve();
      else this.#upgraded.reject(new Error(`no WebSocket there: ${this.#greeting}`));
      return;
    }
    const end = this.#came + chunk.length;
    if (Buffer.compare(chunk, this.#expected.subarray(this.#came, end)) !== 0) {
      this.#answered.reject(new Error("wrong answer"));
    }
    this.#came = end;
    if (end === this.#expected.length) this.#answered.resolve();
  }
}

const { client, socket } = await attempt(async () => {
  const made = new Client();
  return { client: made, socket: await made.connect() };
});
ready();
for (const plan of plans()) {
  const outgoing = framesOf(plan.bytes, true);
  const expected = framesOf(plan.bytes, false);
  const begin = now();
  await client.round(socket, outgoing, expected);
  report(now() - begin, messages, []);
}
process.exit(0); // the open socket would keep it
