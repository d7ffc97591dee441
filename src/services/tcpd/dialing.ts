/** How tcpd reaches a service elsewhere: finds the host, dials, and greets. */

import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import type { InternetAddress } from "../../ipc/internet-address.ts";
import { Answer, answerStep } from "../../ipc/lookup.ts";
import type { Uri } from "../../ipc/uri.ts";
import { atFirstOf } from "../daemon/host.ts";
import { NoWay } from "../daemon/way.ts";

/** A connection to the service of a URI, greeted if it names one; paused, so that not a byte of it has been read. */
export function dialService(
  { host, port, service, text }: Uri,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Connection> {
  return atFirstOf(host, signal, (number) =>
    dialNumber(text, { host: number, port: port! }, service, timeoutMs, signal),
  );
}

async function dialNumber(
  name: string,
  address: InternetAddress,
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
    open(connection) {
      if (service === undefined) connection.pause();
    },
    message(connection, { bytes }) {
      if (!answer.hear(bytes)) {
        if (!answer.isTooLong) return;
        // It never ends, or means nothing to us.
        connection.pause();
        answered.reject(new NoWay(answer.error));
        return;
      }
      // What follows is the service's, and for the client.
      connection.pause();
      answered.resolve();
    },
    close: () => answered.reject(new NoWay(answer.error)),
  });
  // Nobody waits for an answer that was not asked for.
  answered.promise.catch(() => undefined);
  if (service === undefined) return remote;
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
