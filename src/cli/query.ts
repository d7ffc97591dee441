/** `query STATEMENT`: asks ipcd what it knows, in SQL. */

import { connect } from "../ipc/connect.ts";
import { lookupService } from "../ipc/lookup.ts";
import { runDirectory } from "../ipc/run-directory.ts";
import { IpcError } from "../native/errors.ts";
import type { Cell, QueryAnswer, QueryRefusal } from "../services/ipcd/query-answer.ts";
import { querySchema } from "../services/ipcd/query-answer.ts";
import { queryService } from "../services/ipcd.ts";
import { count, flag, text, UsageError } from "../services/option.ts";
import { commonOptions, readArguments } from "./arguments.ts";
import { CommandError, help, run, saidOf, status } from "./command.ts";
import { printable, tell, writeAll } from "./output.ts";
import { table } from "./table.ts";

/** Others may be before it, each with a time of its own. */
const answerTimeoutMs = 60_000;

const options = {
  json: flag("print { schema, columns, rows: [{ COLUMN: VALUE, … }], truncated }"),
  rundir: text("DIR", "the run directory (default: EARSHOT_RUNDIR, RUNDIR, then the user's own)"),
  shared: flag("accept a run directory that others use too"),
  timeout: count("MS", `how long to wait for the answer (default ${answerTimeoutMs})`),
  ...commonOptions,
} as const;

const command = {
  name: "query",
  usage: '"SELECT …" [OPTIONS…] | --help',
  about: `
Asks ipcd, which has to run, what it knows, by one SQL statement that only reads. It is SQLite's SQL,
on a copy, so that asking is in nobody's way. The tables:

  connections  id, direction, service, uri, daemon, pid, uid, since: those that are open now
  lookups      direction, outcome, count
  rules        place, action, direction, service, uri, origin, decided: the first that fits decides
  redirects    place, old, new, origin, followed
  meta         name, value`,
  options,
};

await run(command, main);

async function main(given: readonly string[]): Promise<number> {
  const { words, values } = readArguments(given, options);
  if (values.help === true) {
    tell(1, help(command));
    return status.done;
  }
  const statement = words.join(" ");
  if (statement === "") throw new UsageError("which statement?");
  const answer = await ask(statement, values);
  if (values.json === true) print(`${JSON.stringify(answer, null, 2)}\n`);
  else print(tableOf(answer));
  if (answer.truncated)
    tell(2, `query: only the first ${answer.rows.length} rows; there are more\n`);
  return status.done;
}

type Place = {
  readonly rundir: string | undefined;
  readonly shared: true | undefined;
  readonly timeout: number | undefined;
};

async function ask(statement: string, { rundir, shared, timeout }: Place): Promise<QueryAnswer> {
  await using ipcd = await reach(rundir, shared);
  const message = await ipcd.request(statement, { timeout: timeout ?? answerTimeoutMs });
  const answer = message.json<QueryAnswer | QueryRefusal>();
  if (answer.schema !== querySchema) {
    throw new CommandError(
      `ipcd answers in format ${answer.schema}, and this reads ${querySchema}`,
    );
  }
  if ("error" in answer) throw new CommandError(answer.error);
  return answer;
}

async function reach(rundir: string | undefined, shared: true | undefined) {
  try {
    return await connect(queryService(lookupService), { rundir, shared, network: "" });
  } catch (error) {
    if (!(error instanceof IpcError) || !isAbsent(error)) throw error;
    const reason = saidOf(error);
    throw new CommandError(
      `ipcd does not run in ${runDirectory(rundir)}; start it with "service ipcd" (${reason})`,
    );
  }
}

function isAbsent({ code }: IpcError): boolean {
  return code === "ENOENT" || code === "ECONNREFUSED";
}

function tableOf({ columns, rows }: QueryAnswer): string {
  const lines = rows.map((row) => columns.map((column) => shown(row[column] ?? null)));
  return table(columns.map(printable), lines);
}

function shown(cell: Cell): string {
  return cell === null ? "-" : printable(`${cell}`);
}

function print(output: string): void {
  writeAll(1, Buffer.from(output));
}
