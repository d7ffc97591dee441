/** Frames over a socket of Bun's, and what the kernel does not take kept until it does. */

import { FrameCutter, FrameWriter } from "./frames.ts";

export type Received = (payload: Uint8Array, frames: BunFrames) => void;

export class BunFrames {
  readonly #socket: Bun.Socket<BunFrames>;
  readonly #cutter: FrameCutter;
  readonly #writer = new FrameWriter();
  #unsent: Uint8Array[] = [];
  #drained: (() => void) | null = null;

  constructor(socket: Bun.Socket<BunFrames>, received: Received) {
    this.#socket = socket;
    this.#cutter = new FrameCutter((payload) => received(payload, this));
  }

  receive(chunk: Uint8Array): void {
    this.#cutter.push(chunk);
  }

  send(payload: Uint8Array): boolean {
    return this.write(this.#writer.frame(payload));
  }

  /**
   * Returns false if the kernel did not take everything: wait for `drained` then, and leave the
   * bytes as they are until it comes.
   */
  write(bytes: Uint8Array): boolean {
    if (this.#unsent.length > 0) {
      this.#unsent.push(bytes);
      return false;
    }
    const written = Math.max(0, this.#socket.write(bytes));
    if (written < bytes.length) this.#unsent.push(bytes.subarray(written));
    return written === bytes.length;
  }

  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained = resolve;
    });
  }

  flush(): void {
    for (let bytes = this.#unsent[0]; bytes !== undefined; bytes = this.#unsent[0]) {
      const written = Math.max(0, this.#socket.write(bytes));
      if (written < bytes.length) {
        this.#unsent[0] = bytes.subarray(written);
        return;
      }
      this.#unsent.shift();
    }
    this.#drained?.();
    this.#drained = null;
  }
}

export function listen(path: string, received: Received): void {
  Bun.listen<BunFrames>({ unix: path, socket: handlers(received) });
}

export async function connect(path: string, received: Received): Promise<BunFrames> {
  const socket = await Bun.connect<BunFrames>({ unix: path, socket: handlers(received) });
  return socket.data;
}

function handlers(received: Received): Bun.SocketHandler<BunFrames> {
  return {
    open(socket) {
      socket.data = new BunFrames(socket, received);
    },
    data: (socket, chunk) => socket.data.receive(chunk),
    drain: (socket) => socket.data.flush(),
    close: () => process.exit(0),
  };
}
