/** Numbers and names that users give: what is none, or out of its bounds, is refused before it means something else. */

import { describe, expect, test } from "bun:test";
import type { ConnectOptions, ContextOptions, ServiceOptions } from "../../src/index.ts";
import { Context, connect, IpcError, serve } from "../../src/index.ts";
import { EventType } from "../../src/native/layout.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { event, Pair } from "../kit/pair.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

const none = [Number.NaN, "5", null, 5n, {}, Symbol("five")] as unknown as number[];

function refuses(name: string, call: () => unknown): void {
  expect(call).toThrow(IpcError);
  expect(call).toThrow(`EINVAL: ${name} is `);
}

async function refusesLater(name: string, call: () => Promise<unknown>): Promise<void> {
  const error = await call().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(IpcError);
  expect((error as IpcError).message).toStartWith(`EINVAL: ${name} is `);
}

describe("a context", () => {
  const wrong: [string, ContextOptions[]][] = [
    ["spin", [-1, Infinity, ...none.filter((each) => each !== null)].map((spin) => ({ spin }))],
    ["rundir", [{ rundir: 5 as unknown as string }]],
  ];
  for (const [name, options] of wrong) {
    test(name, () => {
      for (const given of options) {
        refuses(name, () => {
          using context = new Context(given);
          context.path("x");
        });
      }
    });
  }

  test("a wait of no number, which would never end", () => {
    using context = new Context();
    for (const timeout of none) refuses("timeout", () => context.wait(timeout));
  });

  test("a wait that is longer than any number of nanoseconds", () => {
    using context = new Context();
    context.timer(1e6);
    expect(context.wait(Number.MAX_VALUE)).toHaveLength(1);
  });

  test("a timer", () => {
    using context = new Context();
    for (const wrong of [-1, Infinity, 2 ** 60, ...none]) {
      refuses("first", () => context.timer(wrong));
      refuses("period", () => context.timer(1, wrong));
    }
  });

  test("a descriptor", () => {
    using context = new Context();
    for (const wrong of [-1, 0.5, 2 ** 32, Infinity, ...none]) {
      refuses("descriptor", () => context.external(wrong));
    }
  });

  test("a handle: one that wraps around would be another's, or the context's", () => {
    using pair = new Pair();
    const { context } = pair;
    const undefinable = undefined as unknown as number;
    for (const wrong of [-1, 0.5, 2 ** 32, pair.client + 2 ** 32, ...none]) {
      refuses("handle", () => context.statistics(wrong));
    }
    for (const wrong of [-1, 0.5, pair.client + 2 ** 32, undefinable, ...none]) {
      refuses("handle", () => context.schedule(wrong, "x"));
      refuses("handle", () => context.write(wrong, "x"));
      refuses("handle", () => context.pause(wrong));
      refuses("handle", () => context.closeHandle(wrong));
      refuses("handle", () => context.peer(wrong));
      refuses("handle", () => context.peerProcess(wrong));
    }
    context.schedule(pair.client, "still there");
    expect(event(context, EventType.MessageRx).message.text()).toBe("still there");
  });

  test("what is to be reported", () => {
    using pair = new Pair();
    for (const report of [-1, 0.5, 2 ** 32, ...none]) {
      refuses("report", () => pair.context.schedule(pair.client, "x", { report }));
    }
  });
});

describe("a service", () => {
  const numbers: [keyof ServiceOptions, number[]][] = [
    ["mode", [-1, 0o1000, 0.5, 2 ** 32]],
    ["backlog", [-1, 0, 0.5, 2 ** 31, 2 ** 32 + 1, Infinity]],
  ];
  for (const [name, wrong] of numbers) {
    test(name, () => {
      using context = new Context();
      for (const value of [...wrong, ...none.filter((each) => each !== null)]) {
        refuses(name, () => context.serve("x", { [name]: value }));
      }
    });
  }

  for (const list of ["users", "groups"] as const) {
    test(`allow.${list}: nobody is let in for another whose number is the same but for its upper bits`, () => {
      using scratch = new Scratch();
      using context = new Context({ rundir: scratch.path });
      const wrong = [2 ** 32, 2 ** 32 + process.geteuid!(), -1, 0.5, ...none];
      for (const value of wrong) {
        refuses(`allow.${list}`, () => context.serve("x", { allow: { [list]: [value] } }));
      }
      refuses(`allow.${list}`, () => context.serve("x", { allow: { [list]: 5 } as never }));
      expect(scratch.entries()).toEqual([]);
      context.serve("x", { allow: { [list]: [0, 2 ** 32 - 1] } });
    });
  }

  test("a name", async () => {
    using context = new Context();
    for (const wrong of [...none.filter((each) => each !== ("5" as never)), undefined]) {
      const name = wrong as unknown as string;
      refuses("name", () => context.serve(name));
      refuses("name", () => context.connect(name));
      refuses("name", () => context.path(name));
      await refusesLater("name", () => connect(name));
      await refusesLater("name", async () => serve(name, {}));
    }
  });
});

describe("times in milliseconds", () => {
  const wrong = [Number.NaN, -1, -Infinity, "5" as unknown as number];

  test("to wait for a service: by hand", () => {
    using pair = new Pair();
    for (const timeout of wrong)
      refuses("timeout", () => pair.context.connect("self", { timeout }));
    for (const timeout of [0, 2 ** 31, Infinity]) pair.context.connect("self", { timeout });
  });

  test("to wait for a service, and until it is looked for again", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    await using service = await serve("s", {}, { rundir });
    const tries: [string, (value: number) => ConnectOptions][] = [
      ["timeout", (timeout) => ({ timeout })],
      ["reconnect.first", (first) => ({ reconnect: { first } })],
      ["reconnect.most", (most) => ({ reconnect: { most } })],
      ["reconnect.attempts", (attempts) => ({ reconnect: { attempts } })],
    ];
    for (const [name, options] of tries) {
      for (const value of wrong) {
        await refusesLater(name, () => connect("s", { ...options(value), rundir }));
      }
      for (const value of [2 ** 31, Infinity]) {
        await using _ = await connect("s", { ...options(value), rundir });
      }
    }
    // What was refused had not connected.
    const accepted = () => service.statistics().connectionsAccepted;
    await until("the service has accepted all", () => accepted() >= 2 * tries.length);
    expect(accepted()).toBe(2 * tries.length);
  });

  test("to wait for an answer", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const heard: string[] = [];
    await using _ = await serve(
      "s",
      {
        message(connection, message) {
          heard.push(message.text());
          connection.send(message.bytes);
        },
      },
      { rundir },
    );
    await using client = await connect("s", { rundir });
    for (const timeout of wrong) {
      await refusesLater("timeout", () => client.request("refused", { timeout }));
    }
    for (const timeout of [2 ** 31 - 1, 2 ** 31, 2 ** 40, Infinity]) {
      expect((await client.request(`${timeout}`, { timeout })).text()).toBe(`${timeout}`);
    }
    expect(heard).not.toContain("refused");
  });
});

test("a timer of the longest time is kept as such", () => {
  using context = new Context();
  context.timer(Number.MAX_SAFE_INTEGER);
  const soon = context.timer(1);
  expect(event(context, EventType.Timer).source).toBe(soon);
});
