/** How tcpd reaches a service elsewhere: finds the host, dials, and greets. */

import { lookup } from "node:dns/promises";
import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import { Answer, answerStep } from "../../ipc/lookup.ts";
import type { Uri } from "../../ipc/uri.ts";
import { NoWay, whyNot } from "../daemon/way.ts";

/** The numbers of a host, in the order in which they are to be tried. Rejects with NoWay if it has none. */
export async function numbersOf(host: string): Promise<readonly string[]> {
  try {
    const found = await lookup(host, { all: true });
    if (found.length > 0) return found.map(({ address }) => address);
  } catch {
    // What went wrong is that there is no such name, or nobody to ask for it: the same to who asks.
  }
  throw new NoWay(`no address is known for the host "${host}"`);
}

/** A connection to the service of a URI, greeted if it names one; paused, so that not a byte of it has been read. */
export async function dialService(
  { host, port, service, text }: Uri,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Connection> {
  const numbers = await numbersOf(host);
  const failures: string[] = [];
  for (const number of numbers) {
    try {
      return await dialNumber(text, { host: number, port: port! }, service, timeoutMs, signal);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(whyNot(error));
    }
  }
  throw new NoWay(failures.join("; "));
}

async function dialNumber(
  name: string,
  address: { host: string; port: number },
  service: string | undefined,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Connection> {
  const answer = new Answer();
  const answered = Promise.withResolvers<void>();
  const remote = await connect(name, {
    address,
    raw: true,
    messageBytesMax: answerStep,
    timeout: timeoutMs,
    signal,
    message(connection, { bytes }) {
      if (!answer.hear(bytes)) return;
      // What follows is the service's, and for the client.
      connection.pause();
      answered.resolve();
    },
    close: () => answered.reject(new NoWay(answer.error)),
  });
  if (service === undefined) {
    remote.pause();
    // Nobody waits for an answer that was not asked for.
    answered.promise.catch(() => undefined);
    return remote;
  }
  remote.send(service);
  const late = setTimeout(
    () => answered.reject(new NoWay(`no answer to the name "${service}" within ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    await answered.promise;
    return remote;
  } catch (error) {
    void remote.close({ now: true });
    throw error;
  } finally {
    clearTimeout(late);
  }
}
