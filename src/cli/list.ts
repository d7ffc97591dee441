/** `list`: which services there are, and whose. */

import type { Found } from "../ipc/run-directory.ts";
import { list, runDirectory } from "../ipc/run-directory.ts";
import { flag, text, UsageError } from "../services/option.ts";
import { commonOptions, readArguments } from "./arguments.ts";
import { help, run, status } from "./command.ts";
import { printable, tell, writeAll } from "./output.ts";
import { table } from "./table.ts";
import { userName } from "./user-name.ts";

/** Of what `--json` prints. Raised when a reader of the former would go wrong. */
const schema = 1;

const options = {
  json: flag("print { schema, services: [{ name, state, pid, uid, user, path, memory }] }"),
  rundir: text("DIR", "the run directory (default: EARSHOT_RUNDIR, RUNDIR, then the user's own)"),
  shared: flag("accept a run directory that others use too"),
  ...commonOptions,
} as const;

const command = {
  name: "list",
  usage: "[OPTIONS…]",
  about: `
Lists the services of a run directory: whether each is live, or stale because its owner is gone,
or foreign because a program serves it that is none of ours, or unknown because you lack the
permission to find out; its owner's process and user; what leads to it, a socket or shared memory as well; its path.`,
  options,
};

await run(command, main);

function main(given: readonly string[]): number {
  const { words, values } = readArguments(given, options);
  if (words.length > 0) throw new UsageError(`"${words[0]}" is one word too many`);
  if (values.help === true) {
    tell(1, help(command));
    return status.done;
  }
  const rundir = runDirectory(values.rundir);
  const services = list({ rundir, shared: values.shared }).map(described);
  if (values.json === true) print(`${JSON.stringify({ schema, services }, null, 2)}\n`);
  else if (services.length > 0) print(tableOf(services));
  else tell(2, `list: no services in ${printable(rundir)}\n`);
  return status.done;
}

type Described = {
  name: string;
  state: Found["state"];
  /** Null where it cannot be told; so is the user. */
  pid: number | null;
  uid: number;
  user: string | null;
  path: string;
  /** Whether it offers shared memory as well. */
  memory: boolean;
};

function described({ pid, uid, path, memory, ...found }: Found): Described {
  const { name, state } = found;
  const user = userName(uid) ?? null;
  return { name, state, pid: pid === 0 ? null : pid, uid, user, path, memory };
}

function tableOf(services: readonly Described[]): string {
  const rows = services.map(({ name, state, pid, uid, user, path, memory }) => [
    name,
    state,
    `${pid ?? "-"}`,
    user ?? `${uid}`,
    memory ? "unix,memory" : "unix",
    printable(path),
  ]);
  return table(["NAME", "STATE", "PID", "USER", "BY", "PATH"], rows);
}

function print(output: string): void {
  writeAll(1, Buffer.from(output));
}
