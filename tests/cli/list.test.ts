/** `list`: every service, whether it lives, and whose it is; for people and for programs. */

import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();
leaveNoCommand();

const uid = process.getuid!();

/** One of each: served, left behind by its owner, served by a stranger; and files that are no services. */
async function furnished(rundir: string) {
  const stranger = Bun.listen({ unix: `${rundir}/foreign`, socket: { data: () => undefined } });
  const dead = await startService(["pong", "--name", "dead"], { rundir });
  await dead.end("SIGKILL");
  const live = await startService(["hello", "--name", "a-live_one.2", "--memory"], { rundir });
  writeFileSync(`${rundir}/notes.txt`, "mine");
  mkdirSync(`${rundir}/folder`);
  return {
    live,
    async [Symbol.asyncDispose]() {
      await live[Symbol.asyncDispose]();
      stranger.stop(true);
    },
  };
}

test("is a table with a line for each service", async () => {
  using scratch = new Scratch();
  const { path } = scratch;
  await using place = await furnished(path);
  const { code, stdout, stderr } = await run(earshot("list"), { rundir: path });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const rows = stdout.trimEnd().split("\n");
  expect(rows.map((row) => row.split(/ +/))).toEqual([
    ["NAME", "STATE", "PID", "USER", "BY", "PATH"],
    [
      "a-live_one.2",
      "live",
      `${place.live.pid}`,
      expect.any(String),
      "unix,memory",
      `${path}/a-live_one.2`,
    ],
    ["dead", "stale", "-", expect.any(String), "unix", `${path}/dead`],
    ["foreign", "foreign", `${process.pid}`, expect.any(String), "unix", `${path}/foreign`],
  ]);
  // Each column begins at the same place in every row.
  const at = rows[0]!.indexOf("PATH");
  for (const row of rows.slice(1)) expect(row.indexOf(path)).toBe(at);
});

test("is JSON for programs", async () => {
  using scratch = new Scratch();
  const { path } = scratch;
  await using place = await furnished(path);
  const { code, stdout, stderr } = await run(earshot("list", "--json"), { rundir: path });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const { pid } = place.live;
  const { schema, services } = JSON.parse(stdout);
  expect(schema).toBe(1);
  expect(services).toMatchObject([
    { name: "a-live_one.2", state: "live", pid, uid, path: `${path}/a-live_one.2`, memory: true },
    { name: "dead", state: "stale", pid: null, uid, path: `${path}/dead`, memory: false },
    { name: "foreign", state: "foreign", pid: process.pid, uid, path: `${path}/foreign` },
  ]);
  const members = ["name", "state", "pid", "uid", "user", "path", "memory"];
  for (const service of services) expect(Object.keys(service)).toEqual(members);
});

test("disturbs nobody and takes nothing away", async () => {
  using scratch = new Scratch();
  await using place = await furnished(scratch.path);
  const before = scratch.entries();
  for (let count = 0; count < 3; count++) await run(earshot("list"), { rundir: scratch.path });
  expect(scratch.entries()).toEqual(before);
  expect(place.live.stderr).toBe("");
});

test("of nothing is nothing, and says where it looked", async () => {
  using scratch = new Scratch();
  for (const rundir of [scratch.path, scratch.join("missing")]) {
    expect(await run(earshot("list"), { rundir })).toMatchObject({
      code: 0,
      stdout: "",
      stderr: `list: no services in ${rundir}\n`,
    });
    const { code, stdout, stderr } = await run(earshot("list", "--json"), { rundir });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({ schema: 1, services: [] });
  }
  expect(scratch.entries()).toEqual([]);
});

test("takes no words, and --help says so", async () => {
  const { code, stderr } = await run(earshot("list", "pong"));
  expect(code).toBe(2);
  expect(stderr).toStartWith('list: "pong" is one word too many\nusage: list');
  expect(await run(earshot("list", "--help"))).toMatchObject({ code: 0, stderr: "" });
});
