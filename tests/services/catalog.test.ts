/** What can be started: each service under its name, and loaded alone. */

import { expect, test } from "bun:test";
import { loadService, serviceNames } from "../../src/services/catalog.ts";
import { run } from "../kit/command.ts";

test("each has a summary of one line, and names are in order", async () => {
  expect(serviceNames).toEqual([...serviceNames].sort());
  for (const name of serviceNames) {
    const service = await loadService(name);
    expect(service?.summary).toMatch(/^\S.{1,70}$/);
  }
});

test("another name is nothing, even one that every object has", async () => {
  for (const name of ["nosuch", "toString", "__proto__", ""]) {
    expect(await loadService(name)).toBeUndefined();
  }
});

test("starting one loads no other", async () => {
  const program = `
    import { loadService } from "./src/services/catalog.ts";
    await loadService("pong");
    console.log(Object.keys(require.cache).filter((path) => path.includes("/services/")).join("\\n"));`;
  const { stdout } = await run([process.execPath, "-e", program]);
  const loaded = stdout.trimEnd().split("\n");
  expect(loaded.some((path) => path.endsWith("/pong.ts"))).toBe(true);
  expect(loaded.filter((path) => path.endsWith("/hello.ts"))).toEqual([]);
});
