/** The server's end of one connection. */

import type { End } from "../ipc/handlers.ts";
import { MemorySocket } from "./memory-socket.ts";
import type { ServerSocket } from "./server-socket.ts";

export class ServerConnection extends MemorySocket {
  readonly #server: ServerSocket;
  readonly #name: string;

  /** @internal */
  constructor(server: ServerSocket, name: string) {
    super();
    this.#server = server;
    this.#name = name;
  }

  override get service(): string {
    return this.#name;
  }

  protected override get hears(): boolean {
    return this.#server.onData !== undefined;
  }

  protected override tellData(bytes: Uint8Array): void | Promise<void> {
    return this.#server.onData?.(this, bytes);
  }

  protected override tellDrain(): void | Promise<void> {
    return this.#server.onDrain?.(this);
  }

  protected override tellError(error: unknown): boolean {
    this.#server.onError?.(this, error);
    return this.#server.onError !== undefined;
  }

  protected override tellClose(end: End): void | Promise<void> {
    this.#server.gone(this);
    return this.#server.onClose?.(this, end);
  }
}
