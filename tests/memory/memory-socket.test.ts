/** Memory sockets between two processes: messages of all sizes, waiting, holding, closing. */

import { describe, expect, test } from "bun:test";
import type { End } from "../../src/index.ts";
import { ClientSocket, type Hold, ServerSocket } from "../../src/memory/index.ts";
import { passedMax } from "../../src/memory/passing.ts";
import { naps } from "../kit/census.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";
import { until, within } from "../kit/until.ts";
import { ask, MemoryStage } from "./stage.ts";

leaveNoTrace();

const ring = 65_536;
const longest = ring / 2 - 8;

describe("messages", () => {
  test("of every size come back as they went, those that are longer than the ring as well", async () => {
    await using stage = await MemoryStage.open({ role: "echo", options: { ring } });
    const client = await stage.client({ ring });
    expect(client.ringBytesMax).toBe(longest);
    const sizes = [0, 1, 7, 8, 9, 1000, longest - 1, longest, longest + 1, ring, 3 * ring, 5e6];
    for (const size of sizes) {
      const question = pattern(size);
      expect(Buffer.compare(await ask(client, question), question)).toBe(0);
    }
  });

  test("go as what they are given as, and are the caller's again at once", async () => {
    await using stage = await MemoryStage.open({ role: "echo" });
    const client = await stage.client();
    const bytes = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
    client.write(bytes);
    bytes.fill(65);
    client.write(bytes.subarray(1, 3));
    client.write(new Uint16Array([0x4242]));
    client.write(bytes.buffer);
    client.write("grüße");
    await until("all are back", () => client.texts.length === 5);
    expect(client.texts).toEqual([
      "\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b",
      "AA",
      "BB",
      "AAAAAAAA",
      "grüße",
    ]);
    expect(() => client.write(5 as never)).toThrow(TypeError);
  });

  test("in memory of their own and in the ring stay in order", async () => {
    await using stage = await MemoryStage.open({ role: "echo", options: { ring } });
    const client = new ClientSocket();
    const lengths: number[] = [];
    client.onData = (bytes) => {
      lengths.push(bytes.length);
    };
    await stage.connect(client, { ring });
    const sent = Array.from({ length: 30 }, (_, k) => (k % 3 === 0 ? longest + k : k));
    for (const length of sent) {
      const bytes = pattern(length);
      if (!client.write(bytes)) {
        await drained(client);
        expect(client.write(bytes)).toBe(true);
      }
    }
    await until("all are back", () => lengths.length === sent.length);
    expect(lengths).toEqual(sent);
  });

  test("that are too long are refused, and end the connection of who sends them all the same", async () => {
    await using stage = await MemoryStage.open({ role: "echo", options: { messageBytesMax: 100 } });
    const careful = await stage.client({ messageBytesMax: 50 });
    expect(() => careful.write(new Uint8Array(51))).toThrow(
      'EMSGSIZE: a message of 51 bytes for "pong"; 50 are allowed (messageBytesMax)',
    );
    expect(() => careful.reserve(51)).toThrow("EMSGSIZE");
    expect((await ask(careful, new Uint8Array(50))).length).toBe(50);
    for (const bytes of [101, 2_000_000]) {
      const careless = await stage.client();
      careless.write(new Uint8Array(bytes));
      await within("its end", careless.ended);
    }
    const { errors, ended } = await stage.reaches(
      "two have ended",
      (now) => now.ended.length === 2,
    );
    expect(ended).toEqual(["message_too_long", "message_too_long"]);
    expect(errors.join()).toContain("sent 101 bytes; 100 are allowed (messageBytesMax)");
    expect((await ask(careful, "still there")).length).toBe(11);
  });
});

/** Resolves when there is room again. */
async function drained(client: ClientSocket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  client.onDrain = () => resolve();
  await within("room", promise);
  client.onDrain = undefined;
}

