/**
 * How ipcd comes by a connection for a URI: it connects to the daemon named like the scheme, which leads there, or for
 * `unix` to the service itself. What it hands on is a copy of that connection's socket.
 */

import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import type { Descriptor } from "../../ipc/descriptor.ts";
import { framed } from "../../ipc/elsewhere.ts";
import { Answer, answerStep } from "../../ipc/lookup.ts";
import { loop } from "../../ipc/loop.ts";
import type { RunDirectoryOptions } from "../../ipc/run-directory.ts";
import type { Uri } from "../../ipc/uri.ts";
import { IpcError } from "../../native/errors.ts";

/** A connection that leads somewhere. Whoever holds one hands the descriptor on, or closes both. */
export type Led = {
  readonly descriptor: Descriptor;
  /** Lasts as long as the daemon leads there; undefined where nobody could tell. */
  readonly lifeline: Connection | undefined;
};

/** Leads to the URI. Rejects with a LeadError, or an IpcError, that says why not; or when the signal aborts. */
export type Leader = (uri: Uri, signal: AbortSignal) => Promise<Led>;

/** It leads nowhere, and the message says why, for the client to read. */
export class LeadError extends Error {
  override readonly name = "LeadError";
}

export function discard({ descriptor, lifeline }: Led): void {
  descriptor.close();
  void lifeline?.close({ now: true });
}

/** The service of the run directory that is asked: the daemon, or for `unix` the service itself. */
function guideOf({ scheme, service }: Uri): string {
  return scheme === "unix" ? service! : scheme;
}

export function leaderIn({ rundir, shared }: RunDirectoryOptions): Leader {
  const place = { rundir, shared, network: "", raw: true } as const;
  return async (uri, signal) => {
    const guide = guideOf(uri);
    try {
      if (uri.scheme !== "unix") return await ask(guide, uri, place, signal);
      const connection = await connect(guide, { ...place, signal });
      return { descriptor: await given(connection), lifeline: undefined };
    } catch (error) {
      throw isAbsent(error) ? absent(guide, uri) : error;
    }
  };
}

function isAbsent(error: unknown): boolean {
  return error instanceof IpcError && (error.code === "ENOENT" || error.code === "ECONNREFUSED");
}

function absent(guide: string, { scheme, text }: Uri): LeadError {
  const remedy = scheme === "unix" ? "start it" : `start it: it leads to ${text}`;
  return new LeadError(`nobody serves "${guide}"; ${remedy}`);
}

/** A copy of its socket, and nothing else of it is left here. */
async function given(connection: Connection): Promise<Descriptor> {
  const [descriptor] = connection.copies();
  await connection.close({ now: true });
  return descriptor!;
}

async function ask(
  guide: string,
  uri: Uri,
  place: RunDirectoryOptions & { network: string; raw: true },
  signal: AbortSignal,
): Promise<Led> {
  const answer = new Answer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const daemon = await connect(guide, {
    ...place,
    signal,
    messageBytesMax: answerStep,
    message(connection, { bytes }) {
      if (!answer.hear(bytes)) {
        if (!answer.isTooLong) return;
        // It never ends, or means nothing to us.
        connection.pause();
        reject(new LeadError(answer.error));
        return;
      }
      // What follows comes from the other side, and is for the client.
      connection.pause();
      resolve();
    },
    close: () => reject(signal.aborted ? signal.reason : new LeadError(answer.error)),
  });
  // It may be rejected before it is waited for.
  promise.catch(() => undefined);
  let lifeline: Connection | undefined;
  try {
    const { uid } = daemon.peer;
    if (uid !== 0 && uid !== process.geteuid?.()) {
      throw new LeadError(`"${guide}" is served by user ${uid}, who could lead anywhere`);
    }
    const [ours, theirs] = loop().context.pair();
    using _ = theirs;
    lifeline = await held(guide, ours);
    daemon.send(framed(uri.text), { descriptors: [theirs] });
    theirs.close();
    await promise;
    return { descriptor: await given(daemon), lifeline };
  } catch (error) {
    void lifeline?.close({ now: true });
    void daemon.close({ now: true });
    throw error;
  }
}

/** Our end of a lifeline, by which nothing is ever said: only its end counts. */
async function held(guide: string, ours: Descriptor): Promise<Connection> {
  try {
    return await connect(guide, { descriptor: ours, raw: true, message: () => undefined });
  } catch (error) {
    ours.close();
    throw error;
  }
}
