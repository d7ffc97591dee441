/** The examples, run as they stand. */

import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, leaveNoCommand, run } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();
leaveNoCommand();

const folder = join(import.meta.dir, "..", "..", "examples");
const example = (name: string) => [process.execPath, join(folder, name)];
const uid = process.getuid!();

/** What each prints that needs no other. */
const alone: Record<string, string[]> = {
  "03-context-loop.ts": [`a connection of user ${uid}`, "the answer: hello", "the end: closed"],
  "04-backpressure.ts": ["the sender had to wait", "received 19660800 bytes"],
  "05-reconnect.ts": [
    "before",
    "the service is gone: peer_closed",
    "it is back; 0 messages were lost",
    "kept until it is back",
  ],
  "06-descriptors.ts": ["this program: 27 lines"],
  "07-format.ts": ["HELLO"],
  "09-sealed.ts": [
    "the answer: hello",
    "a stranger: ECONNREFUSED",
    "the service turned somebody away: not_allowed",
  ],
  "08-shared-memory.ts": Array.from({ length: 10 }, (_, k) => `consumed ${k + 1}k messages`),
  "10-clones.ts": ["one: 144, undefined", "other: 144, undefined"],
};

test.each(Object.entries(alone))("%s", async (name, lines) => {
  using scratch = new Scratch();
  const { code, stdout, stderr } = await run(example(name), { rundir: scratch.path });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout.trimEnd().split("\n").sort()).toEqual([...lines].sort());
  expect(scratch.entries()).toEqual([]);
});

test("01-pong-service.ts and 02-pong-client.ts", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  await using service = new Command(example("01-pong-service.ts"), { rundir });
  await service.says(`pong: listening on ${rundir}/pong\n`);
  await using client = new Command(example("02-pong-client.ts"), { rundir });
  expect(await client.whenEnded()).toMatchObject({
    code: 0,
    stdout: "hello\none two three\n",
    stderr: "",
  });
  await service.says(`process ${client.pid} of user ${uid} is here\nit has gone: peer_closed\n`);
  expect(await service.end("SIGINT")).toMatchObject({ code: 0, stderr: "" });
  expect(scratch.entries()).toEqual([]);
});

test("02-pong-client.ts without its service says so", async () => {
  using scratch = new Scratch();
  const { code, stderr } = await run(example("02-pong-client.ts"), { rundir: scratch.path });
  expect(code).toBe(1);
  expect(stderr).toBe(`ENOENT: nobody serves "pong" in ${scratch.path}; start it first\n`);
});

test("each is numbered, short, begins with what it shows, and is tested here", () => {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith(".ts"))
    .sort();
  names.forEach((name, index) => {
    expect(name).toStartWith(`${index + 1}`.padStart(2, "0"));
    const source = readFileSync(join(folder, name), "utf8");
    expect(source).toStartWith("// ");
    expect(source).toMatch(/from "earshot(\/memory|\/zygote)?"/);
    expect(source.trimEnd().split("\n").length).toBeLessThanOrEqual(30);
  });
  const tested = [...Object.keys(alone), "01-pong-service.ts", "02-pong-client.ts"];
  expect(names).toEqual(tested.sort());
});