describe("a reader that does not read", () => {
  test("makes the writer wait, who is told when there is room, and loses nothing", async () => {
    await using stage = await MemoryStage.open({ role: "count", options: { ring } });
    const client = await stage.client({ ring });
    await stage.reaches("it is there", (now) => now.open === 1);
    await stage.service.ask("pause");
    const bytes = pattern(1000);
    let taken = 0;
    while (client.write(bytes)) taken += 1;
    expect(taken).toBe(Math.floor(ring / 1008));
    expect(client.write(bytes)).toBe(false);
    let told = 0;
    client.onDrain = () => {
      told += 1;
    };
    // As long as nobody reads there is no room.
    await stage.progress();
    expect(told).toBe(0);
    await stage.service.ask("resume");
    await until("it is told", () => told === 1);
    expect(client.write(bytes)).toBe(true);
    const { messages } = await stage.reaches("all came", (now) => now.messages === taken + 1);
    expect(messages).toBe(taken + 1);
  });

  test("on both sides: nobody waits for ever, and nothing is lost", async () => {
    await using stage = await MemoryStage.open({ role: "echo", options: { ring } });
    const client = new ClientSocket();
    let back = 0;
    client.onData = (bytes) => {
      if (bytes.length !== 5000 || bytes[7] !== back % 251) throw new Error(`not ${back}`);
      back += 1;
    };
    const errors: unknown[] = [];
    client.onError = (error) => errors.push(error);
    await stage.connect(client, { ring });
    client.pause();
    for (let sent = 0; sent < 400; sent++) {
      const bytes = pattern(5000);
      bytes[7] = sent % 251;
      while (!client.write(bytes)) {
        client.resume();
        await drained(client);
        if (sent % 3 === 0) client.pause();
      }
    }
    client.resume();
    await until(
      () => `all are back: ${back}`,
      () => back === 400,
    );
    expect(errors).toEqual([]);
    expect((await stage.progress()).drains).toBeGreaterThan(0);
  });

  test("of messages in memory of their own makes the writer wait as well", async () => {
    await using stage = await MemoryStage.open({ role: "count", options: { ring } });
    const client = await stage.client({ ring });
    await stage.reaches("it is there", (now) => now.open === 1);
    await stage.service.ask("pause");
    let taken = 0;
    while (taken < 1000 && client.write(pattern(ring))) taken += 1;
    expect(taken).toBe(passedMax);
    const room = drained(client);
    await stage.service.ask("resume");
    await room;
    expect(client.write(pattern(ring))).toBe(true);
    await stage.reaches("all came", (now) => now.messages === passedMax + 1);
  });
});

describe("hold", () => {
  test("keeps a message until release, and the other side comes to wait", async () => {
    await using other = await MemoryStage.open({ role: "echo", options: { ring } });
    const client = new ClientSocket();
    const held: { bytes: Uint8Array; hold: Hold }[] = [];
    let heard = 0;
    client.onData = (bytes) => {
      heard += 1;
      if (heard <= 2) held.push({ bytes, hold: client.hold() });
    };
    await other.connect(client, { ring });
    // Three of them fit, and two of those are held.
    const third = Math.floor(ring / 3) - 8;
    for (let k = 0; k < 8; k++) {
      const bytes = new Uint8Array(third - (third % 8)).fill(k);
      if (!client.write(bytes)) {
        await drained(client);
        client.write(bytes);
      }
      if (k === 3) {
        await until("the first ones came", () => heard >= 3);
        // The fourth has no room as long as the first is held.
        await other.reaches("the fourth came", (now) => now.messages === 4);
        expect(heard).toBe(3);
        expect(held.map(({ bytes: kept }) => kept[0])).toEqual([0, 1]);
        expect(held.map(({ bytes: kept }) => kept.at(-1))).toEqual([0, 1]);
        held[1]!.hold.release();
        expect(held[0]!.bytes[0]).toBe(0);
        held[0]!.hold.release();
        held[0]!.hold.release();
      }
    }
    await until("all came", () => heard === 8);
  });

  test("within a handler only, or of what read() returned", async () => {
    await using stage = await MemoryStage.open({ role: "echo" });
    const client = new ClientSocket();
    expect(() => client.hold()).toThrow("ECLOSED");
    await stage.connect(client);
    expect(() => client.hold()).toThrow("EINVAL: hold() keeps the message that onData is given");
    client.write("one");
    const one = client.read()!;
    {
      using _ = client.hold();
      client.write("two");
      expect(new TextDecoder().decode(client.read()!)).toBe("two");
      expect(new TextDecoder().decode(one)).toBe("one");
    }
    expect(one.length).toBe(0);
  });

  test("of one that has ended is no error to release", async () => {
    await using stage = await MemoryStage.open({ role: "echo" });
    const client = new ClientSocket();
    const { promise, resolve } = Promise.withResolvers<Hold>();
    let kept = new Uint8Array();
    client.onData = (bytes) => {
      kept = bytes as Uint8Array<ArrayBuffer>;
      resolve(client.hold());
    };
    await stage.connect(client);
    client.write("one");
    const hold = await within("a message", promise);
    await client.close();
    hold.release();
    expect(kept.length).toBeLessThanOrEqual(3);
  });
});

