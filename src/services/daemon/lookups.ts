/**
 * What every daemon that leads outwards does for ipcd: a connection to the service named like the scheme asks for a URI,
 * in one message; it is answered with the two bytes `ok`, and leads there from then on, or with `error: WHY` and the end.
 *
 *     open ──URI──▶ reach ──▶ ok, and joined with what was reached
 *       │             └─────▶ error: WHY
 *       └─ no URI for so long: the end
 */

import type { Connection } from "../../ipc/connection.ts";
import type { Descriptor } from "../../ipc/descriptor.ts";
import { errorAnswer, ok } from "../../ipc/lookup.ts";
import { serve } from "../../ipc/serve.ts";
import type { Service } from "../../ipc/service.ts";
import type { Uri } from "../../ipc/uri.ts";
import { parseUri, uriBytesMax } from "../../ipc/uri.ts";
import { constants } from "../../native/layout.ts";
import { UsageError } from "../option.ts";
import type { Start } from "../startable.ts";
import type { Counters } from "./counters.ts";
import { FirstFrame } from "./first-frame.ts";
import { whyNot } from "./way.ts";

/** Who connects has the URI at hand. */
const askTimeoutDefaultMs = 10_000;
const requestBytesMax = constants.header_bytes + uriBytesMax;

/** What was reached: joins it with the client, and resolves when both have ended. */
export type Reached = { join(client: Connection): Promise<void>; drop(): void };

/** Finds a way to a URI. Rejects with an error whose message is for the client, or when the signal aborts. */
export type Reach = (uri: Uri, signal: AbortSignal) => Promise<Reached>;

export type LookupCount = "lookups" | "lookups_failed" | "lookups_open";
export const lookupCounts: readonly LookupCount[] = ["lookups", "lookups_failed", "lookups_open"];

/** Throws a UsageError if users are named, and nobody is to look anything up. */
export function checkUsers({ allow }: Start["options"], isAsked: boolean): void {
  if (allow === undefined || isAsked) return;
  throw new UsageError("--users is for lookups; who may come in is said by --listen");
}

/** A client, until it is joined with what it asked for. */
type Asking = {
  readonly over: AbortController;
  readonly patience: ReturnType<typeof setTimeout>;
  readonly request: FirstFrame;
  /** Which ipcd holds the other end of, to see how long this lasts. */
  lifeline: Descriptor | undefined;
};

/**
 * Serves the lookups of `scheme` under the name that the daemon was started with. Who connects is to ask within
 * `askTimeoutMs`.
 */
export async function serveLookups(
  scheme: string,
  { name, options, reports, complain }: Start,
  counters: Counters<LookupCount>,
  reach: Reach,
  askTimeoutMs = askTimeoutDefaultMs,
): Promise<Service> {
  const asking = new Map<Connection, Asking>();
  /** Nothing more is heard of what it asks; undefined if that was so already. */
  const forget = (client: Connection) => {
    const visit = asking.get(client);
    asking.delete(client);
    clearTimeout(visit?.patience);
    return visit;
  };
  const refuse = (client: Connection, error: unknown) => {
    const visit = forget(client);
    if (visit === undefined) return;
    visit.lifeline?.close();
    visit.over.abort(new Error("it was refused"));
    counters.add("lookups_failed");
    const { pid, uid } = client.peer;
    complain(`process ${pid} (user ${uid})`, whyNot(error), "lookup");
    if (!client.open) return;
    client.send(errorAnswer(whyNot(error)));
    void client.close();
  };
  const settle = async (client: Connection, visit: Asking, text: string) => {
    counters.add("lookups");
    const uri = parseUri(text);
    if (uri.scheme !== scheme) throw new Error(`this is ${scheme}, and not ${uri.scheme}`);
    const reached = await reach(uri, visit.over.signal);
    if (!client.open || forget(client) === undefined) return reached.drop();
    client.send(ok);
    counters.add("lookups_open");
    try {
      await reached.join(client);
    } catch (error) {
      // The client went in this very moment; nobody else would end what was found for it.
      reached.drop();
      throw error;
    } finally {
      counters.add("lookups_open", -1);
      visit.lifeline?.close();
    }
  };
  return await serve(
    name,
    {
      ...reports,
      open(client) {
        const patience = setTimeout(
          () => refuse(client, new Error("no URI was asked for")),
          askTimeoutMs,
        );
        const over = new AbortController();
        asking.set(client, {
          over,
          patience,
          request: new FirstFrame(uriBytesMax),
          lifeline: undefined,
        });
      },
      async message(client, message) {
        const visit = asking.get(client);
        if (visit === undefined) return;
        try {
          visit.lifeline ??= message.descriptors[0];
          const request = visit.request.hear(message.bytes);
          if (request === undefined) return;
          clearTimeout(visit.patience);
          await settle(client, visit, request.toString("utf8"));
        } catch (error) {
          refuse(client, error);
        }
      },
      close(client, end) {
        const visit = forget(client);
        visit?.lifeline?.close();
        visit?.over.abort(new Error("the client has gone"));
        void reports.close?.(client, end);
      },
    },
    { ...options, raw: true, messageBytesMax: requestBytesMax, descriptors: { max: 1 } },
  );
}
