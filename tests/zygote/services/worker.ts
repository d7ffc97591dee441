/** A module that is cloned: it does what it is asked, a message of JSON each, and answers likewise. */

import { Database } from "bun:sqlite";
import { randomBytes, randomInt, randomUUID } from "node:crypto";
import { openSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { connect } from "../../../src/ipc/connect.ts";
import type { Connection } from "../../../src/ipc/connection.ts";
import type { CloneStart } from "../../../src/zygote/index.ts";

const words = new Map<number, string>();
let warmedBy = 0;
const warmedAt = Math.random();
let changes = 0;

export function warm(): void {
  for (let index = 0; index < 50_000; index += 1) words.set(index, `word ${index}`);
  warmedBy = process.pid;
}

type Commands = Record<string, (argument: never) => unknown>;

let start: CloneStart;

const commands: Commands = {
  state: () => ({ words: words.size, warmedBy, warmedAt, pid: process.pid, ppid: process.ppid }),
  change: () => ++changes,
  arguments: () => start.arguments,
  length: () => (start.arguments as string).length,
  read: () => start.descriptors.map((each) => readFileSync(each.number, "utf8")),
  chance: () => ({
    math: [Math.random(), Math.random()],
    web: [...crypto.getRandomValues(new Uint8Array(16))].join(),
    uuid: crypto.randomUUID(),
    node: randomUUID(),
    bytes: randomBytes(16).toString("hex"),
    v7: Bun.randomUUIDv7(),
    int: [randomInt(2 ** 47), randomInt(2 ** 47)],
  }),
  origin: () => ({ origin: performance.timeOrigin, now: performance.now(), date: Date.now() }),
  descriptors: () =>
    readdirSync("/proc/self/fd").flatMap((number) => {
      try {
        return [`${number} ${readlinkSync(`/proc/self/fd/${number}`)}`];
      } catch {
        return [];
      }
    }),
  environment: (name: string) => process.env[name] ?? null,
  work,
  status: () => readFileSync("/proc/self/status", "utf8"),
  network: () => Object.keys(networkInterfaces()),
  ids: () => ({ uid: process.getuid!(), gid: process.getgid!(), groups: process.getgroups!() }),
  open: (count: number) => Array.from({ length: count }, () => openSync("/dev/null", "r")).length,
  take: (megabytes: number) => {
    const taken: Uint8Array[] = [];
    for (let index = 0; index < megabytes; index += 1) taken.push(new Uint8Array(2 ** 20).fill(1));
    return taken.length;
  },
  spin: () => {
    while (true) Math.random();
  },
  say: ({ path, text }: { path: string; text: string }) => writeFileSync(path, text),
  exit: (code: number) => process.exit(code),
  throw: () => {
    setTimeout(() => {
      throw new Error("on purpose");
    });
  },
};

export async function serve(connection: Connection, given: CloneStart): Promise<void> {
  start = given;
  for await (const message of connection) {
    const { command, argument } = JSON.parse(message.text()) as {
      command: string;
      argument: never;
    };
    connection.send(JSON.stringify(await run(command, argument)));
  }
}

async function run(command: string, argument: never) {
  try {
    return { value: (await commands[command]!(argument)) ?? null };
  } catch (error) {
    return { error: String(error) };
  }
}

export type Work = { objects: number; url: string; service: string; rundir: string };

/** What programs do: objects under collection, loops that are compiled, timers, `fetch`, a database, other services. */
async function work({ objects, url, service, rundir }: Work): Promise<Record<string, unknown>> {
  const kept: string[] = [];
  for (let index = 0; index < objects; index += 1) {
    const one = { index, text: `object ${index}` };
    if (index % 1000 === 0) kept.push(one.text);
    if (index % (objects / 4) === 0) Bun.gc(true);
  }
  let sum = 0;
  for (let index = 0; index < 3_000_000; index += 1) sum = hot(sum, index);
  const fired: number[] = [];
  await Promise.all([3, 1, 2].map((ms) => Bun.sleep(5 * ms).then(() => fired.push(ms))));
  const fetched = await (await fetch(url)).text();
  using database = new Database(":memory:");
  database.run("CREATE TABLE numbers (number INTEGER)");
  const insert = database.prepare("INSERT INTO numbers VALUES (?)");
  for (let number = 1; number <= 100; number += 1) insert.run(number);
  const { total } = database.query("SELECT sum(number) AS total FROM numbers").get() as {
    total: number;
  };
  const client = await connect(service, { rundir });
  const answer = (await client.request(`from ${process.pid}`)).text();
  await client.close();
  const file = await Bun.file(import.meta.path).text();
  return { kept: kept.length, sum, fired: fired.sort(), fetched, total, answer, file: file.length };
}

function hot(sum: number, index: number): number {
  return (sum + index * 3) % 1_000_003;
}
