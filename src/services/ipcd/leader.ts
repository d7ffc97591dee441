/**
 * How ipcd comes by a descriptor for a URI, and hands it on. This is the one place that does, and what everything else
 * here needs to know of it is the type `Leader`.
 *
 * Descriptors cannot travel with messages yet. So far it finds out whether the service that would lead there is served,
 * and says in both cases why it does not.
 */

import { closeSync } from "node:fs";
import type { Connection } from "../../ipc/connection.ts";
import type { RunDirectoryOptions } from "../../ipc/run-directory.ts";
import { inspect } from "../../ipc/run-directory.ts";
import type { Uri } from "../../ipc/uri.ts";
import { IpcError } from "../../native/errors.ts";

/** A descriptor that leads somewhere. Whoever holds one hands it on or closes it. */
export type Led = { readonly descriptor: number };

export type Leader = {
  /** Leads to the URI. Rejects with a LeadError, or an IpcError, that says why not; or when the signal aborts. */
  lead(uri: Uri, signal: AbortSignal): Promise<Led>;
  /** Answers `ok` with the descriptor, which is closed here when it is sent, or cannot be. */
  handOver(connection: Connection, led: Led): Promise<void>;
  /** Closes the descriptor: nobody is there any more to have it. */
  discard(led: Led): void;
};

/** It leads nowhere, and the message says why, for the client to read. */
export class LeadError extends Error {
  override readonly name = "LeadError";
}

/** The service of the run directory that is asked for a descriptor: the daemon, or for `unix` the service itself. */
export function guideOf({ scheme, service }: Uri): string {
  return scheme === "unix" ? service! : scheme;
}

export function leaderIn(place: RunDirectoryOptions): Leader {
  return {
    lead(uri) {
      try {
        return Promise.reject(refusal(uri, place));
      } catch (error) {
        return Promise.reject(error);
      }
    },
    handOver: () => Promise.reject(new LeadError(notYet)),
    discard: ({ descriptor }) => closeSync(descriptor),
  };
}

const notYet = "connections cannot be handed over yet";

function refusal(uri: Uri, place: RunDirectoryOptions): LeadError {
  const guide = guideOf(uri);
  if (!isServed(guide, place)) {
    const remedy = uri.scheme === "unix" ? "start it" : `start it: it leads to ${uri.text}`;
    return new LeadError(`nobody serves "${guide}"; ${remedy}`);
  }
  return new LeadError(`"${guide}" is there, but ${notYet}`);
}

function isServed(name: string, place: RunDirectoryOptions): boolean {
  try {
    return inspect(name, place).state !== "stale";
  } catch (error) {
    if (error instanceof IpcError && error.code === "ENOENT") return false;
    throw error;
  }
}
