/**
 * Rings from native threads, by the thousand, while memory is collected all the time: what a bell must
 * stand. Run by `doorbell.test.ts` in a process of its own, because what fails here takes the process with it.
 */

import { Context, EventType } from "../../../src/index.ts";
import { Doorbell } from "../../../src/ipc/doorbell.ts";
import { answer, settings } from "../../kit/answer.ts";
import { BareContext } from "../../kit/bare-context.ts";

const { rundir } = settings<{ rundir: string }>();

/** Something for the collector to do, and the collector to do it. */
function collect(): void {
  const garbage = Array.from({ length: 100 }, (_, index) => ({ index, text: `garbage ${index}` }));
  if (garbage.length > 0) Bun.gc(true);
}

await answer({
  /** Two contexts bounce one message, asleep between every two of its hops. */
  async bounce(hops: number) {
    using left = new Context({ rundir, spin: 0 });
    using right = new Context({ rundir, spin: 0 });
    left.serve("left");
    const connection = right.connect("left");
    right.schedule(connection, "ball");
    right.flush();
    let count = 0;
    const play = async (context: Context) => {
      for await (const event of context.events()) {
        if (event.type !== EventType.MessageRx) continue;
        count += 1;
        if (count % 16 === 0) collect();
        if (count >= hops) return;
        context.schedule(event.connection, event.message.bytes);
      }
    };
    await Promise.race([play(left), play(right)]);
    return count;
  },

  /** Timers that are due at once, in many contexts, of which some are closed with the ring on its way. */
  async close(rounds: number) {
    let fired = 0;
    for (let round = 0; round < rounds; round++) {
      const contexts = Array.from({ length: 4 }, () => new Context({ spin: 0 }));
      const ends = contexts.map(async (context) => {
        context.timer(round * 1000, 1000);
        for await (const _ of context.events()) fired += 1;
      });
      // Some have rung, some are about to, and some sleep.
      for (let turn = 0; turn < round % 4; turn++) await new Promise(setImmediate);
      for (const context of contexts) context.close();
      if (round % 8 === 0) collect();
      await Promise.all(ends);
    }
    return fired;
  },

  /** A thread that rings without pause while this one waits, arms and collects. */
  async ring(rings: number) {
    const context = new BareContext();
    const bell = new Doorbell(context.calls.earshot_ipc_bell(context.address), {
      arm: () => context.calls.earshot_ipc_arm(context.address, 0 as typeof context.address),
    });
    const worker = new Worker(new URL("ringer.ts", import.meta.url).href);
    let done = false;
    worker.onmessage = () => {
      done = true;
    };
    worker.postMessage({ address: context.address, rings });
    let woken = 0;
    while (!done) {
      // The thread's last ring may be over before this one waits, and its word is then what wakes.
      await Promise.race([bell.rung(), new Promise(setImmediate)]);
      context.wait(0);
      woken += 1;
      if (woken % 64 === 0) collect();
    }
    worker.terminate();
    context.close();
    bell.close();
    return woken;
  },
});
