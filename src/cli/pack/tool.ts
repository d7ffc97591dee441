/** The tools that packing takes, run from the repository. */

import { join } from "node:path";
import { CommandError } from "../command.ts";

export const root = join(import.meta.dir, "..", "..", "..");

/** What it wrote to stdout. Throws a CommandError with all that it said if it fails. */
export function runTool(words: readonly string[], folder: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync({ cmd: [...words], cwd: folder });
  if (exitCode === 0) return stdout.toString();
  throw new CommandError(`${words.join(" ")}: ${stdout}${stderr}`);
}
