/**
 * ipcd: leads lookups to where IPC_NETWORK says, by rules. It serves three names:
 *
 *     ipc         lookups of clients                             src/ipc/lookup.ts
 *     ipc.in      daemons ask for remotes that come in           src/services/ipcd/remotes.ts
 *     ipc.query   statements about what it knows, for `query`    src/services/ipcd/ledger.ts
 *
 * Only the first is for the users that `--users` names.
 */

import type { Connection } from "../ipc/connection.ts";
import type { End } from "../ipc/handlers.ts";
import { lookupService } from "../ipc/lookup.ts";
import { serve } from "../ipc/serve.ts";
import type { Service } from "../ipc/service.ts";
import type { Action, Redirect, Rule } from "./ipcd/directive.ts";
import { DirectiveError, parseRedirect, parseRule } from "./ipcd/directive.ts";
import { leaderIn } from "./ipcd/leader.ts";
import { Ledger } from "./ipcd/ledger.ts";
import { Lookups } from "./ipcd/lookups.ts";
import { answerBytesMax, Queries, queryTimeoutMs, waitingMax } from "./ipcd/queries.ts";
import { Remotes, remoteBytesMax, remotesService } from "./ipcd/remotes.ts";
import { Rulebook } from "./ipcd/rulebook.ts";
import type { Rules } from "./ipcd/rules-file.ts";
import { RulesError } from "./ipcd/rules-file.ts";
import { statementBytesMax } from "./ipcd/statement.ts";
import type { Repeatable, Values } from "./option.ts";
import { count, repeated, text, UsageError } from "./option.ts";
import type { Reports, Running, Start, Startable } from "./startable.ts";

/** A directive, and which option it was: their order counts. */
type Given<Directive> = { readonly directive: Directive; readonly place: number };

function directive<Directive>(
  placeholder: string,
  help: string,
  parse: (text: string) => Directive,
): Repeatable<Given<Directive>> {
  return repeated({
    placeholder,
    help,
    read(given, place) {
      try {
        return { directive: parse(given), place };
      } catch (error) {
        if (error instanceof DirectiveError) throw new UsageError(error.message);
        throw error;
      }
    },
  });
}

const rule = (action: Action, help: string) =>
  directive("RULE", help, (given) => parseRule(action, given, `--${action} "${given}"`));

const options = {
  rules: text("FILE", "rules, a line each, after those given here; read again at SIGHUP"),
  allow: rule(
    "allow",
    '"out SERVICE [URI]" for lookups, "in SERVICE [URI]" for remotes of tcpd, tlsd, udpd and websocketd, by tcp://, tls://, udp:// and ws://HOST:PORT; * is any text, the first rule that fits decides; where none does, lookups of the same user are allowed, and remotes to what their daemon was told to --allow',
  ),
  deny: rule("deny", "the same, to refuse"),
  redirect: {
    ...directive("OLD NEW", "one URI or service name in the place of another", (given) =>
      parseRedirect(given, `--redirect "${given}"`),
    ),
    pair: true,
  },
  "query-timeout": count(
    "MS",
    `how long a statement of query may take (default ${queryTimeoutMs})`,
  ),
} as const;

/** Connections of `query`: more than wait for their turn at once, so that the rest can be told so. */
const askersMax = 4 * waitingMax;

/** Of a lookup, which is short as a rule. */
const readBytesMax = 4096;

type Own = Values<typeof options>;

/** What `query` asks, by the name that ipcd is served under. */
export const queryService = (name: string): string => `${name}.query`;

export const service: Startable<typeof options> = {
  summary: "leads lookups to other machines, by rules",
  name: lookupService,
  unused: { "message-max": "what is asked of it has a length of its own" },
  options,
  async start(how, own) {
    await using opened = new AsyncDisposableStack();
    const ledger = opened.use(new Ledger());
    const rulebook = openRulebook(own, ledger);
    const queries = new Queries(() => ledger.bytes(), own["query-timeout"]);
    opened.defer(() => queries.close());
    // The name by which others find it comes last: who sees that finds the rest.
    const services: Service[] = [];
    opened.defer(() => closeAll(services, { now: true }));
    services.push(await serveRemotes(how, new Remotes(rulebook, ledger)));
    services.push(await serveQueries(how, queries));
    const { name, options: place, complain } = how;
    const lookups = new Lookups({ rulebook, ledger, leader: leaderIn(place), complain });
    services.push(await serveLookups(how, lookups));
    opened.move();
    return running({ name }, { rulebook, ledger, queries, lookups, services });
  },
};