describe("a view", () => {
  test("is good until the handler returns or first awaits", async () => {
    await using stage = await MemoryStage.open({ role: "echo" });
    const client = new ClientSocket();
    const lengths: number[] = [];
    client.onData = async (bytes) => {
      lengths.push(bytes.length);
      await Promise.resolve();
      lengths.push(bytes.length);
    };
    await stage.connect(client);
    client.write("hello");
    await until("it came", () => lengths.length === 2);
    expect(lengths).toEqual([5, 0]);
  });

  test("of what read() returned is good until the next read, whatever comes meanwhile", async () => {
    await using stage = await MemoryStage.open({ role: "echo", options: { ring } });
    const client = await stage.connect(new ClientSocket(), { ring });
    client.write("kept");
    const kept = client.read()!;
    for (let k = 0; k < 20; k++) client.write(new Uint8Array(5000).fill(k));
    await stage.reaches("more came", (now) => now.messages > 5);
    await Bun.sleep(0);
    expect(new TextDecoder().decode(kept)).toBe("kept");
    expect(client.read()?.[0]).toBe(0);
    expect(kept.length).toBe(0);
  });
});

test("what read() returned is not written over, where it lies in the ring", async () => {
  const env = { EARSHOT_POISON: "0" };
  await using stage = await MemoryStage.open({ role: "silent", options: { ring } }, { env });
  const client = await stage.client({ ring });
  client.write("kept");
  await stage.reaches("it is there", (now) => now.open === 1);
  await stage.service.ask("keep");
  await until("it goes on", () => client.texts.length === 1);
  // It has had its turn of Bun's loop by the time it answers.
  await stage.progress();
  for (const length of [1000, 8]) while (client.write(new Uint8Array(length).fill(120)));
  expect(await stage.service.ask<string>("kept")).toBe("kept");
});

