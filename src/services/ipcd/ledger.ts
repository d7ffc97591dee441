/**
 * What ipcd knows, as tables in memory that `query` reads. This is a public format: `schemaVersion` is its number, in
 * `PRAGMA user_version` and in the table `meta`.
 *
 * Times are UTC, as in 2026-01-31T12:00:00.000Z, which SQLite's own functions understand.
 */

import { Database } from "bun:sqlite";
import type { Direction, Redirect, Rule } from "./directive.ts";
import { directions } from "./directive.ts";
import type { Rules } from "./rules-file.ts";

export const schemaVersion = 1;

/** Live connections that are kept; more are refused, so that nobody fills the memory with them. */
export const connectionsMax = 65_536;

/** What may come of asking: it went well, a rule was against it, it could not be done, or it could not be understood. */
export const outcomes = ["allowed", "denied", "failed", "unclear"] as const;
export type Outcome = (typeof outcomes)[number];

const schema = `
  pragma user_version = ${schemaVersion};

  -- schema: this format's number; started: when; loaded: when the rules were last read; pid: of ipcd.
  create table meta (
    name text primary key,
    value text not null
  ) strict, without rowid;

  -- The first that fits decides.
  create table rules (
    place integer primary key,
    action text not null,        -- allow or deny
    direction text not null,     -- out: lookups from here; in: remotes
    service text not null,       -- a pattern
    uri text not null,           -- a pattern
    origin text not null,        -- the option, or FILE:LINE
    decided integer not null     -- how often it has, since it was read
  ) strict;

  create table redirects (
    place integer primary key,
    old text not null,           -- a URI or a service name
    new text not null,
    origin text not null,
    followed integer not null    -- how often it was, since it was read
  ) strict;

  -- Those that are open now: out, until the daemon says that it has ended, or for unix:// the client
  -- closes its connection to ipcd; in, until the daemon says that the remote has gone.
  create table connections (
    id integer primary key,
    direction text not null,
    service text not null,
    uri text not null,
    daemon text,                 -- the service that carries it; null for one that ipcd made itself
    pid integer not null,        -- who asked: the client if it is out, the daemon if it is in
    uid integer not null,
    since text not null
  ) strict;

  create table lookups (
    direction text not null,
    outcome text not null,       -- ${outcomes.join(", ")}
    count integer not null,
    primary key (direction, outcome)
  ) strict, without rowid;
`;

export type Connection = {
  readonly direction: Direction;
  readonly service: string;
  readonly uri: string;
  readonly daemon: string | null;
  readonly pid: number;
  readonly uid: number;
};

export class Ledger implements Disposable {
  readonly #database = new Database(":memory:", { strict: true });
  #connections = 0;

  constructor() {
    const database = this.#database;
    database.run(schema);
    const facts = { schema: schemaVersion, started: now(), loaded: now(), pid: process.pid };
    const insert = database.query<unknown, [string, string]>("insert into meta values (?, ?)");
    for (const [name, value] of Object.entries(facts)) insert.run(name, `${value}`);
    const count = database.query<unknown, [string, string]>("insert into lookups values (?, ?, 0)");
    for (const direction of directions) {
      for (const outcome of outcomes) count.run(direction, outcome);
    }
  }

  /** Puts these in the place of all there were. */
  setRules({ rules, redirects }: Rules): void {
    this.#database.transaction(() => {
      this.#database.run("delete from rules; delete from redirects;");
      for (const [place, rule] of rules.entries()) this.#addRule(place, rule);
      for (const [place, redirect] of redirects.entries()) this.#addRedirect(place, redirect);
      this.#database
        .query<unknown, [string]>("update meta set value = ? where name = 'loaded'")
        .run(now());
    })();
  }

  #addRule(place: number, { action, direction, service, uri, origin }: Rule): void {
    this.#database
      .query<unknown, (string | number)[]>("insert into rules values (?, ?, ?, ?, ?, ?, 0)")
      .run(place, action, direction, service.text, uri.text, origin);
  }

  #addRedirect(place: number, { from, to, origin }: Redirect): void {
    this.#database
      .query<unknown, (string | number)[]>("insert into redirects values (?, ?, ?, ?, 0)")
      .run(place, from, to, origin);
  }

  /** A rule has decided. */
  decided(place: number): void {
    this.#database
      .query<unknown, [number]>("update rules set decided = decided + 1 where place = ?")
      .run(place);
  }

  /** A redirect was followed. */
  followed(place: number): void {
    this.#database
      .query<unknown, [number]>("update redirects set followed = followed + 1 where place = ?")
      .run(place);
  }

  count(direction: Direction, outcome: Outcome): void {
    this.#database
      .query<unknown, [string, string]>(
        "update lookups set count = count + 1 where direction = ? and outcome = ?",
      )
      .run(direction, outcome);
  }

  /** Figures by names such as `out_denied`, and how many connections are open. */
  counts(): Record<string, number> {
    const rows = this.#database
      .query<{ name: string; count: number }, []>(
        "select direction || '_' || outcome as name, count from lookups",
      )
      .all();
    const counts = Object.fromEntries(rows.map(({ name, count }) => [name, count]));
    return { ...counts, connections: this.#connections };
  }

  /** Its number, or undefined if there are as many as may be. */
  open({ direction, service, uri, daemon, pid, uid }: Connection): number | undefined {
    if (this.#connections >= connectionsMax) return undefined;
    this.#connections += 1;
    const { lastInsertRowid } = this.#database
      .query<unknown, (string | number | null)[]>(
        "insert into connections values (null, ?, ?, ?, ?, ?, ?, ?)",
      )
      .run(direction, service, uri, daemon, pid, uid, now());
    return Number(lastInsertRowid);
  }

  close(id: number): void {
    const { changes } = this.#database
      .query<unknown, [number]>("delete from connections where id = ?")
      .run(id);
    this.#connections -= changes;
  }

  /** All of it as the bytes of a database, for whoever is to read it without being in the way. */
  bytes(): Uint8Array {
    return this.#database.serialize();
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

function now(): string {
  return new Date().toISOString();
}
