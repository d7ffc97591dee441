/** A client of ipcd, or of a daemon, that speaks bytes: it asks, hears what is answered, and takes what comes with it. */

import type { Connection, ConnectOptions } from "../../src/index.ts";
import { connect } from "../../src/index.ts";
import type { Descriptor } from "../../src/ipc/descriptor.ts";
import { frame } from "./frames.ts";
import { until, within } from "./until.ts";

export class Asker implements AsyncDisposable {
  /** All that has been answered. */
  text = "";
  readonly descriptors: Descriptor[] = [];
  #connection!: Connection;

  static async connect(service: string, options: ConnectOptions): Promise<Asker> {
    const asker = new Asker();
    asker.#connection = await connect(service, {
      ...options,
      network: "",
      raw: true,
      descriptors: { max: 1 },
      message(_, message) {
        asker.text += message.text();
        asker.descriptors.push(...message.descriptors);
      },
    });
    return asker;
  }

  get connection(): Connection {
    return this.#connection;
  }

  /** Sends one message. */
  ask(request: string | Uint8Array): void {
    this.#connection.send(frame(request));
  }

  async hears(text: string): Promise<void> {
    await until(
      () => `the answer is ${JSON.stringify(text)}; it is ${JSON.stringify(this.text)}`,
      () => this.text === text,
    );
  }

  /** All that was answered, once the other side has ended it. */
  async whole(): Promise<string> {
    await within("the end of an answer", this.#connection.ended);
    return this.text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const descriptor of this.descriptors) descriptor.close();
    await this.#connection.close({ now: true });
  }
}

/** What `service` says to one message, to the end. */
export async function answerOf(
  service: string,
  request: string | Uint8Array,
  options: ConnectOptions,
): Promise<string> {
  await using asker = await Asker.connect(service, options);
  asker.ask(request);
  return await asker.whole();
}
