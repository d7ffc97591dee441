/** The side of `child.ts` that runs in the child: does what it is asked, until nobody can ask any more. */

import { writeSync } from "node:fs";

type Commands = Record<string, (argument: never) => unknown>;

/** What the parent gave the script to start with. */
export function settings<Settings>(): Settings {
  return JSON.parse(process.argv[2]!) as Settings;
}

export async function answer(commands: Commands): Promise<void> {
  const known: Commands = { ready: () => true, ...commands };
  for await (const line of console) {
    // What the end of the input looks like.
    if (line === "") break;
    const { id, command, argument } = JSON.parse(line) as {
      id: number;
      command: string;
      argument: never;
    };
    // Not awaited: what takes long holds up nothing that is asked after it.
    void run(known[command]!, argument).then((outcome) => {
      writeSync(1, `${JSON.stringify({ id, ...outcome })}\n`);
    });
  }
}

async function run(command: (argument: never) => unknown, argument: never) {
  try {
    return { value: (await command(argument)) ?? null };
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return { error: { code: code ?? "", message } };
  }
}
