/** The command line of `bun bench`. */

import { statSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";

export const suiteNames = [
  "rtt",
  "stream",
  "memory",
  "connections",
  "descriptors",
  "bridge",
  "seal",
  "zygote",
] as const;
export type SuiteName = (typeof suiteNames)[number];

export interface Options {
  suites: SuiteName[];
  quick: boolean;
  help: boolean;
  json: string | null;
  plot: string | null;
}

export const usage = `usage: bun bench [SUITE…] [--quick] [--json FILE] [--plot FILE.svg]

Measures earshot beside the same work in plain programs (floors) and beside what one would
take instead (peers). Prints a table a suite.

suites, all of them if none is named:
  rtt           round trips of one message between two processes
  stream        messages one way, as fast as they go
  memory        the same through shared memory, and messages that are lent
  connections   a round trip beside ten thousand idle connections, their memory, and start time
  descriptors   open files handed from one process to another
  bridge        services reached by TCP, WebSockets and HTTP; a service that changes hands
  seal          messages sealed and opened by each cipher, in one thread
  zygote        processes that are warm: forked, or started

options:
  --quick       fewer and shorter rounds: under two minutes for all suites
  --json FILE   write every figure to FILE
  --plot FILE   draw the figures into FILE, as SVG
  --help        print this
`;

/** Throws an Error with a message for the user when the command line makes no sense. */
export function parseOptions(argv: string[]): Options {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
      json: { type: "string" },
      plot: { type: "string" },
    },
  });
  return {
    suites: positionals.length === 0 ? [...suiteNames] : chooseSuites(positionals),
    quick: values.quick,
    help: values.help,
    json: writable(values.json),
    plot: writable(values.plot),
  };
}

/** It is written when everything was measured, minutes from now, so what is wrong with it is said before. */
function writable(file: string | undefined): string | null {
  if (file === undefined) return null;
  const folder = statSync(dirname(file), { throwIfNoEntry: false });
  if (folder?.isDirectory() === true) return file;
  throw new Error(`cannot write ${file}: ${dirname(file)} is not a directory`);
}

function chooseSuites(names: string[]): SuiteName[] {
  for (const name of names) {
    if (!suiteNames.some((suite) => suite === name)) {
      throw new Error(`unknown suite "${name}"; there are ${suiteNames.join(", ")}`);
    }
  }
  return suiteNames.filter((suite) => names.includes(suite));
}
