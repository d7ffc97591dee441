/** A daemon in a process of its own, and a run directory with whatever services a test puts there. */

import type { Connection, ServeHandlers, Service } from "../../src/index.ts";
import { serve } from "../../src/index.ts";
import type { Command } from "./command.ts";
import { startService } from "./command.ts";
import { Scratch } from "./scratch.ts";
import { until } from "./until.ts";

export class DaemonStage implements AsyncDisposable {
  readonly scratch = new Scratch();
  readonly #services: Service[] = [];
  daemon!: Command;

  /** Resolves when it listens. */
  async start(...words: string[]): Promise<this> {
    try {
      this.daemon = await startService(words, { rundir: this.scratch.path });
      return this;
    } catch (error) {
      this.scratch[Symbol.dispose]();
      throw error;
    }
  }

  /** Where it says that it listens. */
  get url(): string {
    return /listening on (\S+)/.exec(this.daemon.stdout)![1]!;
  }

  get port(): number {
    return Number(/:(\d+)\/?$/.exec(this.url)![1]);
  }

  async serve(name: string, handlers: ServeHandlers): Promise<Service> {
    const service = await serve(name, handlers, { rundir: this.scratch.path });
    this.#services.push(service);
    return service;
  }

  pong(name = "pong"): Promise<Service> {
    return this.serve(name, {
      message: (connection, message) => void connection.send(message.bytes),
    });
  }

  async counters(): Promise<Record<string, number>> {
    const before = this.daemon.stderr.length;
    this.daemon.signal("SIGUSR2");
    const line = () => /counters (\{.*\})\n/.exec(this.daemon.stderr.slice(before))?.[1];
    await until("its counters are told", () => line() !== undefined);
    return JSON.parse(line()!) as Record<string, number>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
    await Promise.all(this.#services.map((service) => service.close({ now: true })));
    this.scratch[Symbol.dispose]();
  }
}

/** A service that answers when it is told to, and says what it was asked. */
export class Patient {
  readonly asked: { connection: Connection; text: string }[] = [];
  readonly handlers: ServeHandlers = {
    message: (connection, message) => {
      this.asked.push({ connection, text: message.text() });
    },
  };

  async isAsked(text: string): Promise<void> {
    await until(
      () => `it is asked ${text}; it was asked ${JSON.stringify(this.asked.map((a) => a.text))}`,
      () => this.asked.some((one) => one.text === text),
    );
  }

  /** Answers `text` with itself, or with `answer`. */
  answer(text: string, answer: string | Uint8Array = text): void {
    const { connection } = this.asked.find((one) => one.text === text)!;
    if (connection.open) connection.send(answer);
  }
}
