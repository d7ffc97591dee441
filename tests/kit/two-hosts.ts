/** Two run directories that only daemons lead between, as on two hosts: services in A, clients in B. */

import type { Connection, ConnectOptions } from "../../src/index.ts";
import { connect } from "../../src/index.ts";
import type { Command } from "./command.ts";
import { startService } from "./command.ts";
import { Scratch } from "./scratch.ts";
import { until } from "./until.ts";

export class TwoHosts implements AsyncDisposable {
  readonly a = new Scratch();
  readonly b = new Scratch();
  readonly #commands: Command[] = [];
  readonly #clients: Connection[] = [];

  startA(...words: string[]): Promise<Command> {
    return this.#start(this.a.path, words);
  }

  startB(...words: string[]): Promise<Command> {
    return this.#start(this.b.path, words);
  }

  async #start(rundir: string, words: string[]): Promise<Command> {
    const command = await startService(words, { rundir });
    this.#commands.push(command);
    return command;
  }

  /** A client in B of what is elsewhere. */
  async connect(name: string, uri: string, options: ConnectOptions = {}): Promise<Connection> {
    const network = `${name} ${uri}`;
    const client = await connect(name, { rundir: this.b.path, network, ...options });
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close({ now: true })));
    for (const command of this.#commands) await command[Symbol.asyncDispose]();
    this.a[Symbol.dispose]();
    this.b[Symbol.dispose]();
  }
}

export function portOf(command: Command): number {
  return Number(/:(\d+)(?:\/| |\n)/.exec(command.stdout.replace(/^\S+: /, ""))![1]);
}

export async function countersOf(command: Command): Promise<Record<string, number>> {
  const before = command.stderr.length;
  command.signal("SIGUSR2");
  const line = () => /counters (\{.*\})\n/.exec(command.stderr.slice(before))?.[1];
  await until("its counters are told", () => line() !== undefined);
  return JSON.parse(line()!) as Record<string, number>;
}

/** Resolves when what it has counted is as it should be. */
export async function counts(command: Command, expected: Record<string, number>): Promise<void> {
  let last: Record<string, number> = {};
  await until(
    () => `it counts ${JSON.stringify(expected)}, and not ${JSON.stringify(last)}`,
    async () => {
      last = await countersOf(command);
      return Object.entries(expected).every(([name, count]) => last[name] === count);
    },
  );
}
