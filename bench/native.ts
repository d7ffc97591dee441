/** The library and the floor programs: built once, before anything is measured. */

import { join } from "node:path";

const root = join(import.meta.dir, "..");
const programs = join(root, "zig-out", "bin");

/** Builds what is not up to date. Takes half a minute the first time, and no time after that. */
export async function build(): Promise<void> {
  const builder = Bun.spawn([process.execPath, "run", "build", "install", "floors"], {
    cwd: root,
    stdin: "ignore",
    stdout: Bun.file("/dev/stderr"),
    stderr: "inherit",
  });
  if ((await builder.exited) !== 0) throw new Error("the native programs cannot be built");
}

export function program(name: string): string {
  return join(programs, name);
}

/** The command that runs `command` on one processor, or anywhere. */
export function pinCommand(command: string[], cpu: number | null): string[] {
  return cpu === null ? command : [program("pin"), String(cpu), ...command];
}
