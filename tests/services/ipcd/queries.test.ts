/** Statements, answered by a process each: what they are given, and that none has more than its share. */

import { describe, expect, test } from "bun:test";
import { Ledger } from "../../../src/services/ipcd/ledger.ts";
import { Queries, rowsBytesMax, rowsMax, waitingMax } from "../../../src/services/ipcd/queries.ts";
import type { QueryAnswer, QueryRefusal } from "../../../src/services/ipcd/query-answer.ts";
import { statementBytesMax } from "../../../src/services/ipcd/statement.ts";
import { canCount, children } from "../../kit/census.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { until } from "../../kit/until.ts";

leaveNoTrace();

const endless = "with recursive c(x) as (select 1 union all select x + 1 from c)";
const never = `${endless} select count(*) from c`;
const waiting = new AbortController().signal;

/** Ready to be asked. With a time that a statement which ends does not come near. */
function desk(timeoutMs = 60_000) {
  const ledger = new Ledger();
  const queries = new Queries(() => ledger.bytes(), timeoutMs);
  return {
    ledger,
    queries,
    async ask(statement: string, signal = waiting): Promise<QueryAnswer & QueryRefusal> {
      return JSON.parse(await queries.ask(statement, signal)) as QueryAnswer & QueryRefusal;
    },
    async [Symbol.asyncDispose]() {
      await queries.close();
      ledger[Symbol.dispose]();
      expect(children()).toEqual([]);
    },
  };
}

test("an answer has columns and rows", async () => {
  await using ipcd = desk();
  ipcd.ledger.count("out", "denied");
  expect(await ipcd.ask("select outcome, count as n from lookups where n > 0")).toEqual<unknown>({
    schema: 1,
    columns: ["outcome", "n"],
    rows: [{ outcome: "denied", n: 1 }],
    truncated: false,
  });
  // The tables as they are now, each time.
  ipcd.ledger.count("out", "denied");
  expect((await ipcd.ask("select count as n from lookups where n > 0")).rows).toEqual([{ n: 2 }]);
  expect(await ipcd.ask("select * from connections")).toMatchObject({
    columns: ["id", "direction", "service", "uri", "daemon", "pid", "uid", "since"],
    rows: [],
  });
});

test("values that JSON has none for are text", async () => {
  await using ipcd = desk();
  const { rows } = await ipcd.ask(
    "select null as a, 1.5 as b, 'ö\n' as c, x'00ff' as d, 9007199254740993 as e, -9e999 as f, 7 as '2', 8 as '1'",
  );
  expect(rows).toEqual([
    { a: null, b: 1.5, c: "ö\n", d: "x'00ff'", e: "9007199254740993", f: "-Infinity", 2: 7, 1: 8 },
  ]);
});

describe("is told what is wrong", () => {
  test.each([
    ["select nosuch from rules", "no such column: nosuch"],
    ["select * from nosuch", "no such table: nosuch"],
    ["select", "incomplete input"],
    ["select 1 as a, 2 as a", 'two columns are called "a"; name one of them otherwise, with AS'],
    ["with x as (select 1) delete from rules", "attempt to write a readonly database"],
    ["with x as (select 1) insert into meta values ('a', 'b')", "attempt to write a readonly"],
    ["select load_extension('/nowhere')", "not authorized"],
    ["select 1; select 2", "one statement at a time"],
    ["attach '/nowhere' as x", "only SELECT"],
  ])("%j", async (statement, why) => {
    await using ipcd = desk();
    expect((await ipcd.ask(statement)).error).toStartWith(why);
    expect((await ipcd.ask("select 1 as a")).rows).toEqual([{ a: 1 }]);
  });
});

test("a statement has its limit", async () => {
  await using ipcd = desk();
  const longest = "select 1 as a".padEnd(statementBytesMax);
  expect((await ipcd.ask(longest)).rows).toEqual([{ a: 1 }]);
  expect((await ipcd.ask(`${longest} `)).error).toBe(
    `a statement is no longer than ${statementBytesMax}`,
  );
});

describe("an answer is bounded", () => {
  test("in rows", async () => {
    await using ipcd = desk();
    const { rows, truncated } = await ipcd.ask(`${endless} select x from c`);
    expect({ length: rows.length, truncated }).toEqual({ length: rowsMax, truncated: true });
    expect(rows.at(-1)).toEqual({ x: rowsMax });
    const all = await ipcd.ask(`${endless} select x from c limit ${rowsMax}`);
    expect(all).toMatchObject({ truncated: false });
  });

  test("in bytes", async () => {
    await using ipcd = desk();
    const { rows, truncated } = await ipcd.ask(
      `${endless} select hex(zeroblob(50000)) as text from c`,
    );
    expect(truncated).toBe(true);
    expect(rows.length).toBe(Math.floor(rowsBytesMax / (100_000 + '{"text":""}'.length)));
  });

  test("in the time that it takes, and the next is answered", async () => {
    await using ipcd = desk(300);
    expect((await ipcd.ask(never)).error).toStartWith("it took longer than 300 ms");
    expect(children()).toEqual([]);
  });

  // One value, and many that are sorted, for which SQLite would use a file.
  test
    .if(process.platform === "linux")
    .each([
      ["select length(randomblob(990000000))"],
      [`${endless} select x, zeroblob(100000) as z from c order by x desc`],
    ])("in the memory that it takes: %s", async (statement) => {
    await using ipcd = desk();
    expect((await ipcd.ask(statement)).error).toMatch(/out of memory|needed too much memory/);
    expect((await ipcd.ask("select 1 as a")).rows).toEqual([{ a: 1 }]);
  });
});

test("answers come in the order of asking, what is refused at once included", async () => {
  await using ipcd = desk();
  const order: string[] = [];
  await Promise.all(
    ["select 1", "drop table rules", "select 2"].map(async (statement) => {
      await ipcd.ask(statement);
      order.push(statement);
    }),
  );
  expect(order).toEqual(["select 1", "drop table rules", "select 2"]);
});

test("so many wait, and no more", async () => {
  await using ipcd = desk();
  const leaving = new AbortController();
  const first = ipcd.ask(never, leaving.signal);
  const others = Array.from({ length: waitingMax + 4 }, () => ipcd.ask("select 1 as a"));
  leaving.abort();
  await first;
  const answers = await Promise.all(others);
  const refused = answers.filter(({ error }) => error === `${waitingMax} others wait; try again`);
  expect(refused).toHaveLength(5);
  expect(answers.filter(({ rows }) => rows !== undefined)).toHaveLength(waitingMax - 1);
  expect((await ipcd.ask("select 1 as a")).rows).toEqual([{ a: 1 }]);
});

describe.if(canCount)("a process", () => {
  test("ends when nobody waits for it any more", async () => {
    await using ipcd = desk();
    const leaving = new AbortController();
    const answer = ipcd.ask(never, leaving.signal);
    await until("it runs", () => children().length === 1);
    leaving.abort();
    expect((await answer).error).toContain("SIGKILL");
    expect(children()).toEqual([]);
    // One that has not begun is not begun.
    expect((await ipcd.ask(never, leaving.signal)).error).toContain("nobody waits");
  });

  test("ends when all is closed, and so do those that wait", async () => {
    await using ipcd = desk();
    const answers = [ipcd.ask(never), ipcd.ask(never)];
    await until("it runs", () => children().length === 1);
    await ipcd.queries.close();
    expect(children()).toEqual([]);
    expect((await answers[0])!.error).toContain("SIGKILL");
    expect((await answers[1])!.error).toContain("nobody waits");
  });
});
