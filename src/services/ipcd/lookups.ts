/**
 * What ipcd does for its clients: one lookup for each connection, then that connection ends, or leads to the service.
 * An answer says in words why there is no way; see `ipc/lookup.ts`.
 *
 *     open ──request──▶ named? ─▶ allowed? ─▶ lead ─▶ row in the ledger, handed over, until the client closes
 *       │                 └──────────┴──────────┴──▶ error: WHY, and the end
 *       └─ nothing asked for so long: the end
 */

import type { Connection } from "../../ipc/connection.ts";
import type { LookupRequest } from "../../ipc/lookup.ts";
import { errorAnswer, ok, parseRequest, requestBytesMax } from "../../ipc/lookup.ts";
import type { Message } from "../../ipc/message.ts";
import { nameFault } from "../../ipc/name.ts";
import { NetworkError } from "../../ipc/network.ts";
import type { Uri } from "../../ipc/uri.ts";
import { IpcError, nameRules } from "../../native/errors.ts";
import { FirstFrame } from "../daemon/first-frame.ts";
import type { Complain } from "../startable.ts";
import type { Leader, Led } from "./leader.ts";
import { discard, LeadError } from "./leader.ts";
import type { Ledger, Outcome } from "./ledger.ts";
import { connectionsMax } from "./ledger.ts";
import type { Rulebook } from "./rulebook.ts";

/** Who connects has the request at hand. */
const askTimeoutMs = 10_000;
/** A daemon may have to find a name and reach a machine far away; TCP itself gives up later. */
const leadTimeoutMs = 30_000;

/** There is nothing to be done for who asks, and the message says why. */
class Refusal extends Error {
  override readonly name = "Refusal";
  readonly outcome: Outcome;

  constructor(outcome: Outcome, message: string) {
    super(message);
    this.outcome = outcome;
  }
}

/** A client, from its connection to its end. */
type Visit = {
  readonly over: AbortController;
  readonly patience: ReturnType<typeof setTimeout>;
  readonly request: FirstFrame;
  asked: boolean;
  refused: boolean;
  /** Its row in the ledger. */
  row: number | undefined;
};

export type LookupParts = {
  readonly rulebook: Rulebook;
  readonly ledger: Ledger;
  readonly leader: Leader;
  readonly complain: Complain;
};

export class Lookups {
  readonly #parts: LookupParts;
  /** Of what daemons lead to. */
  readonly #lifelines = new Set<Connection>();
  readonly #visits = new Map<Connection, Visit>();

  constructor(parts: LookupParts) {
    this.#parts = parts;
  }

