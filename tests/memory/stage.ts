/** A service in a process of its own, and clients of it in this one. */

import { type ClientOptions, ClientSocket } from "../../src/memory/index.ts";
import { Child, type StartOptions } from "../kit/child.ts";
import { Scratch } from "../kit/scratch.ts";
import { until, within } from "../kit/until.ts";
import type { ServiceSettings } from "./programs/service.ts";

const program = new URL("./programs/service.ts", import.meta.url);

export type Progress = {
  connections: number;
  open: number;
  messages: number;
  bytes: number;
  sum: number;
  drains: number;
  ended: string[];
  errors: string[];
};

export class MemoryStage implements AsyncDisposable {
  readonly rundir: string;
  readonly service: Child;
  readonly #scratch: Scratch;
  readonly #clients: ClientSocket[] = [];

  private constructor(scratch: Scratch, service: Child) {
    this.#scratch = scratch;
    this.rundir = scratch.path;
    this.service = service;
  }

  static async open(
    settings: Omit<ServiceSettings, "rundir">,
    options: StartOptions = {},
  ): Promise<MemoryStage> {
    const scratch = new Scratch();
    try {
      const given: ServiceSettings = { ...settings, rundir: scratch.path };
      return new MemoryStage(scratch, await Child.start(program, given, options));
    } catch (error) {
      scratch[Symbol.dispose]();
      throw error;
    }
  }

  /** One that collects what comes as text. */
  async client(options: ClientOptions = {}): Promise<ClientSocket & { texts: string[] }> {
    const texts: string[] = [];
    const client = Object.assign(new ClientSocket(), { texts });
    client.onData = (bytes) => {
      texts.push(new TextDecoder().decode(bytes));
    };
    return await this.connect(client, options);
  }

  async connect<Client extends ClientSocket>(
    client: Client,
    options: ClientOptions = {},
  ): Promise<Client> {
    await client.connect("pong", { rundir: this.rundir, ...options });
    this.#clients.push(client);
    return client;
  }

  progress(): Promise<Progress> {
    return this.service.ask("progress");
  }

  /** Resolves with what the service has to say of itself once that is so. */
  async reaches(what: string, condition: (progress: Progress) => boolean): Promise<Progress> {
    let last = await this.progress();
    await until(
      () => `${what}: ${JSON.stringify(last)}`,
      async () => {
        last = await this.progress();
        return condition(last);
      },
    );
    return last;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => within("a client's end", client.close())));
    await this.service[Symbol.asyncDispose]();
    this.#scratch[Symbol.dispose]();
  }
}

/** Asks with one message, and resolves with a copy of the answer. */
export async function ask(client: ClientSocket, bytes: Uint8Array | string): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const before = client.onData;
  client.onData = (message) => resolve(message.slice());
  if (!client.write(bytes)) throw new Error("there is no room for a question");
  const answer = await within("an answer", promise);
  client.onData = before;
  return answer;
}
