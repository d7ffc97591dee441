/** Services that IPC_NETWORK says are elsewhere: whether one is, and how ipcd is asked for it while everything waits. */

import { IpcError, isClosed } from "../native/errors.ts";
import { EventType } from "../native/layout.ts";
import type { Context } from "./context.ts";
import type { Descriptor } from "./descriptor.ts";
import { Answer, answerStep, formatRequest, lookupService } from "./lookup.ts";
import type { Message } from "./message.ts";
import { networkEntry, networkVariable } from "./network.ts";
import { patience, textOf } from "./numbers.ts";
import type { RunDirectoryOptions } from "./run-directory.ts";

export type LookUpOptions = RunDirectoryOptions & {
  network?: string | undefined;
  timeout?: number | undefined;
};

/** ipcd may have to wait for machines far away. In milliseconds. */
export const lookUpTimeoutMs = 35_000;

function networkOf({ network }: LookUpOptions): string {
  return network === undefined ? (process.env[networkVariable] ?? "") : textOf("network", network);
}

/** Throws ENETWORK if the variable cannot be understood. */
export function isElsewhere(name: string, options: LookUpOptions): boolean {
  const network = networkOf(options);
  return network !== "" && name !== lookupService && networkEntry(name, network) !== undefined;
}

/** What is sent to ipcd. */
export function requestFor(name: string, options: LookUpOptions): string {
  return formatRequest({ service: name, network: networkOf(options) });
}

/** How ipcd is connected to: its answer is read so that nothing behind it is. */
export function askingOptions({ rundir, shared }: LookUpOptions, timeout: number | undefined) {
  return {
    rundir,
    shared,
    timeout,
    network: "",
    raw: true,
    messageBytesMax: answerStep,
    descriptors: { max: 1 },
  } as const;
}

/** A connection to `name`, by a context of its own, which blocks meanwhile and is closed. */
export function lookUpNow(given: Context, name: string, options: LookUpOptions): Descriptor {
  using context = given;
  const { timeout: most = lookUpTimeoutMs } = options;
  const timeout = patience("timeout", most) ?? Infinity;
  const until = performance.now() + timeout;
  const ipcd = reachIpcd(name, () => context.connect(lookupService, askingOptions(options, most)));
  ask(context, ipcd, requestFor(name, options));
  using finding = new Finding(name);
  while (true) {
    const left = until - performance.now();
    if (left <= 0) throw noAnswer(name, timeout);
    for (const event of context.wait(left)) {
      if (event.type === EventType.Disconnection) throw finding.error;
      if (event.type !== EventType.MessageRx) continue;
      const found = finding.hear(event.message);
      if (found !== undefined) return found;
    }
  }
}

/** That it ended before it was asked shows as its end, with what it may have said. */
function ask(context: Context, ipcd: number, request: string): void {
  try {
    context.write(ipcd, framed(request));
  } catch (error) {
    if (!isClosed(error)) throw error;
  }
}

/** What ipcd answers, as it comes in: bytes, and somewhere among them the connection. */
export class Finding implements Disposable {
  readonly #name: string;
  readonly #answer = new Answer();
  #connection: Descriptor | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  /** The connection that was led to, once the answer is `ok`, and whole. Throws ENETWORK if it never will be. */
  hear({ bytes, descriptors }: Message): Descriptor | undefined {
    for (const descriptor of descriptors) {
      this.#connection?.close();
      this.#connection = descriptor;
    }
    const isLed = this.#answer.hear(bytes);
    if (this.#answer.isTooLong) throw this.error;
    if (!isLed) return undefined;
    const found = this.#connection;
    this.#connection = undefined;
    if (found !== undefined) return found;
    throw noWay(this.#name, "it said ok and sent no connection");
  }

  /** What is to be said when ipcd has ended the connection. */
  get error(): IpcError {
    return noWay(this.#name, this.#answer.error);
  }

  [Symbol.dispose](): void {
    this.#connection?.close();
  }
}

/** One message, where the connection has no frames by itself. */
export function framed(text: string): Uint8Array {
  const bytes = Buffer.from(text);
  const frame = Buffer.alloc(4 + bytes.length);
  frame.writeUInt32BE(bytes.length);
  frame.set(bytes, 4);
  return frame;
}

/** Only those who need ipcd are told that it is missing. */
function reachIpcd<Found>(name: string, connect: () => Found): Found {
  try {
    return connect();
  } catch (error) {
    throw withoutIpcd(name, error);
  }
}

export function withoutIpcd(name: string, error: unknown): unknown {
  if (!(error instanceof IpcError) || (error.code !== "ENOENT" && error.code !== "ECONNREFUSED")) {
    return error;
  }
  return new IpcError(
    error.code,
    `${error.code}: ${networkVariable} says that "${name}" is elsewhere, and ipcd, which leads there, does not run ` +
      "here; start it, or take the name out of the variable",
    { service: name, cause: error },
  );
}

export function noWay(service: string, why: string): IpcError {
  return new IpcError("ENETWORK", `ENETWORK: ipcd found no way to "${service}": ${why}`, {
    service,
  });
}

export function noAnswer(service: string, timeout: number): IpcError {
  return new IpcError(
    "ETIMEDOUT",
    `ETIMEDOUT: ipcd found no way to "${service}" within ${timeout} ms`,
    { service },
  );
}
