/**
 * What a first fork has to do before clones are made by forks: whatever of Bun a fork could have broken. It ends by itself
 * when its owner has read that all is well.
 */

import type { Connection } from "../ipc/connection.ts";

export const trialAnswer = "alive";

const objects = 100_000;
const hotCalls = 100_000;
const timerMs = 1;

export async function trial(connection: Connection): Promise<void> {
  collect();
  compile();
  await timers();
  await socket();
  collect();
  // Its owner may have changed its mind.
  if (connection.open) connection.send(trialAnswer);
}

/** Garbage and what is kept, of several sizes, under collections that are forced. */
function collect(): void {
  const kept: { index: number; text: string }[] = [];
  for (let index = 0; index < objects; index += 1) {
    const one = { index, text: `text ${index}` };
    if (index % 10 === 0) kept.push(one);
    if (index % (objects / 4) === 0) Bun.gc(true);
  }
  Bun.gc(true);
  check(
    kept.every(({ index, text }) => text === `text ${index}`),
    "objects",
  );
}

/** Often enough that each compiler has its turn. */
function compile(): void {
  let sum = 0;
  for (let index = 0; index < hotCalls; index += 1) sum = step(sum, index);
  check(sum === (hotCalls * (hotCalls - 1)) / 2, "compiled code");
}

function step(sum: number, index: number): number {
  return sum + index;
}

async function timers(): Promise<void> {
  const begun = performance.now();
  await Promise.all([Bun.sleep(timerMs), Bun.sleep(2 * timerMs)]);
  check(performance.now() - begun >= timerMs, "timers");
}

/** One of Bun's own, through the loop that was put in the place of the zygote's. */
async function socket(): Promise<void> {
  const heard = Promise.withResolvers<string>();
  const listener = Bun.listen({
    unix: `\0earshot-trial-${process.pid}-${Math.random()}`,
    socket: {
      data(peer, bytes) {
        peer.end(bytes);
      },
    },
  });
  await Bun.connect({
    unix: listener.unix,
    socket: {
      open(peer) {
        peer.write(trialAnswer);
      },
      data(_, bytes) {
        heard.resolve(bytes.toString());
      },
      error(_, error) {
        heard.reject(error);
      },
    },
  });
  check((await heard.promise) === trialAnswer, "sockets");
  listener.stop(true);
}

function check(isFine: boolean, what: string): void {
  if (!isFine) throw new Error(`a fork of this Bun has broken ${what}`);
}