describe("reserve", () => {
  test("gives room that commit sends, all of it or its beginning", async () => {
    await using stage = await MemoryStage.open({ role: "echo" });
    const client = await stage.client();
    client.reserve(5)!.set(new TextEncoder().encode("whole"));
    client.commit();
    client.reserve(100)!.set(new TextEncoder().encode("beginning and more"));
    client.commit(9);
    expect(client.reserve(0)!.length).toBe(0);
    client.commit();
    await until("all came back", () => client.texts.length === 3);
    expect(client.texts).toEqual(["whole", "beginning", ""]);
  });

  test("lets nothing else be written before commit or discard", async () => {
    await using stage = await MemoryStage.open({ role: "echo" });
    const client = await stage.client();
    const room = client.reserve(5)!;
    room.set(new TextEncoder().encode("first"));
    for (const bytes of ["other", new Uint8Array(2_000_000)]) {
      expect(() => client.write(bytes)).toThrow("EBUSY: room is reserved for a message; commit()");
    }
    client.commit();
    client.write("second");
    client.reserve(3);
    client.discard();
    client.write("third");
    client.reserve(3);
    client.reserve(6)!.set(new TextEncoder().encode("fourth"));
    client.commit();
    await until("all came back", () => client.texts.length === 4);
    expect(client.texts).toEqual(["first", "second", "third", "fourth"]);
  });

  test("says what is wrong with what it is given", async () => {
    await using stage = await MemoryStage.open({ role: "echo", options: { ring } });
    const client = await stage.client({ ring });
    for (const bytes of [-1, 1.5, Number.NaN, "5" as never]) {
      expect(() => client.reserve(bytes)).toThrow("EINVAL: a message has a whole number of bytes");
    }
    expect(() => client.reserve(longest + 1)).toThrow(
      `EMSGSIZE: a message of ${longest + 1} bytes for "pong"; ${longest} are allowed; write() passes`,
    );
    expect(() => client.commit()).toThrow("EINVAL: no bytes are reserved");
    client.reserve(5);
    for (const bytes of [6, -1, 1.5]) {
      expect(() => client.commit(bytes)).toThrow(
        `EINVAL: 5 bytes are reserved, and ${bytes} to be`,
      );
    }
    client.commit(5);
    expect(() => client.commit(5)).toThrow("EINVAL: no bytes are reserved");
  });

  test("has no room in a ring that is full, and tells when it has", async () => {
    await using stage = await MemoryStage.open({ role: "count", options: { ring } });
    const client = await stage.client({ ring });
    await stage.reaches("it is there", (now) => now.open === 1);
    await stage.service.ask("pause");
    for (let k = 0; k < 2; k++) {
      expect(client.reserve(longest)?.length).toBe(longest);
      client.commit();
    }
    expect(client.reserve(longest)).toBeUndefined();
    const room = drained(client);
    await stage.service.ask("resume");
    await room;
    expect(client.reserve(longest)?.length).toBe(longest);
  });
});

describe("cork", () => {
  test("shows what was written when it is over, and returns what that returned", async () => {
    await using stage = await MemoryStage.open({ role: "echo" });
    const client = await stage.client();
    const returned = client.cork(() => {
      for (let k = 0; k < 100; k++) client.write(`${k}`);
      return client.cork(() => client.write("inner"));
    });
    expect(returned).toBe(true);
    await until("all are back", () => client.texts.length === 101);
    expect(client.texts.at(99)).toBe("99");
    expect(client.texts.at(-1)).toBe("inner");
  });

  test("shows more than 16 KiB at once, and what was written when something is thrown", async () => {
    await using stage = await MemoryStage.open({ role: "count" });
    const client = await stage.client();
    const { promise, resolve } = Promise.withResolvers<void>();
    client.cork(() => {
      for (let k = 0; k < 40; k++) client.write(new Uint8Array(1000));
      resolve();
    });
    await promise;
    await stage.reaches("all came", (now) => now.messages === 40);
    expect(() =>
      client.cork(() => {
        client.write("last");
        throw new Error("on purpose");
      }),
    ).toThrow("on purpose");
    await stage.reaches("the last one came", (now) => now.messages === 41);
  });
});

describe("pause", () => {
  test("hands out nothing until resume, and then everything in order", async () => {
    await using stage = await MemoryStage.open({ role: "echo" });
    const client = new ClientSocket();
    const texts: string[] = [];
    client.onData = (bytes) => {
      texts.push(new TextDecoder().decode(bytes));
      if (texts.length === 3) client.pause();
    };
    await stage.connect(client);
    client.cork(() => {
      for (let k = 0; k < 10; k++) client.write(`${k}`);
    });
    await stage.reaches("all came", (now) => now.messages === 10);
    await until("three are back", () => texts.length === 3);
    await Bun.sleep(5);
    expect(texts.length).toBe(3);
    client.resume();
    await until("all are back", () => texts.length === 10);
    expect(texts).toEqual(Array.from({ length: 10 }, (_, k) => `${k}`));
  });

  test("of one that is gone loses nothing, even if it is paused again", async () => {
    await using stage = await MemoryStage.open({
      role: "echo",
      greetings: Array.from({ length: 1000 }, (_, k) => `${k}`),
      leave: true,
    });
    const client = new ClientSocket();
    let heard = 0;
    const { promise, resolve } = Promise.withResolvers<End>();
    client.onData = () => {
      heard += 1;
      client.pause();
    };
    client.onClose = resolve;
    client.pause();
    await stage.connect(client);
    expect((await within("its end", promise)).reason).toBe("peer_closed");
    expect(heard).toBe(1000);
  });
});

