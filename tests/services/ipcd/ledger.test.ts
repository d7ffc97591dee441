/** What ipcd knows, as tables; and that others read them by their published names. */

import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { connectionsMax, Ledger, schemaVersion } from "../../../src/services/ipcd/ledger.ts";
import { parseRules } from "../../../src/services/ipcd/rules-file.ts";

/** Asks a copy. */
function ask(ledger: Ledger, statement: string): unknown[] {
  using copy = Database.deserialize(Buffer.from(ledger.bytes()));
  return copy.query(statement).values();
}

const columns = (ledger: Ledger, table: string) =>
  ask(ledger, `select name from pragma_table_info('${table}')`).flat();

const pong = {
  direction: "out",
  service: "pong",
  uri: "tcp://a:1",
  daemon: "tcp",
  pid: 7,
  uid: 8,
} as const;

test("the format has a number, and these tables and columns", () => {
  using ledger = new Ledger();
  expect(ask(ledger, "pragma user_version")).toEqual([[schemaVersion]]);
  expect(ask(ledger, "select value from meta where name = 'schema'")).toEqual([["1"]]);
  expect(ask(ledger, "select name from sqlite_schema order by name").flat()).toEqual([
    "connections",
    "lookups",
    "meta",
    "redirects",
    "rules",
  ]);
  expect(columns(ledger, "meta")).toEqual(["name", "value"]);
  expect(columns(ledger, "lookups")).toEqual(["direction", "outcome", "count"]);
  expect(columns(ledger, "redirects")).toEqual(["place", "old", "new", "origin", "followed"]);
  expect(columns(ledger, "rules").join(" ")).toBe(
    "place action direction service uri origin decided",
  );
  expect(columns(ledger, "connections").join(" ")).toBe(
    "id direction service uri daemon pid uid since",
  );
});

test("rules take the place of those before them, and count anew", () => {
  using ledger = new Ledger();
  ledger.setRules(parseRules("f", "deny out *\nallow in pong tcp://10.*\nredirect a b"));
  ledger.decided(1);
  ledger.decided(1);
  ledger.followed(0);
  expect(ask(ledger, "select * from rules")).toEqual([
    [0, "deny", "out", "*", "*", "f:1", 0],
    [1, "allow", "in", "pong", "tcp://10.*", "f:2", 2],
  ]);
  expect(ask(ledger, "select * from redirects")).toEqual([[0, "a", "b", "f:3", 1]]);
  ledger.setRules(parseRules("f", "deny in *"));
  expect(ask(ledger, "select * from rules")).toEqual([[0, "deny", "in", "*", "*", "f:1", 0]]);
  expect(ask(ledger, "select * from redirects")).toEqual([]);
});

test("connections are there while they are open", () => {
  using ledger = new Ledger();
  const first = ledger.open(pong)!;
  const second = ledger.open({ ...pong, direction: "in", daemon: null })!;
  expect(ask(ledger, "select id, direction, daemon, pid, uid from connections")).toEqual([
    [first, "out", "tcp", 7, 8],
    [second, "in", null, 7, 8],
  ]);
  const [[since]] = ask(ledger, "select since from connections") as [[string]];
  expect(new Date(since).toISOString()).toBe(since);
  ledger.close(first);
  ledger.close(first);
  expect(ask(ledger, "select id from connections")).toEqual([[second]]);
  expect(ledger.counts()["connections"]).toBe(1);
});

test("what was asked is counted by what came of it", () => {
  using ledger = new Ledger();
  ledger.count("out", "allowed");
  ledger.count("out", "allowed");
  ledger.count("in", "denied");
  expect(ask(ledger, "select * from lookups where count > 0")).toEqual([
    ["in", "denied", 1],
    ["out", "allowed", 2],
  ]);
  expect(ledger.counts()).toEqual({
    ...{ in_allowed: 0, in_denied: 1, in_failed: 0, in_unclear: 0 },
    ...{ out_allowed: 2, out_denied: 0, out_failed: 0, out_unclear: 0 },
    connections: 0,
  });
});

test("there are no more connections than may be", () => {
  using ledger = new Ledger();
  const first = ledger.open(pong)!;
  for (let count = 1; count < connectionsMax; count++) ledger.open(pong);
  expect(ledger.open(pong)).toBeUndefined();
  ledger.close(first);
  expect(ledger.open(pong)).toBeDefined();
  expect(ledger.open(pong)).toBeUndefined();
});
