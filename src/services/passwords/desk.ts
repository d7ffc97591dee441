/** Where clients of the passwords are received: each that may come is given the pipes to a copy of its own. */

import type { Connection } from "../../ipc/connection.ts";
import type { Descriptor } from "../../ipc/descriptor.ts";
import type { Message } from "../../ipc/message.ts";
import { pipe } from "../../ipc/pipes.ts";
import { IpcError } from "../../native/errors.ts";
import type { Clone } from "../../zygote/clone.ts";
import type { Exit } from "../../zygote/clone-process.ts";
import type { Zygote } from "../../zygote/zygote.ts";
import type { Counters } from "../daemon/counters.ts";
import type { Complain, Counts } from "../startable.ts";
import type { Status } from "./format.ts";
import { FormatError, readHello, welcomeBytes } from "./format.ts";
import type { CloneSettings } from "./settings.ts";
import { exits } from "./settings.ts";

/** Who connects says what for in that time. */
const helloTimeoutMs = 10_000;

/** A zygote is there again after some tenths of a second. */
const attemptsMax = 100;
const pauseMs = 50;

const names = [
  "admitted",
  "refused_busy",
  "refused_user",
  "refused_hello",
  "unavailable",
  "ended",
  "ended_idle",
  "ended_broken",
  "ended_killed",
] as const;

export type DeskCount = (typeof names)[number];

export type DeskOptions = {
  readonly clientsMax: number;
  readonly userClientsMax: number;
  /** What each copy is told. */
  readonly copy: CloneSettings;
  readonly complain: Complain;
};

/** A client was refused, for a reason that it is told. */
class Refusal extends Error {
  readonly status: Status;
  readonly count: DeskCount;

  constructor(status: Status, count: DeskCount, message: string) {
    super(message);
    this.status = status;
    this.count = count;
  }
}

export class Desk {
  static readonly counts: readonly DeskCount[] = names;

  readonly #zygote: Zygote;
  readonly #counters: Counters<DeskCount>;
  readonly #options: DeskOptions;
  /** Those who have said nothing yet. */
  readonly #silent = new Map<Connection, ReturnType<typeof setTimeout>>();
  /** How many clients each user has. */
  readonly #users = new Map<number, number>();
  #clients = 0;
  /** What copies live by: they end when nobody holds the other end. */
  readonly #life: Descriptor;
  readonly #holder: Descriptor;
  #isOver = false;

  constructor(zygote: Zygote, counters: Counters<DeskCount>, options: DeskOptions) {
    this.#zygote = zygote;
    this.#counters = counters;
    this.#options = options;
    [this.#life, this.#holder] = pipe();
  }

  /** What there is now. */
  now(): Counts {
    return { clients: this.#clients, zygote_restarts: this.#zygote.statistics.restarts };
  }

  open(connection: Connection): void {
    const giveUp = () => {
      this.#counters.add("refused_hello");
      void connection.close({ now: true });
    };
    const timer = setTimeout(giveUp, helloTimeoutMs);
    timer.unref();
    this.#silent.set(connection, timer);
  }

  close(connection: Connection): void {
    clearTimeout(this.#silent.get(connection));
    this.#silent.delete(connection);
  }

  async message(connection: Connection, message: Message): Promise<void> {
    // One hello is all that a client has to say here.
    const isFirst = this.#silent.has(connection);
    this.close(connection);
    const { uid } = connection.peer;
    try {
      if (!isFirst) throw new FormatError("malformed", "a client says hello once");
      readHello(message.bytes);
      await this.#admit(connection, uid);
    } catch (error) {
      this.#refuse(connection, this.#refusalOf(error));
    }
  }

  /** Has all copies end. Nobody is received any more. */
  end(): void {
    this.#isOver = true;
    for (const timer of this.#silent.values()) clearTimeout(timer);
    this.#holder.close();
    this.#life.close();
  }

  async #admit(connection: Connection, uid: number): Promise<void> {
    this.#take(uid);
    let isTaken = true;
    try {
      using ends = new DisposableStack();
      const [requests, asking] = pipe().map((end) => ends.use(end));
      const [answers, answering] = pipe().map((end) => ends.use(end));
      const clone = await this.#clone([requests!, answering!, this.#life]);
      isTaken = false;
      void clone.exited.then((exit) => this.#gone(uid, exit));
      // Who has gone meanwhile leaves the copy without anybody who could ask: it ends.
      if (!connection.open || this.#isOver) return;
      connection.send(welcomeBytes("done"), { descriptors: [answers!, asking!] });
      this.#counters.add("admitted");
      // All else is between the two.
      void connection.close();
    } finally {
      if (isTaken) this.#leave(uid);
    }
  }

  /** Where the zygote was lost it is being started again, and waited for. */
  async #clone(descriptors: readonly Descriptor[]): Promise<Clone> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#zygote.clone({
          descriptors,
          arguments: this.#options.copy,
          limits: { noNewPrivileges: true },
        });
      } catch (error) {
        if (this.#isOver || !isLost(error) || attempt === attemptsMax) throw error;
        await Bun.sleep(pauseMs);
      }
    }
  }

  /** Throws a Refusal. */
  #take(uid: number): void {
    const { clientsMax, userClientsMax } = this.#options;
    if (this.#clients >= clientsMax) {
      throw new Refusal(
        "busy",
        "refused_busy",
        `there are ${this.#clients} clients already, and no more may be; try again later`,
      );
    }
    const own = this.#users.get(uid) ?? 0;
    if (own >= userClientsMax) {
      throw new Refusal(
        "busy",
        "refused_user",
        `your user has ${own} clients already, and may have no more; end one, or try again later`,
      );
    }
    this.#users.set(uid, own + 1);
    this.#clients += 1;
  }

  #leave(uid: number): void {
    this.#clients -= 1;
    const left = this.#users.get(uid)! - 1;
    if (left === 0) this.#users.delete(uid);
    else this.#users.set(uid, left);
  }

  #gone(uid: number, { code, signal }: Exit): void {
    this.#leave(uid);
    if (signal !== null) this.#counters.add("ended_killed");
    else if (code === exits.idle) this.#counters.add("ended_idle");
    else if (code === exits.broken) this.#counters.add("ended_broken");
    else this.#counters.add("ended");
  }

  #refusalOf(error: unknown): Refusal {
    if (error instanceof Refusal) return error;
    if (error instanceof FormatError) {
      return new Refusal(error.status, "refused_hello", error.message);
    }
    const why = error instanceof IpcError ? error.message : String(error);
    this.#options.complain("a client", `no copy could be made: ${why}`, "unavailable");
    return new Refusal("unavailable", "unavailable", `no copy could be made for you: ${why}`);
  }

  #refuse(connection: Connection, { status, count, message }: Refusal): void {
    this.#counters.add(count);
    if (!connection.open) return;
    connection.send(welcomeBytes(status, message));
    void connection.close();
  }
}

function isLost(error: unknown): boolean {
  return error instanceof IpcError && (error.code === "ECONNRESET" || error.code === "ECLOSED");
}