describe("what is written before the end", () => {
  test("by a service that closes at once comes to the client", async () => {
    const greetings = Array.from({ length: 300 }, (_, k) => `greeting ${k}`);
    await using stage = await MemoryStage.open({ role: "silent", greetings, leave: true });
    for (let round = 0; round < 10; round++) {
      const client = await stage.client();
      expect((await within("its end", client.ended)).reason).toBe("peer_closed");
      expect(client.texts).toEqual(greetings);
    }
  });

  test("by a client that closes comes to the service", async () => {
    await using stage = await MemoryStage.open({ role: "count" });
    const client = await stage.client();
    for (let k = 0; k < 5000; k++) expect(client.write(`${k}`)).toBe(true);
    expect((await Promise.all([client.close(), client.ended]))[1].reason).toBe("closed");
    const { messages, ended } = await stage.reaches(
      "it has ended",
      (now) => now.ended.length === 1,
    );
    expect({ messages, ended }).toEqual({ messages: 5000, ended: ["peer_closed"] });
  });

  test("in memory of its own comes as well", async () => {
    await using stage = await MemoryStage.open({ role: "count", options: { ring } });
    const client = await stage.client({ ring });
    for (let k = 0; k < passedMax; k++) {
      expect(client.write(new Uint8Array(ring + k))).toBe(true);
    }
    await client.close();
    await stage.reaches("all came", (now) => now.messages === passedMax && now.ended.length === 1);
  });

  test("is read by who reads, to the end", async () => {
    await using stage = await MemoryStage.open({ role: "silent" });
    const client = await stage.connect(new ClientSocket());
    await stage.reaches("it is there", (now) => now.open === 1);
    await stage.service.ask("writeAndClose", 100);
    await until("it is gone", () => !client.open);
    for (let k = 0; k < 100; k++) {
      expect(new TextDecoder().decode(client.read()!)).toBe(`message ${k}`);
    }
    expect(() => client.write("too late")).toThrow("ECLOSED");
    expect(client.read()).toBeNull();
    expect(client.read()).toBeNull();
    expect((await client.ended).reason).toBe("peer_closed");
  });

  test("and not read stops at close in a handler", async () => {
    await using stage = await MemoryStage.open({ role: "echo" });
    const client = new ClientSocket();
    let heard = 0;
    client.onData = (bytes) => {
      heard += 1;
      if (heard < 5) return;
      void client.close();
      // It lies in the ring still.
      expect(bytes.length).toBe(1);
    };
    const errors: unknown[] = [];
    client.onError = (error) => errors.push(error);
    await stage.connect(client);
    client.cork(() => {
      for (let k = 0; k < 100; k++) client.write("x");
    });
    expect((await within("its end", client.ended)).reason).toBe("closed");
    expect({ heard, errors }).toEqual({ heard: 5, errors: [] });
    expect(() => client.write("x")).toThrow(
      'ECLOSED: the memory socket of "pong" is closed (closed)',
    );
    await stage.reaches("the service knows", (now) => now.open === 0);
  });
});

