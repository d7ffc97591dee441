/** Requests that wait for their answers, which come in order. */

import { IpcError } from "../native/errors.ts";
import type { RequestOptions } from "./connection.ts";
import { Fifo } from "./fifo.ts";
import type { Message } from "./message.ts";
import { patience } from "./numbers.ts";

type Waiting = {
  /** Undefined when it was given up: its answer is still to come, and is dropped. */
  settle: { resolve(message: Message): void; reject(error: unknown): void } | undefined;
  forget: () => void;
};

export class Requests {
  readonly #waiting = new Fifo<Waiting>();

  add(service: string, options: RequestOptions): Promise<Message> {
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    const waiting: Waiting = { settle: { resolve, reject }, forget: nothing };
    this.#waiting.push(waiting);
    if (options.signal !== undefined || options.timeout !== undefined) {
      watch(waiting, service, options);
    }
    return promise;
  }

  get waiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Whether a request was waiting for this message, which then has it. */
  answer(message: Message): boolean {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) return false;
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
    const left = this.#waiting.take(this.#waiting.length - kept);
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
