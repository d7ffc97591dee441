/** Services that IPC_NETWORK says are elsewhere: whether one is, and how ipcd is asked for it while everything waits. */

import { IpcError } from "../native/errors.ts";
import { EventType } from "../native/layout.ts";
import type { Context } from "./context.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Event } from "./event.ts";
import { Answer, answerStep, formatRequest, lookupService } from "./lookup.ts";
import { networkEntry, networkVariable } from "./network.ts";
import { patience } from "./numbers.ts";
import type { RunDirectoryOptions } from "./run-directory.ts";

export type LookUpOptions = RunDirectoryOptions & {
  network?: string | undefined;
  timeout?: number | undefined;
};

/** ipcd may have to wait for machines far away. In milliseconds. */
export const lookUpTimeoutMs = 35_000;

export function networkOf({ network }: LookUpOptions): string {
  return network ?? process.env[networkVariable] ?? "";
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
export function askingOptions({ rundir, shared }: LookUpOptions) {
  return {
    rundir,
    shared,
    network: "",
    raw: true,
    messageBytesMax: answerStep,
    descriptors: { max: 1 },
  } as const;
}

/** A connection to `name`, by a context of its own, which blocks meanwhile and is closed. */
export function lookUpNow(given: Context, name: string, options: LookUpOptions): Descriptor {
  const timeout = patience("timeout", options.timeout ?? lookUpTimeoutMs) ?? Infinity;
  const until = performance.now() + timeout;
  using context = given;
  const ipcd = reachIpcd(name, () => context.connect(lookupService, askingOptions(options)));
  context.write(ipcd, framed(requestFor(name, options)));
  const answer = new Answer();
  while (true) {
    const left = until - performance.now();
    if (left <= 0) throw noAnswer(name, timeout);
    for (const event of context.wait(left)) {
      const found = heard(name, answer, event);
      if (found !== undefined) return found;
    }
  }
}

function heard(name: string, answer: Answer, event: Event): Descriptor | undefined {
  if (event.type === EventType.Disconnection) throw noWay(name, answer.error);
  if (event.type !== EventType.MessageRx) return undefined;
  const { bytes, descriptors } = event.message;
  return answer.hear(bytes) ? ledTo(name, descriptors) : undefined;
}

/** The descriptor that came with `ok`. */
export function ledTo(name: string, descriptors: readonly Descriptor[]): Descriptor {
  const [descriptor] = descriptors;
  if (descriptor !== undefined) return descriptor;
  throw noWay(name, "it said ok and sent no connection");
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
export function reachIpcd<Found>(name: string, connect: () => Found): Found {
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
