/** Whoever lies between a client and a service: carries what they say, message by message, and changes it if he likes. */

import type { Connection, Service } from "../../src/index.ts";
import { connect, serve } from "../../src/index.ts";

/** `up` is from the client. */
export type Way = "up" | "down";

/** What goes on instead of the message of that number. */
export type Change = (way: Way, number: number, bytes: Uint8Array) => readonly Uint8Array[];

export class Middle implements AsyncDisposable {
  /** What passed, before it was changed. */
  readonly seen: { way: Way; bytes: Uint8Array }[] = [];
  /** What is done in each conversation, asked for as it begins. */
  changes: () => Change = () => (_, __, bytes) => [bytes];
  #service!: Service;

  /** Leads from `name` in the run directory `here` to the same in `there`. */
  static async open(name: string, here: string, there: string): Promise<Middle> {
    const middle = new Middle();
    const up = new WeakMap<Connection, (bytes: Uint8Array) => void>();
    const others = new WeakMap<Connection, Promise<Connection>>();
    middle.#service = await serve(
      name,
      {
        open(client) {
          const change = middle.changes();
          const pass = middle.#passer("down", change, client);
          others.set(
            client,
            connect(name, {
              rundir: there,
              transport: "unix",
              message: (_, { bytes }) => pass(bytes),
              close: () => void client.close(),
            }).then((service) => {
              up.set(client, middle.#passer("up", change, service));
              return service;
            }),
          );
        },
        async message(client, message) {
          const bytes = message.copy().bytes;
          await others.get(client);
          up.get(client)?.(bytes);
        },
        close: async (client) => void (await others.get(client))?.close(),
      },
      { rundir: here },
    );
    return middle;
  }

  #passer(way: Way, change: Change, to: Connection): (bytes: Uint8Array) => void {
    let number = 0;
    return (bytes) => {
      this.seen.push({ way, bytes: bytes.slice() });
      for (const each of change(way, number++, bytes)) if (to.open) to.send(each);
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service.close({ now: true });
  }
}
