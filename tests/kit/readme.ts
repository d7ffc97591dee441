/** The programs and commands of the README, as they stand there. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const readme = readFileSync(join(import.meta.dir, "..", "..", "README.md"), "utf8");

function blocks(language: string): string[] {
  const fenced = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms");
  return [...readme.matchAll(fenced)].map((found) => found[1]!);
}

const names = ["pong.ts", "hello.ts", "loop.ts"];

/** A program for each side, and one for the loop, by the names of their files. */
export const programs: Readonly<Record<string, string>> = Object.fromEntries(
  blocks("ts").map((text, index) => [names[index] ?? `program ${index}`, text]),
);

/** What is typed into a shell, line by line. */
export const commandsOfReadme: readonly string[] = blocks("sh").flatMap((block) =>
  block.trim().split("\n"),
);

export function writePrograms(folder: string): void {
  for (const [name, text] of Object.entries(programs)) writeFileSync(join(folder, name), text);
}
