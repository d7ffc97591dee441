/**
 * A process that answers one statement and ends: gets a `QueryTask` and a copy of the database on its input, and writes
 * JSON. A process and no worker, because a statement may take for ever, and only a process can be ended in the middle
 * of one; because its memory can be bounded; and because nothing it does to its copy comes to anybody.
 */

import { Database } from "bun:sqlite";
import type { Cell, QueryAnswer, QueryRefusal, QueryTask } from "./query-answer.ts";
import { querySchema, refusal } from "./query-answer.ts";

type Row = Record<string, string | bigint | number | Uint8Array | null>;

const newline = 10;

const input = Buffer.from(await Bun.stdin.arrayBuffer());
const end = input.indexOf(newline);
const task = JSON.parse(input.toString("utf8", 0, end)) as QueryTask;
await Bun.write(Bun.stdout, JSON.stringify(attempt(task, input.subarray(end + 1))));

function attempt(given: QueryTask, bytes: Buffer): QueryAnswer | QueryRefusal {
  try {
    using database = Database.deserialize(bytes, { readonly: true, safeIntegers: true });
    // What is sorted stays in memory, which is bounded, where files would only be forbidden.
    database.run(
      "pragma query_only = on; pragma trusted_schema = off; pragma temp_store = memory;",
    );
    return read(database, given);
  } catch (error) {
    return refusal(error instanceof Error ? error.message : String(error));
  }
}

function read(database: Database, given: QueryTask): QueryAnswer | QueryRefusal {
  using statement = database.prepare<Row, []>(given.statement);
  const columns = statement.columnNames;
  const twice = columns.find((column, index) => columns.indexOf(column) !== index);
  if (twice !== undefined) {
    return refusal(`two columns are called "${twice}"; name one of them otherwise, with AS`);
  }
  const rows: Record<string, Cell>[] = [];
  let bytes = 0;
  for (const row of statement.iterate()) {
    const shown = Object.fromEntries(columns.map((column) => [column, cell(row[column] ?? null)]));
    bytes += JSON.stringify(shown).length;
    if (rows.length >= given.rowsMax || bytes > given.rowsBytesMax) {
      return { schema: querySchema, columns, rows, truncated: true };
    }
    rows.push(shown);
  }
  return { schema: querySchema, columns, rows, truncated: false };
}

function cell(value: Row[string]): Cell {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : `${value}`;
  }
  if (value instanceof Uint8Array) return `x'${Buffer.from(value).toString("hex")}'`;
  if (typeof value === "number" && !Number.isFinite(value)) return `${value}`;
  return value;
}