function openRulebook(own: Own, ledger: Ledger): Rulebook {
  try {
    return new Rulebook(givenRules(own), own.rules, ledger);
  } catch (error) {
    if (error instanceof RulesError) throw new UsageError(error.message);
    throw error;
  }
}

function givenRules({ allow, deny, redirect }: Own): Rules {
  const inOrder = <Directive extends Rule | Redirect>(given: readonly Given<Directive>[]) =>
    given.toSorted((one, other) => one.place - other.place).map((each) => each.directive);
  return { rules: inOrder([...allow, ...deny]), redirects: inOrder(redirect) };
}

type Parts = {
  readonly rulebook: Rulebook;
  readonly ledger: Ledger;
  readonly queries: Queries;
  readonly lookups: Lookups;
  readonly services: readonly Service[];
};

function running({ name }: Pick<Start, "name">, parts: Parts): Running {
  const { rulebook, ledger, queries, lookups, services } = parts;
  let last: Record<string, number> | undefined;
  return {
    name,
    path: services.at(-1)!.path,
    counters: () => last ?? ledger.counts(),
    reload: () => rulebook.load(),
    async close(options) {
      await Promise.all([closeAll(services, options), queries.close()]);
      await lookups.endAll();
      if (last !== undefined) return;
      last = ledger.counts();
      ledger[Symbol.dispose]();
    },
  };
}

async function closeAll(services: readonly Service[], options?: { now?: boolean }): Promise<void> {
  await Promise.all(services.map((each) => each.close(options)));
}

function serveLookups(
  { name, options: place, reports }: Start,
  lookups: Lookups,
): Promise<Service> {
  return serve(
    name,
    {
      ...reports,
      open: (connection) => lookups.open(connection),
      message: (connection, message) => lookups.message(connection, message),
      close: closing(reports, (connection) => lookups.close(connection)),
    },
    { ...place, raw: true, messageBytesMax: readBytesMax },
  );
}

function serveRemotes(
  { name, options: place, reports }: Start,
  remotes: Remotes,
): Promise<Service> {
  return serve(
    remotesService(name),
    {
      ...reports,
      open: (connection) => remotes.open(connection),
      message: (connection, message) => remotes.message(connection, message),
      close: closing(reports, (connection) => remotes.close(connection)),
    },
    { rundir: place.rundir, shared: place.shared, messageBytesMax: remoteBytesMax },
  );
}

function serveQueries(
  { name, options: place, reports }: Start,
  queries: Queries,
): Promise<Service> {
  return serve(
    queryService(name),
    {
      ...reports,
      open: (connection) => answerAll(connection, queries),
    },
    {
      rundir: place.rundir,
      shared: place.shared,
      connectionsMax: askersMax,
      messageBytesMax: Math.max(statementBytesMax, answerBytesMax),
    },
  );
}

/** One statement at a time: the next is not read before, so whoever sends many waits, and fills nobody's memory. */
async function answerAll(connection: Connection, queries: Queries): Promise<void> {
  const leaving = new AbortController();
  void connection.ended.then(() => leaving.abort());
  try {
    for await (const message of connection) {
      const answer = await queries.ask(message.text(), leaving.signal);
      if (connection.open) connection.send(answer);
    }
  } catch (error) {
    // That it ended otherwise than in order has been told.
    if (connection.open) throw error;
  }
}

function closing(reports: Reports, forget: (connection: Connection) => void) {
  return (connection: Connection, end: End) => {
    forget(connection);
    return reports.close?.(connection, end);
  };
}
