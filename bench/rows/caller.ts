/**
 * Clients that call a service all the time, to see what they notice of it when it changes hands:
 * four that keep their connection, and one that connects anew for each call. Each sends a message,
 * waits for the answer, compares it, and goes on. A pause is how long one of them waited for one
 * answer, connecting included.
 */

import { basename, dirname } from "node:path";
import { type Connection, connect } from "../../src/index.ts";
import { now, type Plan, plans, ready } from "./control.ts";
import { Pattern } from "./pattern.ts";
import { readRole } from "./role.ts";

/** What the calls of one round were like. Times are in nanoseconds. */
export interface Calls {
  nanoseconds: number;
  count: number;
  failed: number;
  /** Why the first one failed. */
  why: string;
  p50: number;
  p99: number;
  longest: number;
}

const keepers = 4;
const callsMax = 1 << 21; // more than five clients make in a round

const role = readRole();
const name = basename(role.path);
const options = { rundir: dirname(role.path) };
const times = new Float64Array(callsMax);
let count = 0;
let failed = 0;
let why = "";

async function call(pong: Connection, payload: Uint8Array, begin: number): Promise<void> {
  const answer = await pong.request(payload);
  if (count < callsMax) times[count] = now() - begin;
  count += 1;
  if (Buffer.compare(answer.bytes, payload) !== 0) throw new Error("wrong answer");
}

function fail(error: unknown): void {
  failed += 1;
  if (why === "") why = String(error);
}

async function keep(until: number, pattern: Pattern, first: number): Promise<void> {
  const pong = await connect(name, options);
  for (let k = first; now() < until; k += 1) {
    try {
      await call(pong, pattern.payload(k), now());
    } catch (error) {
      fail(error);
      return; // without its connection it has nothing to call by
    }
  }
  await pong.close();
}

async function reconnect(until: number, pattern: Pattern): Promise<void> {
  for (let k = 0; now() < until; k += 1) {
    const begin = now();
    try {
      const pong = await connect(name, options);
      await call(pong, pattern.payload(k), begin);
      await pong.close();
    } catch (error) {
      fail(error);
    }
  }
}

async function round(plan: Plan): Promise<Calls> {
  count = 0;
  failed = 0;
  why = "";
  const pattern = Pattern.of(plan.bytes);
  const begin = now();
  const until = begin + plan.nanoseconds;
  const kept = Array.from({ length: keepers }, (_, index) => keep(until, pattern, 17 * index));
  await Promise.all([...kept, reconnect(until, pattern)]);
  const nanoseconds = now() - begin;
  const sorted = times.subarray(0, Math.min(count, callsMax)).sort();
  const at = (share: number) => Math.round(sorted[Math.ceil(share * sorted.length) - 1] ?? 0);
  return { nanoseconds, count, failed, why, p50: at(0.5), p99: at(0.99), longest: at(1) };
}

ready();
for (const plan of plans()) console.log(JSON.stringify(await round(plan)));
process.exit(0);