  open(connection: Connection): void {
    const patience = setTimeout(() => void connection.close({ now: true }), askTimeoutMs);
    this.#visits.set(connection, {
      over: new AbortController(),
      patience,
      request: new FirstFrame(requestBytesMax),
      asked: false,
      refused: false,
      row: undefined,
    });
  }

  close(connection: Connection): void {
    const visit = this.#visits.get(connection);
    if (visit === undefined) return;
    this.#visits.delete(connection);
    clearTimeout(visit.patience);
    visit.over.abort(new LeadError("the client has gone"));
    if (visit.row !== undefined) this.#parts.ledger.close(visit.row);
  }

  async message(connection: Connection, message: Message): Promise<void> {
    const visit = this.#visits.get(connection);
    if (visit === undefined || visit.over.signal.aborted) return;
    try {
      const request = heard(visit, message);
      if (request !== undefined) await this.#serve(connection, visit, request);
    } catch (error) {
      this.#refuse(connection, visit, error);
    }
  }

  /** Knows no more how long what was led to lasts. */
  async endAll(): Promise<void> {
    await Promise.all([...this.#lifelines].map((each) => each.close({ now: true })));
  }

  async #serve(connection: Connection, visit: Visit, request: LookupRequest): Promise<void> {
    const { ledger } = this.#parts;
    const { service } = request;
    const uri = this.#find(request);
    const { uid } = connection.peer;
    const isOwn = uid === 0 || uid === process.geteuid?.();
    const objection = this.#parts.rulebook.objection({ direction: "out", service, uri, isOwn });
    if (objection !== undefined) throw new Refusal("denied", objection);
    const led = await this.#lead(uri, visit.over);
    visit.row = this.#enter(connection, visit, service, uri);
    if (visit.row === undefined) {
      discard(led);
      throw new Refusal(
        "failed",
        `${connectionsMax} connections are open, which is all there may be`,
      );
    }
    this.#handOver(connection, visit, led);
    ledger.count("out", "allowed");
  }

  #handOver(connection: Connection, visit: Visit, led: Led): void {
    const { descriptor, lifeline } = led;
    try {
      connection.send(ok, { descriptors: [descriptor] });
    } catch (error) {
      discard(led);
      throw error;
    }
    descriptor.close();
    const { row } = visit;
    if (lifeline === undefined || row === undefined) return;
    // From here on its daemon tells how long it lasts, and the client need not stay.
    visit.row = undefined;
    this.#lifelines.add(lifeline);
    void lifeline.ended.then(() => {
      this.#lifelines.delete(lifeline);
      this.#parts.ledger.close(row);
    });
  }

  /** Its row in the ledger, unless there are too many, or the client has gone meanwhile. */
  #enter({ peer }: Connection, { over }: Visit, service: string, uri: Uri): number | undefined {
    if (over.signal.aborted) return undefined;
    const daemon = uri.scheme === "unix" ? null : uri.scheme;
    const { pid, uid } = peer;
    return this.#parts.ledger.open({
      direction: "out",
      service,
      uri: uri.text,
      daemon,
      pid,
      uid,
    });
  }

  #find({ service, network }: LookupRequest): Uri {
    const fault = nameFault(service);
    if (fault !== undefined) {
      throw new Refusal(
        "unclear",
        `${JSON.stringify(service.slice(0, 60))} is not a name: ${nameRules[fault]}`,
      );
    }
    const uri = this.#parts.rulebook.find(service, network);
    if (uri !== undefined) return uri;
    throw new Refusal("unclear", `IPC_NETWORK does not name "${service}"; connect to it directly`);
  }

  async #lead(uri: Uri, over: AbortController) {
    const timer = setTimeout(
      () => over.abort(new LeadError(`no way to ${uri.text} within ${leadTimeoutMs} ms`)),
      leadTimeoutMs,
    );
    try {
      return await this.#parts.leader(uri, over.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  #refuse(connection: Connection, visit: Visit, error: unknown): void {
    const known = explained(error);
    // Whatever more it says, or was on its way for it, comes too late.
    const isFirst = !visit.refused;
    visit.refused = true;
    clearTimeout(visit.patience);
    visit.over.abort(new LeadError("it was refused"));
    if (!isFirst) return;
    const { outcome, text } = known ?? { outcome: "failed", text: "ipcd failed" };
    this.#parts.ledger.count("out", outcome);
    if (visit.row !== undefined) this.#parts.ledger.close(visit.row);
    visit.row = undefined;
    if (connection.open) {
      const { pid, uid } = connection.peer;
      this.#parts.complain(`process ${pid} (user ${uid})`, text, outcome);
      connection.send(errorAnswer(text));
      void connection.close();
    }
    if (known === undefined) throw error;
  }
}

/** What is asked, when it is whole. Throws a Refusal for what is no lookup. */
function heard(visit: Visit, { bytes }: Message): LookupRequest | undefined {
  const refusal = new Refusal("unclear", "a lookup is one message, SERVICE;NETWORK");
  if (visit.asked) throw refusal;
  let payload: Uint8Array | undefined;
  try {
    payload = visit.request.hear(bytes);
  } catch {
    throw refusal;
  }
  if (payload === undefined) return undefined;
  clearTimeout(visit.patience);
  visit.asked = true;
  const request = parseRequest(payload);
  if (request === undefined) throw refusal;
  return request;
}

/** What came of it, and what to say; undefined for what nobody has foreseen. */
function explained(error: unknown): { outcome: Outcome; text: string } | undefined {
  if (error instanceof Refusal) return { outcome: error.outcome, text: error.message };
  if (error instanceof NetworkError) return { outcome: "unclear", text: error.message };
  if (error instanceof LeadError || error instanceof IpcError) {
    return { outcome: "failed", text: error.message };
  }
  return undefined;
}
