/**
 * A row of two programs: a server that listens at a path, and a driver that connects to it; or of
 * three, where the driver reaches the server by a bridge.
 */

import { Child } from "./child.ts";
import type { Kind, Plan, Round, Row, Seat } from "./row.ts";
import { scratchPath } from "./scratch.ts";

export interface Programs {
  id: string;
  kind: Kind;
  /** Absent where the driver starts its own server. */
  server?: (path: string, seat: Seat) => string[];
  /** How the line begins by which the server says that it listens; "ready" if not told. */
  greeting?: string;
  /** Runs on the server's processor, and is started after it. Who drives waits until it listens. */
  bridge?: (path: string, seat: Seat) => string[];
  driver: (path: string, seat: Seat) => string[];
}

export class PairRow implements Row {
  readonly id: string;
  readonly kind: Kind;
  readonly #programs: Programs;
  #path = "";
  #server: Child | null = null;
  #bridge: Child | null = null;
  #driver: Child | null = null;

  constructor(programs: Programs) {
    this.id = programs.id;
    this.kind = programs.kind;
    this.#programs = programs;
  }

  get serverPid(): number | null {
    return this.#server?.pid ?? null;
  }

  get bridgePid(): number | null {
    return this.#bridge?.pid ?? null;
  }

  /** Where the server listens. */
  get path(): string {
    return this.#path;
  }

  async start(seat: Seat): Promise<void> {
    const path = scratchPath("pong");
    this.#path = path;
    if (this.#programs.server !== undefined) {
      const command = this.#programs.server(path, seat);
      this.#server = new Child(`${this.id} (server)`, command, seat.server);
      await this.#server.ready(this.#programs.greeting);
    }
    if (this.#programs.bridge !== undefined) {
      const command = this.#programs.bridge(path, seat);
      this.#bridge = new Child(`${this.id} (bridge)`, command, seat.server);
    }
    const command = this.#programs.driver(path, seat);
    this.#driver = new Child(`${this.id} (driver)`, command, seat.driver);
    try {
      await this.#driver.ready();
    } catch (error) {
      // That it found nobody is then the bridge's doing.
      throw (await this.#bridge?.complaint()) ?? error;
    }
  }

  async round(plan: Plan): Promise<Round> {
    if (this.#driver === null) throw new Error(`${this.id} has not been started`);
    this.#driver.tell(`${plan.bytes} ${plan.milliseconds}`);
    return JSON.parse(await this.#driver.line()) as Round;
  }

  async stop(): Promise<void> {
    await this.#driver?.stop();
    await this.#bridge?.terminate();
    await this.#server?.terminate();
    this.#driver = null;
    this.#bridge = null;
    this.#server = null;
  }
}