describe("a client", () => {
  test("that only writes is told when the service is gone", async () => {
    await using stage = await MemoryStage.open({ role: "count" });
    const client = new ClientSocket();
    const { promise, resolve } = Promise.withResolvers<End>();
    client.onClose = resolve;
    await stage.connect(client);
    client.write("one way");
    await stage.reaches("it came", (now) => now.messages === 1);
    await stage.service.kill();
    await within("its end", promise);
    expect(client.open).toBe(false);
  });

  test("that hears late misses nothing", async () => {
    await using stage = await MemoryStage.open({ role: "echo" });
    const client = await stage.connect(new ClientSocket());
    client.write("one");
    client.write("two");
    await stage.reaches("both came", (now) => now.messages === 2);
    await Bun.sleep(5);
    const texts: string[] = [];
    client.onData = (bytes) => {
      texts.push(new TextDecoder().decode(bytes));
    };
    await until("both are back", () => texts.length === 2);
    expect(texts).toEqual(["one", "two"]);
  });

  test("is heard by a service that hears late", async () => {
    await using stage = await MemoryStage.open({ role: "silent" });
    const client = await stage.client();
    client.write("early");
    await stage.reaches("it is there", (now) => now.open === 1);
    await stage.service.ask("hear");
    await stage.reaches("it came", (now) => now.messages === 1);
  });

  test("is one of many, and all are served", async () => {
    await using stage = await MemoryStage.open({ role: "echo", options: { ring } });
    const clients = await Promise.all(Array.from({ length: 40 }, () => stage.client({ ring })));
    for (let round = 0; round < 20; round++) {
      for (const [k, client] of clients.entries()) client.write(`${k} ${round}`);
      await until("all are back", () => clients.every(({ texts }) => texts.length === round + 1));
    }
    for (const [k, { texts }] of clients.entries()) {
      expect(texts).toEqual(Array.from({ length: 20 }, (_, round) => `${k} ${round}`));
    }
  });

  test("throws what a handler throws to onError, and goes on", async () => {
    await using stage = await MemoryStage.open({ role: "echo" });
    const client = new ClientSocket();
    const errors: string[] = [];
    let heard = 0;
    client.onError = (error) => errors.push((error as Error).message);
    client.onData = (bytes) => {
      heard += 1;
      if (heard === 1) throw new Error("at once");
      if (heard === 2) return Promise.reject(new Error("later"));
      expect(bytes.length).toBe(5);
      return Promise.resolve();
    };
    await stage.connect(client);
    for (let k = 0; k < 3; k++) client.write("hello");
    await until("all came", () => heard === 3 && errors.length === 2);
    expect(errors).toEqual(["at once", "later"]);
  });
});

