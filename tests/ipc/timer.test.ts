/** Timers: never early, in order, and as often as they are due. How late they are is nobody's promise. */

import { describe, expect, test } from "bun:test";
import type { PollerKind } from "../../src/index.ts";
import { Context, EventType, IpcError } from "../../src/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { drive, event, events, Pair } from "../kit/pair.ts";
import { Random } from "../kit/random.ts";

leaveNoTrace();

const msNs = 1e6;
/** Longer than any test. */
const never = 3600e9;

const codeOf = (call: () => unknown): string => {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(IpcError);
    return (error as IpcError).code;
  }
  throw new Error("it did not throw");
};

/** Is busy until so many nanoseconds have passed. */
function pass(ns: number): void {
  const until = Bun.nanoseconds() + ns;
  while (Bun.nanoseconds() < until);
}

const pollers: PollerKind[] = process.platform === "linux" ? ["poll", "epoll"] : ["poll", "kqueue"];

for (const poller of pollers) {
  describe(poller, () => {
    test("a one-shot is due once, and not before its time", () => {
      using context = new Context({ poller });
      for (const ns of [0, 1, 999, 50_000, 3 * msNs]) {
        const since = Bun.nanoseconds();
        const timer = context.timer(ns);
        const due = event(context, EventType.Timer);
        expect(Bun.nanoseconds() - since).toBeGreaterThanOrEqual(ns);
        expect(due).toMatchObject({ source: timer, periods: 1, service: 0 });
        expect(context.wait(0)).toEqual([]);
        expect(codeOf(() => context.closeHandle(timer))).toBe("ECLOSED");
      }
    });

    test("a wait without end, and a longer one, end when a timer is due", () => {
      using context = new Context({ poller });
      const first = context.timer(2 * msNs);
      expect(context.wait().map((each) => each.source)).toEqual([first]);
      const second = context.timer(2 * msNs);
      expect(context.wait(3600e3).map((each) => each.source)).toEqual([second]);
    });

    test("a wait that is shorter ends before", () => {
      using context = new Context({ poller });
      context.timer(never);
      for (const timeout of [0, 0.01, 2]) expect(context.wait(timeout)).toEqual([]);
    });

    test("a periodic one is due again and again, never before its time", () => {
      using context = new Context({ poller });
      const [first, period] = [0.5 * msNs, 0.2 * msNs];
      const since = Bun.nanoseconds();
      const timer = context.timer(first, period);
      let periods = 0;
      for (let count = 0; count < 20; count++) {
        const due = event(context, EventType.Timer);
        expect(due.source).toBe(timer);
        expect(due.periods).toBeGreaterThanOrEqual(1);
        periods += due.periods;
        expect(Bun.nanoseconds() - since).toBeGreaterThanOrEqual(first + (periods - 1) * period);
      }
      context.closeHandle(timer);
      expect(context.wait(0)).toEqual([]);
    });

    test("periods that were missed come as one event, which counts them", () => {
      using context = new Context({ poller });
      context.timer(msNs, msNs);
      pass(25 * msNs);
      const due = context.wait(0);
      expect(due).toHaveLength(1);
      expect(due[0]!.periods).toBeGreaterThanOrEqual(25);
    });

    test("those that are due together come in the order of their times", () => {
      using context = new Context({ poller });
      const [third, first, second] = [3, 1, 2].map((ms) => context.timer(ms * msNs));
      pass(4 * msNs);
      expect(context.wait(0).map((each) => each.source)).toEqual([first!, second!, third!]);
    });

    test("a thousand of them come in order", () => {
      using context = new Context({ poller });
      const random = new Random(1);
      /** Between which two moments each is due: it was made between two looks at the clock. */
      const times = new Map<number, [from: number, to: number]>();
      while (times.size < 1000) {
        const ns = random.below(5 * msNs);
        const from = Bun.nanoseconds() + ns;
        times.set(context.timer(ns), [from, Bun.nanoseconds() + ns]);
      }
      const due = events(context, EventType.Timer, times.size).map((each) => each.source);
      expect(new Set(due).size).toBe(times.size);
      let latest = 0;
      for (const source of due) {
        const [from, to] = times.get(source)!;
        expect(to).toBeGreaterThanOrEqual(latest);
        latest = Math.max(latest, from);
      }
      expect(context.wait(0)).toEqual([]);
    });

    test("one that is closed is never due", () => {
      using context = new Context({ poller });
      const closed = context.timer(msNs);
      const periodic = context.timer(msNs, msNs);
      const kept = context.timer(2 * msNs);
      context.closeHandle(closed);
      context.closeHandle(periodic);
      pass(3 * msNs);
      expect(context.wait().map((each) => each.source)).toEqual([kept]);
      expect(codeOf(() => context.closeHandle(closed))).toBe("ECLOSED");
    });

    test("one that is closed in its own event is not due again", () => {
      using context = new Context({ poller });
      const ticking = context.timer(msNs, msNs);
      expect(event(context, EventType.Timer).source).toBe(ticking);
      context.closeHandle(ticking);
      const other = context.timer(3 * msNs);
      expect(context.wait().map((each) => each.source)).toEqual([other]);
    });

    test("messages and timers do not hold each other up", () => {
      using pair = new Pair({ context: { poller } });
      const { context } = pair;
      const timer = context.timer(0.1 * msNs, 0.1 * msNs);
      let ticks = 0;
      let round = 0;
      context.schedule(pair.client, "0");
      drive(
        "there were enough of both",
        [context],
        () => ticks >= 20 && round >= 200,
        (each) => {
          if (each.type === EventType.Timer) ticks += each.periods;
          if (each.type !== EventType.MessageRx) return;
          expect(each.message.text()).toBe(String(round));
          round += 1;
          context.schedule(each.connection, String(round));
        },
      );
      context.closeHandle(timer);
    });
  });
}

test("parts of a nanosecond do not count", () => {
  using context = new Context();
  const timer = context.timer(0.9, 0.9);
  expect(event(context, EventType.Timer)).toMatchObject({ source: timer, periods: 1 });
  // Without a period it was due once.
  expect(context.wait(0)).toEqual([]);
});

test("the shortest period there is", () => {
  using context = new Context();
  const timer = context.timer(1, 1);
  let periods = 0;
  for (let count = 0; count < 5; count++) periods += event(context, EventType.Timer).periods;
  expect(periods).toBeGreaterThanOrEqual(5);
  context.closeHandle(timer);
});

test("as far in the future as can be said", () => {
  using context = new Context();
  const timers = [
    context.timer(Number.MAX_SAFE_INTEGER),
    context.timer(0, Number.MAX_SAFE_INTEGER),
  ];
  expect(event(context, EventType.Timer)).toMatchObject({ source: timers[1]!, periods: 1 });
  expect(context.wait(0)).toEqual([]);
  for (const timer of timers) context.closeHandle(timer);
});

test("a time before now is refused", () => {
  using context = new Context();
  expect(codeOf(() => context.timer(-1))).toBe("EINVAL");
  expect(codeOf(() => context.timer(1, -1))).toBe("EINVAL");
  expect(context.wait(0)).toEqual([]);
});

test("each context has its own", () => {
  using first = new Context();
  using second = new Context();
  const timer = first.timer(0);
  expect(second.wait(0)).toEqual([]);
  expect(event(first, EventType.Timer).source).toBe(timer);
});
