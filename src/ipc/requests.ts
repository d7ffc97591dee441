/** Requests that wait for their answers, which come in order. */

import { IpcError } from "../native/errors.ts";
import type { RequestOptions } from "./connection.ts";
import type { Message } from "./message.ts";
import { patience } from "./numbers.ts";

type Waiting = {
  /** Undefined when it was given up: its answer is still to come, and is dropped. */
  settle: { resolve(message: Message): void; reject(error: unknown): void } | undefined;
  forget: () => void;
};

export class Requests {
  #waiting: Waiting[] = [];
  #first = 0;

  add(service: string, options: RequestOptions): Promise<Message> {
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    const waiting: Waiting = { settle: { resolve, reject }, forget: nothing };
    this.#waiting.push(waiting);
    if (options.signal !== undefined || options.timeout !== undefined) {
      watch(waiting, service, options);
    }
    return promise;
  }

  /** Whether a request was waiting for this message, which then has it. */
  answer(message: Message): boolean {
    const waiting = this.#waiting[this.#first];
    if (waiting === undefined) return false;
    this.#first += 1;
    if (this.#first === this.#waiting.length) {
      this.#waiting = [];
      this.#first = 0;
    }
    waiting.forget();
    try {
      waiting.settle?.resolve(message.copy());
    } catch (error) {
      waiting.settle?.reject(error);
    }
    return true;
  }

  /** None will be answered any more, except the last `kept`. Says how many were waiting for nothing. */
  fail(error: IpcError, kept = 0): number {
    const until = this.#waiting.length - kept;
    const left = this.#waiting.slice(this.#first, until);
    this.#waiting = this.#waiting.slice(until);
    this.#first = 0;
    for (const waiting of left) {
      waiting.forget();
      waiting.settle?.reject(error);
    }
    return left.length;
  }
}

const nothing = () => undefined;

/** Gives the request up when its time is over or its signal aborts. */
function watch(waiting: Waiting, service: string, { signal, ...options }: RequestOptions): void {
  const timeout = patience("timeout", options.timeout);
  const giveUp = (error: unknown) => {
    waiting.forget();
    waiting.settle?.reject(error);
    waiting.settle = undefined;
  };
  const timer =
    timeout === undefined
      ? undefined
      : setTimeout(() => giveUp(timedOut(service, timeout)), timeout);
  const abort = () => giveUp(signal?.reason);
  signal?.addEventListener("abort", abort);
  waiting.forget = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  };
}

function timedOut(service: string, timeout: number): IpcError {
  return new IpcError("ETIMEDOUT", `ETIMEDOUT: "${service}" did not answer within ${timeout} ms`, {
    service,
  });
}
