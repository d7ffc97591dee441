/** A TCP port that leads to another, and keeps all bytes that pass, each way by itself. */

type Half = { socket: Bun.Socket<undefined> | undefined; waiting: Uint8Array[]; over: boolean };

export class Recorder implements Disposable {
  readonly port: number;
  #up: Uint8Array[] = [];
  #down: Uint8Array[] = [];
  readonly #server: Bun.TCPSocketListener<undefined>;
  readonly #sockets = new Set<Bun.Socket<undefined>>();

  constructor(port: number) {
    const halves = new WeakMap<Bun.Socket<undefined>, Half>();
    this.#server = Bun.listen<undefined>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (client) => {
          const remote: Half = { socket: undefined, waiting: [], over: false };
          halves.set(client, remote);
          void this.#join(client, remote, port);
        },
        data: (client, bytes) => {
          this.#up.push(bytes.slice());
          write(halves.get(client)!, bytes.slice());
        },
        drain: (client) => flush(this.#own(client)),
        close: (client) => {
          this.#sockets.delete(client);
          end(halves.get(client)!);
        },
      },
    });
    this.port = this.#server.port;
  }

  readonly #owns = new WeakMap<Bun.Socket<undefined>, Half>();

  #own(client: Bun.Socket<undefined>): Half {
    const known = this.#owns.get(client);
    if (known !== undefined) return known;
    const half: Half = { socket: client, waiting: [], over: false };
    this.#owns.set(client, half);
    return half;
  }

  async #join(client: Bun.Socket<undefined>, remote: Half, port: number): Promise<void> {
    this.#sockets.add(client);
    const own = this.#own(client);
    const socket = await Bun.connect<undefined>({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_, bytes) => {
          this.#down.push(bytes.slice());
          write(own, bytes.slice());
        },
        drain: () => flush(remote),
        close: () => end(own),
      },
    });
    this.#sockets.add(socket);
    remote.socket = socket;
    flush(remote);
  }

  /** All that passed, as bytes in a string. */
  get text(): string {
    return Buffer.concat([...this.#up, ...this.#down]).toString("latin1");
  }

  /** Ends all that passes now. */
  cut(): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  [Symbol.dispose](): void {
    this.#server.stop(true);
    this.cut();
  }
}

function write(half: Half, bytes: Uint8Array): void {
  half.waiting.push(bytes);
  flush(half);
}

function flush(half: Half): void {
  const { socket, waiting } = half;
  if (socket === undefined) return;
  while (waiting.length > 0) {
    const first = waiting[0]!;
    const count = Math.max(0, socket.write(first));
    if (count < first.length) {
      waiting[0] = first.subarray(count);
      return;
    }
    waiting.shift();
  }
  if (half.over) socket.end();
}

function end(half: Half): void {
  half.over = true;
  flush(half);
}
