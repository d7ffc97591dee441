/**
 * What all commands have in common: their help, one line on stderr when they fail, and the status they exit with.
 */

import "../transports.ts";
import { IpcError } from "../native/errors.ts";
import type { Options } from "../services/option.ts";
import { UsageError } from "../services/option.ts";
import { describeOptions } from "./arguments.ts";
import { printable, tell } from "./output.ts";

export const status = {
  done: 0,
  /** It could not be done. */
  failed: 1,
  /** The command line cannot be understood. */
  usage: 2,
  /** Who read the output has gone: what a shell reports for a program that SIGPIPE has ended. */
  unread: 141,
} as const;

/** What a shell reports for a program that ^C has ended. */
export const interrupted = 130;

/** It could not be done, and the message says why. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

export type Command = {
  readonly name: string;
  /** What follows the name, on one line. */
  readonly usage: string;
  /** What it does, in a few lines. */
  readonly about: string;
  readonly options: Options;
};

export function help({ name, usage, about, options }: Command): string {
  const statuses =
    "exits with 0 when done, 1 when it could not be done, 2 when the command line cannot be understood";
  return `usage: ${name} ${usage}\n\n${about.trim()}\n\n${describeOptions(options)}\n${statuses}\n`;
}

/** Runs a command to its end, and the process with it. */
export async function run(
  command: Command,
  main: (given: readonly string[]) => number | Promise<number>,
): Promise<never> {
  let code: number;
  try {
    code = await main(process.argv.slice(2));
  } catch (error) {
    code = explain(command, error);
  }
  process.exit(code);
}

function explain(command: Command, error: unknown): number {
  const say = (text: string) => tell(2, `${command.name}: ${printable(text)}\n`);
  if (error instanceof UsageError) {
    say(error.message);
    tell(2, `usage: ${command.name} ${command.usage}\n`);
    return status.usage;
  }
  if (error instanceof IpcError) say(saidOf(error));
  else if (error instanceof CommandError) say(error.message);
  else if (!isSystemError(error)) throw error;
  else if (error.code === "EPIPE") return status.unread;
  else say(error.message);
  return status.failed;
}

/** What programs call otherwise than whoever types it. */
const typed: Record<string, string> = {
  messageBytesMax: "--message-max",
  queueBytesMax: "--queue-max",
  connectionsMax: "--connections-max",
};
const programmed = new RegExp(`\\b(${Object.keys(typed).join("|")})\\b`, "g");

/** What an error says to a person: the code before it is for programs, and so are the names of options. */
export function saidOf(error: IpcError): string {
  const code = `${error.code}: `;
  const text = error.message.startsWith(code) ? error.message.slice(code.length) : error.message;
  return text.replace(programmed, (name) => typed[name]!);
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error && "code" in error;
}
