/**
 * What ipcd does for daemons that let remotes in, under the name `ipc.in`. A daemon asks before it does, and tells when
 * the remote has gone. Messages are text, and each has one answer, `ok` or `error: WHY`, in order:
 *
 *     open ID SERVICE URI     a remote at URI wants SERVICE     open 7 pong tcp://192.168.1.5:49152
 *     close ID                it has gone
 *
 * ID is a number that the daemon chooses. What a daemon has open ends with its connection.
 */

import type { Connection } from "../../ipc/connection.ts";
import { errorAnswer, ok } from "../../ipc/lookup.ts";
import type { Message } from "../../ipc/message.ts";
import { nameFault } from "../../ipc/name.ts";
import { parseUri, UriError, uriBytesMax } from "../../ipc/uri.ts";
import { constants } from "../../native/layout.ts";
import type { Ledger, Outcome } from "./ledger.ts";
import { connectionsMax } from "./ledger.ts";
import type { Rulebook } from "./rulebook.ts";

const idDigitsMax = 15;
/** What a daemon asks, by the name that ipcd is served under. */
export const remotesService = (name: string): string => `${name}.in`;

/** `open`, three blanks and the three of them. */
export const remoteBytesMax = 7 + idDigitsMax + constants.name_bytes_max + uriBytesMax;

/** By the numbers that the daemon gave them, their rows in the ledger. */
type Rows = Map<string, number>;

type Answer = { readonly outcome: Outcome; readonly error: string };

export class Remotes {
  readonly #rulebook: Rulebook;
  readonly #ledger: Ledger;
  readonly #daemons = new Map<Connection, Rows>();

  constructor(rulebook: Rulebook, ledger: Ledger) {
    this.#rulebook = rulebook;
    this.#ledger = ledger;
  }

  open(connection: Connection): void {
    this.#daemons.set(connection, new Map());
  }

  close(connection: Connection): void {
    const rows = this.#daemons.get(connection);
    this.#daemons.delete(connection);
    for (const row of rows?.values() ?? []) this.#ledger.close(row);
  }

  message(connection: Connection, message: Message): void {
    const rows = this.#daemons.get(connection);
    if (rows === undefined) return;
    const refused = this.#do(connection, rows, message.text());
    if (refused === undefined) {
      connection.send(ok);
      return;
    }
    this.#ledger.count("in", refused.outcome);
    connection.send(errorAnswer(refused.error));
  }

  #do(connection: Connection, rows: Rows, text: string): Answer | undefined {
    const [verb, id = "", service, uri, ...rest] = text.split(" ");
    const isNumbered = /^[0-9]+$/.test(id) && id.length <= idDigitsMax;
    if (isNumbered && verb === "open" && uri !== undefined && rest.length === 0) {
      return this.#enter(connection, rows, id, service!, uri);
    }
    if (isNumbered && verb === "close" && service === undefined) return this.#leave(rows, id);
    return unclear("it is either open ID SERVICE URI or close ID");
  }

  #enter(
    { peer: { pid, uid } }: Connection,
    rows: Rows,
    id: string,
    service: string,
    text: string,
  ): Answer | undefined {
    if (rows.has(id)) return unclear(`${id} is open already`);
    if (nameFault(service) !== undefined) return unclear("SERVICE is not a name");
    const uri = uriOf(text);
    if (uri instanceof UriError) return unclear(uri.message);
    const error = this.#rulebook.objection({ direction: "in", service, uri, isOwn: false });
    if (error !== undefined) return { outcome: "denied", error };
    const daemon = uri.scheme;
    const row = this.#ledger.open({ direction: "in", service, uri: text, daemon, pid, uid });
    if (row === undefined) {
      return { outcome: "failed", error: `${connectionsMax} connections are open already` };
    }
    rows.set(id, row);
    this.#ledger.count("in", "allowed");
    return undefined;
  }

  #leave(rows: Rows, id: string): Answer | undefined {
    const row = rows.get(id);
    if (row === undefined) return unclear(`${id} is not open`);
    rows.delete(id);
    this.#ledger.close(row);
    return undefined;
  }
}

function uriOf(text: string) {
  try {
    return parseUri(text);
  } catch (error) {
    if (error instanceof UriError) return error;
    throw error;
  }
}

function unclear(error: string): Answer {
  return { outcome: "unclear", error };
}