describe("read", () => {
  /** Reads in vain, and holds up this thread, until `condition` holds; false if that is never. */
  function readsUntil(client: ClientSocket, condition: () => boolean): boolean {
    const giveUpAt = performance.now() + 20_000;
    while (!condition() && performance.now() < giveUpAt) client.read({ timeout: 20 });
    return condition();
  }

  test("tells of room meanwhile, which what was written before has not found", async () => {
    await using stage = await MemoryStage.open({ role: "count", options: { ring } });
    const client = await stage.connect(new ClientSocket(), { ring });
    let left = 200;
    const push = () => {
      while (left > 0 && client.write(new Uint8Array(3000))) left -= 1;
    };
    client.onDrain = push;
    push();
    expect(left).toBeGreaterThan(0);
    expect(readsUntil(client, () => left === 0)).toBe(true);
    await stage.reaches("all came", (now) => now.messages === 200);
  });

  /** Another socket of this thread, which answers each echo until it has heard so many. */
  async function talker(stage: MemoryStage, count: number) {
    const socket = await stage.connect(new ClientSocket(), { ring });
    const one = { heard: 0, begin: () => void socket.write("first") };
    socket.onData = () => {
      one.heard += 1;
      if (one.heard < count) socket.write("again");
    };
    return one;
  }

  test("keeps no other socket of this thread from what comes to it", async () => {
    await using stage = await MemoryStage.open({ role: "echo", options: { ring } });
    const other = await talker(stage, 200);
    const client = await stage.connect(new ClientSocket(), { ring });
    other.begin();
    expect(readsUntil(client, () => other.heard === 200)).toBe(true);
  });

  test("keeps none from it while it looks for long", async () => {
    await using stage = await MemoryStage.open({ role: "echo", options: { ring } });
    const other = await talker(stage, 20);
    const client = await stage.connect(new ClientSocket(), { ring, spin: 60e9 });
    other.begin();
    expect(client.read({ timeout: 2000 })).toBeUndefined();
    expect(other.heard).toBe(20);
  });

  test("that waits, and is ended by a kill, had read all there was", async () => {
    await using stage = await MemoryStage.open({ role: "sync-echo", options: { ring } });
    const client = await stage.connect(new ClientSocket(), { ring });
    await stage.reaches("it is there", (now) => now.open === 1);
    for (let k = 0; k < 3; k++) client.write("a word");
    stage.service.ask("readToEnd").catch(() => undefined);
    await until("all was read", () => client.side.traffic!.outgoing.isAllRead);
    process.kill(stage.service.pid, "SIGKILL");
    expect((await within("its end", client.ended)).reason).toBe("peer_closed");
  });

  test("waits for a message, for a time, and for the end", async () => {
    await using stage = await MemoryStage.open({ role: "sync-echo" });
    const client = await stage.connect(new ClientSocket(), { spin: 0 });
    await stage.reaches("it is there", (now) => now.open === 1);
    expect(client.read({ timeout: 0 })).toBeUndefined();
    expect(client.read({ timeout: 5 })).toBeUndefined();
    const sent = stage.service.ask<number>("echo", 200);
    for (let k = 0; k < 200; k++) {
      client.write(pattern(k * 10));
      const back = client.read()!;
      expect(Buffer.compare(back, pattern(k * 10))).toBe(0);
    }
    expect(await sent).toBe(200);
    const texts = stage.service.ask<string[]>("readToEnd");
    client.write("one");
    client.write("two");
    await client.close();
    expect(await texts).toEqual(["one", "two"]);
    expect(client.read()).toBeNull();
  });

  test("waits for what was passed as well", async () => {
    await using stage = await MemoryStage.open({ role: "echo", options: { ring } });
    const client = await stage.connect(new ClientSocket(), { ring, spin: 0 });
    for (let k = 1; k < 10; k++) {
      const bytes = pattern(ring * k);
      expect(client.write(bytes)).toBe(true);
      expect(Buffer.compare(client.read()!, bytes)).toBe(0);
    }
  });

  test("ends when the other side is killed, though nothing else was done since connect", async () => {
    await using stage = await MemoryStage.open({ role: "silent" });
    const client = new ClientSocket();
    await stage.connect(client);
    process.kill(stage.service.pid, "SIGKILL");
    expect(client.read()).toBeNull();
    await stage.service.exited;
  });

  test("sleeps through while nothing comes, and wakes for a message, for one that is passed, and for the end", async () => {
    await using stage = await MemoryStage.open({ role: "silent", options: { ring } });
    const client = new ClientSocket();
    await stage.connect(client, { ring });
    const texts = stage.service.ask<string[]>("readToEnd");
    const { pid } = stage.service;
    let before = -1;
    const sleeps = async () => {
      before = naps(pid);
      await Bun.sleep(50);
      return naps(pid) === before;
    };
    await until("it sleeps", sleeps);
    await Bun.sleep(200);
    expect(naps(pid)).toBe(before);
    client.write("one");
    await until("it sleeps again", sleeps);
    client.write(pattern(2 * ring));
    await until("it sleeps once more", sleeps);
    await client.close();
    const [one, passed, ...none] = await texts;
    expect({ one, passed: passed!.length > ring, none }).toEqual({
      one: "one",
      passed: true,
      none: [],
    });
  });

  test("within a handler that others wait for is refused", async () => {
    using scratch = new Scratch();
    await using server = new ServerSocket();
    const { promise, resolve } = Promise.withResolvers<unknown>();
    server.onConnection = (socket) => {
      try {
        socket.read();
      } catch (error) {
        resolve(error);
      }
    };
    await server.listen("pong", { rundir: scratch.path });
    await using client = new ClientSocket();
    await client.connect("pong", { rundir: scratch.path });
    expect(await within("an error", promise)).toMatchObject({ code: "EBUSY" });
  });

  test("is for sockets without a handler, that are connected", async () => {
    await using stage = await MemoryStage.open({ role: "echo" });
    const client = await stage.client();
    expect(() => client.read()).toThrow("EINVAL: messages go to onData");
    expect(() => new ClientSocket().read()).toThrow("ECLOSED");
    expect(() => new ClientSocket().write("x")).toThrow(
      'ECLOSED: the memory socket of "" is not connected yet',
    );
  });
});
