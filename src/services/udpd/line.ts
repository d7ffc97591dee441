/** A socket that sends to one address and hears nobody else, and the client that it is for. */

import { isIPv6 } from "node:net";
import type { Connection } from "../../ipc/connection.ts";
import type { Address } from "../daemon/address.ts";

export type LineEvents = {
  /** Good until this returns. */
  readonly datagram: (line: Line, bytes: Uint8Array, truncated: boolean) => void;
  /** Nobody listens there. */
  readonly refused: (line: Line) => void;
  /** What was sent did not get there, for another reason. */
  readonly unsent: (line: Line) => void;
};

export class Line {
  readonly address: Address;
  /** Undefined until it was joined. */
  client: Connection | undefined;
  readonly #over = Promise.withResolvers<void>();
  #socket: Bun.udp.ConnectedSocket<"buffer"> | undefined;
  #movedAt = performance.now();

  /** Rejects with a system error if nothing can be sent there. `address` has a number, and no name. */
  static async open(address: Address, events: LineEvents): Promise<Line> {
    const line = new Line(address);
    const { host, port } = address;
    line.#socket = await Bun.udpSocket({
      // Of the same kind as the other end.
      hostname: isIPv6(host) ? "::" : "0.0.0.0",
      connect: { hostname: host, port },
      socket: {
        data: (_socket, bytes, _port, _host, flags) => {
          line.#movedAt = performance.now();
          events.datagram(line, bytes, flags.truncated);
        },
        // Its types have a socket before it, which does not come.
        error: (...given: readonly unknown[]) => {
          const { code } = given.at(-1) as NodeJS.ErrnoException;
          if (code === "ECONNREFUSED") events.refused(line);
          else events.unsent(line);
        },
      },
    });
    return line;
  }

  private constructor(address: Address) {
    this.address = address;
  }

  /** Resolves when it was ended. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  get ended(): boolean {
    return this.#socket === undefined;
  }

  /** When something last came or went. */
  get movedAt(): number {
    return this.#movedAt;
  }

  /** False where it is lost at once. Throws a system error if it cannot be sent. */
  send(bytes: Uint8Array): boolean {
    if (this.#socket === undefined) return false;
    this.#movedAt = performance.now();
    return this.#socket.send(bytes);
  }

  end(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket?.closed === false) socket.close();
    this.#over.resolve();
  }
}
