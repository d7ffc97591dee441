/** Whoever sees only the end of what the tests say sees why some failed. */

import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Scratch } from "./kit/scratch.ts";

const script = Bun.fileURLToPath(new URL("run.ts", import.meta.url));

async function run(body: string): Promise<{ code: number; stderr: string }> {
  using scratch = new Scratch();
  const file = join(scratch.path, "some.test.ts");
  writeFileSync(file, `import { test } from "bun:test";\n${body}\n`);
  const child = Bun.spawn({
    cmd: [process.execPath, script, file],
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const stderr = await child.stderr.text();
  return { code: await child.exited, stderr };
}

test("what failed is said once more at the end, and nothing else", async () => {
  const { code, stderr } = await run(`
    test("a good one", () => undefined);
    test("a bad one", () => { throw new Error("because of " + 6 * 7); });
    test("another good one", () => undefined);
  `);
  expect(code).toBe(1);
  const [said, again] = stderr.split("What failed, once more:");
  expect(said).toContain("because of 42");
  expect(again).toContain("because of 42");
  expect(again).toContain("(fail) a bad one");
  expect(again).toContain("some.test.ts");
  expect(again).not.toContain("(pass)");
});

test("when nothing fails there is nothing to repeat", async () => {
  const { code, stderr } = await run(`test("a good one", () => undefined);`);
  expect(code).toBe(0);
  expect(stderr).toContain("1 pass");
  expect(stderr).not.toContain("once more");
});
