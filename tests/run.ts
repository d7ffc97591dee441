/**
 * Runs `bun test` with the same arguments, shows what it says as it comes, and at the end says once more what was said
 * of each test that failed: whoever sees only the end of a long output sees why.
 */

const linesMax = 40;
/** How a test, or a file, ends what it has said. */
const verdict = /^\((pass|fail|skip|todo)\) |^\S+\.test\.ts:$/;
/** With colours the same words stand between escapes. */
const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g");

/** What failed, each with the lines before it that are its own. */
class Failures {
  readonly #found: string[][] = [];
  #said: string[] = [];
  #file = "";

  take(line: string): void {
    const plain = line.replace(escapes, "").trimEnd();
    const mark = verdict.exec(plain);
    if (mark === null) {
      this.#said.push(line);
      // The end of it is what matters: there the error stands.
      if (this.#said.length > linesMax) this.#said.shift();
      return;
    }
    if (mark[1] === undefined) this.#file = plain;
    if (mark[1] === "fail") this.#found.push([this.#file, ...this.#said, line]);
    this.#said = [];
  }

  tell(): void {
    if (this.#found.length === 0) return;
    console.error("\nWhat failed, once more:");
    for (const lines of this.#found) console.error(`\n${lines.join("\n")}`);
  }
}

const colours = process.stderr.isTTY ? { FORCE_COLOR: "1" } : {};
const run = Bun.spawn({
  cmd: [process.execPath, "test", ...process.argv.slice(2)],
  env: { ...process.env, ...colours },
  stdin: "inherit",
  stdout: "inherit",
  stderr: "pipe",
});
const failures = new Failures();
const decoder = new TextDecoder();
let rest = "";
for await (const part of run.stderr) {
  process.stderr.write(part);
  const lines = (rest + decoder.decode(part, { stream: true })).split("\n");
  rest = lines.pop()!;
  for (const line of lines) failures.take(line);
}
const status = await run.exited;
failures.tell();
process.exit(status);
