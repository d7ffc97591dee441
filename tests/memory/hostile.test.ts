/** What the other side does that it should not: it ends its own connection, with a clear error, and nothing else. */

import { describe, expect, test } from "bun:test";
import { closeSync, constants, openSync } from "node:fs";
import type { End } from "../../src/index.ts";
import { connect, serve } from "../../src/index.ts";
import { ClientSocket, type ServerConnection, ServerSocket } from "../../src/memory/index.ts";
import { passedHeldMax, passedMax } from "../../src/memory/passing.ts";
import { kinds, memoryConstants } from "../../src/native/memory-layout.ts";
import { Segment, value } from "../../src/native/shared-memory.ts";
import { vectorBytes } from "../kit/bytes.ts";
import { canCount, descriptorCount } from "../kit/census.ts";
import { Child } from "../kit/child.ts";
import { frame, header, join } from "../kit/frames.ts";
import { mapsOf } from "../kit/maps.ts";
import { type Answer, MemoryHost } from "../kit/memory-host.ts";
import { hello, MemoryPeer } from "../kit/memory-peer.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { Scratch } from "../kit/scratch.ts";
import { until, within } from "../kit/until.ts";
import vectors from "../vectors/hellos.json" with { type: "json" };
import ringVectors from "../vectors/rings.json" with { type: "json" };
import { ask, MemoryStage } from "./stage.ts";

leaveNoTrace();

const ring = 65_536;

const isLinux = process.platform === "linux";

/** The same memory, opened in another way, as Linux can; the descriptor that is given is closed. */
function reopened(descriptor: number, flags: number): number {
  try {
    return openSync(`/proc/self/fd/${descriptor}`, flags);
  } finally {
    closeSync(descriptor);
  }
}

/** Somebody who is served all the while. */
async function isServed(stage: MemoryStage): Promise<void> {
  const bystander = await stage.client({ ring });
  for (let k = 0; k < 5; k++) {
    expect(new TextDecoder().decode(await ask(bystander, `still ${k}`))).toBe(`still ${k}`);
  }
  await bystander.close();
}

/** A service that is served beside `act`, and has its descriptors and its memory again after it. */
async function onStage(act: (stage: MemoryStage) => Promise<void>): Promise<MemoryStage> {
  const stage = await MemoryStage.open({ role: "echo", options: { ring } });
  try {
    await isServed(stage);
    await stage.reaches("the bystander left", ({ open }) => open === 0);
    type Census = { descriptors: Record<string, number>; maps: number };
    const before = await stage.service.ask<Census>("census");
    await act(stage);
    await isServed(stage);
    await stage.reaches("all have left", ({ open }) => open === 0);
    let after = before;
    await until(
      () => `${JSON.stringify(after)} is ${JSON.stringify(before)} again`,
      async () => {
        after = await stage.service.ask<Census>("census");
        const same = Bun.deepEquals(after.descriptors, before.descriptors);
        return same && after.maps <= before.maps;
      },
    );
  } catch (error) {
    await stage[Symbol.asyncDispose]();
    throw error;
  }
  return stage;
}

/** What is told of a client in this process that broke the rules before it was in. */
function turnedAway(reason: End["reason"]): string {
  const who = `user ${process.getuid!()}, process ${process.pid}`;
  return `EMALFORMED: a client of "pong" was refused: ${reason} (${who})`;
}

describe("a client that", () => {
  test("says nothing is refused when its time is up", async () => {
    await using stage = await MemoryStage.open({ role: "echo", options: { helloTimeout: 20 } });
    await using peer = await MemoryPeer.connect("pong", stage.rundir);
    await within("its end", peer.link.ended);
    expect(peer.heard).toEqual([
      '{"memory":1,"error":{"code":"EPROTO","message":"no hello came in time"}}',
    ]);
    const { errors } = await stage.reaches("it was told", (now) => now.errors.length === 1);
    expect(errors).toEqual(['EMALFORMED: a client of "pong" was refused: no hello came in time']);
    await isServed(stage);
  });

  test.each(vectors.malformed)("says $what is refused", async (vector) => {
    await using stage = await MemoryStage.open({ role: "echo" });
    await using peer = await MemoryPeer.connect("pong", stage.rundir);
    peer.say(vectorBytes(vector));
    expect((await within("its end", peer.link.ended)).reason).toBe("peer_closed");
    const refusal = { memory: 1, error: { code: "EPROTO", message: vector.why } };
    expect(peer.heard.map((one) => JSON.parse(one))).toEqual([refusal]);
    const { errors } = await stage.reaches("it was told", (now) => now.errors.length === 1);
    expect(errors).toEqual([`EMALFORMED: a client of "pong" was refused: ${vector.why}`]);
    await isServed(stage);
  });

  const strays: [string, Uint8Array, End["reason"]][] = [
    ["more than any hello", frame(new Uint8Array(5000).fill(32)), "message_too_long"],
    ["that it will say more than anybody", header(0xffffffff), "message_too_long"],
    ["so behind its hello", join([frame(hello), header(0xffffffff)]), "message_too_long"],
    ["half of its hello", frame(hello).subarray(0, 20), "truncated"],
  ];

  test.each(strays)("says %s is dropped, and told of", async (_, bytes, reason) => {
    await using _stage = await onStage(async (stage) => {
      using peer = await RawPeer.connect(`${stage.rundir}/pong.memory`);
      peer.write(bytes);
      await peer.written();
      if (reason === "truncated") peer.endWriting();
      await peer.gone();
      expect(peer.payloads).toEqual([]);
      const { errors } = await stage.reaches("it was told", (now) => now.errors.length > 0);
      expect(errors).toEqual([turnedAway(reason)]);
    });
  });

  const leavers: [string, (peer: RawPeer) => void][] = [
    ["leaves", (peer) => peer.close()],
    ["ends its side", (peer) => peer.endWriting()],
    [
      "says hello and leaves",
      (peer) => {
        peer.write(frame(hello));
        peer.close();
      },
    ],
  ];

  test.each(leavers)("%s has broken no rule", async (_, leave) => {
    await using stage = await onStage(async ({ rundir }) => {
      using peer = await RawPeer.connect(`${rundir}/pong.memory`);
      leave(peer);
      await peer.gone();
    });
    expect((await stage.progress()).errors).toEqual([]);
  });

  test("sends more descriptors with its hello than one is dropped, and told of", async () => {
    await using _ = await onStage(async (stage) => {
      const file = openSync("/dev/null", "r");
      await using peer = await MemoryPeer.connect("pong", stage.rundir);
      peer.say(hello, [file, file]);
      closeSync(file);
      await within("its end", peer.link.ended);
      const { errors } = await stage.reaches("it was told", (now) => now.errors.length > 0);
      expect(errors).toEqual([turnedAway("descriptors_too_many")]);
    });
  });

  test("sends descriptors with its hello, which are closed", async () => {
    await using _ = await onStage(async (stage) => {
      const file = openSync("/dev/null", "r");
      await using peer = await MemoryPeer.connect("pong", stage.rundir);
      peer.say(hello, [file]);
      closeSync(file);
      await until("it is welcome", () => peer.heard.length === 1);
    });
  });

  test("says hello twice is dropped", async () => {
    await using stage = await onStage(async ({ rundir }) => {
      await using peer = await MemoryPeer.begin("pong", rundir);
      peer.say(hello);
      await within("its end", peer.link.ended);
    });
    const { errors, ended } = await stage.progress();
    expect(ended).toContain("malformed");
    expect(errors.join()).toContain("the other side has said what means nothing here");
  });

  test("asks for more than there is gets what there is", async () => {
    await using stage = await MemoryStage.open({ role: "echo", options: { ring } });
    const client = await stage.client({ ring: { up: 2 ** 20, down: 2 ** 18 } });
    expect(client.ringBytesMax).toBe(ring / 2 - 8);
  });

  const passing: [string, (peer: MemoryPeer) => void, End["reason"]?][] = [
    [
      "passes memory whose size and bytes may change",
      (peer) => {
        const file = openSync("/dev/zero", "r");
        peer.passBy(file, 100_000);
      },
    ],
    ["passes memory whose bytes may change", (peer) => peer.passBy(Segment.create(ring), 131_072)],
    [
      "passes memory of another size",
      (peer) => peer.passBy(value.create(new Uint8Array(100_000)), 100_001),
    ],
    [
      "passes what its ring would take",
      (peer) => peer.passBy(value.create(new Uint8Array(1000)), 1000),
    ],
    ["passes no bytes", (peer) => peer.passBy(value.create(new Uint8Array(100_000)), 0)],
    [
      "passes far too much",
      (peer) => peer.passBy(value.create(new Uint8Array(9)), 2 ** 31),
      "message_too_long",
    ],
    [
      "promises descriptors, which nobody asked for",
      (peer) => {
        peer.writer.commit(8, kinds.attended);
        peer.writer.publish();
        peer.say("");
      },
      "descriptors_unasked",
    ],
    [
      "sends descriptors, which nobody asked for",
      (peer) => peer.say("descriptors", [1]),
      "descriptors_unasked",
    ],
    [
      "passes what has no length",
      (peer) => {
        peer.writer.commit(7, 1);
        peer.writer.publish();
        peer.say("");
      },
    ],
    [
      "writes what is of no kind",
      (peer) => {
        peer.writer.commit(8, 4);
        peer.writer.publish();
        peer.say("");
      },
    ],
    [
      "passes more than may be on its way",
      (peer) => {
        const descriptor = value.create(new Uint8Array(100_000));
        for (let k = 0; k <= passedMax; k++) peer.say("value", [descriptor]);
        closeSync(descriptor);
      },
    ],
    ["says that it passes something, without a descriptor", (peer) => peer.say("value")],
    ["says something else", (peer) => peer.say("valuf")],
    ["says with a descriptor that it closes", (peer) => peer.say("end", [1])],
  ];

  test.each(passing)("%s ends its own connection", async (_, act, reason = "malformed") => {
    await using stage = await onStage(async ({ rundir }) => {
      await using peer = await MemoryPeer.begin("pong", rundir);
      peer.write("before");
      await until("it is answered", () => peer.reader.ready);
      act(peer);
      await within("its end", peer.link.ended);
    });
    const { ended, errors } = await stage.progress();
    expect(ended.filter((why) => why === reason).length).toBe(1);
    expect(errors.length).toBe(1);
    expect(errors[0]).toStartWith('EMALFORMED: the memory socket of "pong" was closed: ');
  });

  test.skipIf(!isLinux)("passes memory that cannot be read ends its own connection", async () => {
    await using stage = await onStage(async ({ rundir }) => {
      await using peer = await MemoryPeer.begin("pong", rundir);
      const memory = value.create(new Uint8Array(100_000));
      peer.passBy(reopened(memory, constants.O_WRONLY), 100_000);
      await within("its end", peer.link.ended);
    });
    const { ended, errors } = await stage.progress();
    expect(ended.filter((why) => why === "malformed").length).toBe(1);
    expect(errors.join()).toMatch(/it cannot be mapped, .* open for reading or writing alone$/);
  });

  test("promises a message and never brings it is waited for where there is no stallTimeout", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const texts: string[] = [];
    await using _ = await serve(
      "pong",
      { message: (_connection, message) => void texts.push(message.text()) },
      { rundir, memory: true, stallTimeout: 0 },
    );
    await using peer = await MemoryPeer.begin("pong", rundir);
    await using other = await connect("pong", { rundir, transport: "memory" });
    peer.promise(kinds.passed, 100_000);
    other.send("meanwhile");
    await until("others are heard", () => texts.length === 1);
    expect(peer.link.open).toBe(true);
    peer.bring(new Uint8Array(100_000).fill(65));
    await until("it is heard in the end", () => texts.length === 2);
    expect(texts[1]!.length).toBe(100_000);
  });

  test("says again and again that it sleeps, and hears nothing that wakes it, is dropped", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using server = new ServerSocket();
    const { promise, resolve } = Promise.withResolvers<ServerConnection>();
    server.onConnection = resolve;
    await server.listen("pong", { rundir, ring });
    await using peer = await MemoryPeer.begin("pong", rundir);
    const socket = await promise;
    peer.link.pause();
    const { words: at } = ringVectors;
    let written = 0;
    for (; socket.open && written < 1_000_000; written++) {
      peer.in.words[at.reader_rests / 4] = ringVectors.rests.poller;
      expect(socket.write("wake up")).toBe(true);
      // It has read all that is there, and nobody has told it.
      peer.in.words[at.head / 4] = peer.in.words[at.tail / 4]!;
      if (written % 1000 === 0) await Bun.sleep(0);
    }
    expect((await within("its end", socket.ended)).reason).toBe("queue_limit");
    // As many frames as may wait, and what the kernel holds.
    expect(written).toBeLessThan(1_000_000);
  });

  test.each<[string, (rundir: string) => Promise<MemoryPeer>]>([
    ["before its hello", (rundir) => MemoryPeer.connect("pong", rundir)],
    [
      "behind its hello",
      async (rundir) => {
        const peer = await MemoryPeer.connect("pong", rundir);
        peer.say(hello);
        return peer;
      },
    ],
    ["when it is let in", (rundir) => MemoryPeer.begin("pong", rundir)],
    [
      "behind half a message",
      async (rundir) => {
        const peer = await MemoryPeer.begin("pong", rundir);
        peer.promise(kinds.passed, 100_000);
        return peer;
      },
    ],
    [
      "behind the other half",
      async (rundir) => {
        const peer = await MemoryPeer.begin("pong", rundir);
        peer.bring(new Uint8Array(100_000));
        return peer;
      },
    ],
  ])("leaves %s, often, leaves nothing", async (_, come) => {
    await using _stage = await onStage(async ({ rundir }) => {
      for (let k = 0; k < 50; k++) {
        const peer = await come(rundir);
        if (k % 2 === 0) await Bun.sleep(0);
        await peer[Symbol.asyncDispose]();
      }
    });
  });

  test("leaves, and writes on in the memory that it has, is heard no further than when it left", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using server = new ServerSocket();
    await server.listen("pong", { rundir, ring });
    await using peer = await MemoryPeer.begin("pong", rundir);
    const { words: at } = ringVectors;
    let heard = 0;
    server.onData = () => {
      heard += 1;
      if (heard > 1000) return;
      // As if it were running beside: the ring is full again.
      const head = peer.out.words[at.head / 4]!;
      Atomics.store(peer.out.words, at.tail / 4, head + ring);
    };
    const rests = () => Atomics.load(peer.out.words, at.reader_rests / 4);
    await until("it sleeps", () => rests() === ringVectors.rests.poller);
    // Without waking anybody.
    peer.writer.write(new Uint8Array(1));
    peer.writer.publish();
    await peer.link.close({ now: true });
    await until("its end is told", () => server.sockets.size === 0);
    expect(heard).toBe(1);
  });

  test("has others of its user's hold as many descriptors as may be held is dropped, and they are not", async () => {
    await using stage = await onStage(async ({ rundir, service }) => {
      const descriptor = value.create(new Uint8Array(100_000));
      const peers: MemoryPeer[] = [];
      const passes = async (count: number) => {
        const peer = await MemoryPeer.begin("pong", rundir);
        peers.push(peer);
        for (let k = 0; k < count; k++) peer.say("value", [descriptor]);
        return peer;
      };
      for (let left = passedHeldMax; left > 0; left -= passedMax) {
        await passes(Math.min(left, passedMax));
      }
      const held = () => descriptorCount(service.pid);
      // Each connection has one of its own.
      if (canCount) await until("all have come", () => held() > passedHeldMax + peers.length);
      const tooMany = await passes(1);
      await within("its end", tooMany.link.ended);
      expect(peers.filter(({ link }) => link.open).length).toBe(peers.length - 1);
      closeSync(descriptor);
      await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()));
    });
    const { ended, errors } = await stage.progress();
    expect(ended.filter((why) => why === "descriptors_too_many").length).toBe(1);
    expect(errors.join()).toContain(`more than ${passedHeldMax} messages of one user wait`);
  });

  test("is not allowed is not let in", async () => {
    const users = { users: [4_000_000_001] };
    await using stage = await MemoryStage.open({
      role: "echo",
      options: { users, shared: true },
    });
    const client = new ClientSocket();
    const failed = client.connect("pong", { rundir: stage.rundir, shared: true });
    const error = await failed.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "ECONNRESET" });
    await client.close();
    const { errors, connections } = await stage.reaches(
      "it was told",
      (now) => now.errors.length > 0,
    );
    expect({ errors, connections }).toEqual({
      errors: [
        `EMALFORMED: a client of "pong" was refused: not_allowed (user ${process.getuid!()}, process ${process.pid})`,
      ],
      connections: 0,
    });
  });
});

test("a process that rewrites everything for a million steps ends its own connections and nothing else", async () => {
  await using stage = await onStage(async ({ rundir }) => {
    const program = new URL("./programs/hostile.ts", import.meta.url);
    await using hostile = await Child.start(program, { rundir, seed: 3 });
    const bystander = new ClientSocket();
    await bystander.connect("pong", { rundir, ring });
    let done = false;
    let connections = 0;
    const attack = (async () => {
      // Each of them within the time that a child has for an answer.
      for (let k = 0; k < 20; k++) connections += await hostile.ask<number>("attack", 50_000);
      done = true;
    })();
    let answers = 0;
    while (!done) {
      expect(new TextDecoder().decode(await ask(bystander, `${answers}`))).toBe(`${answers}`);
      answers += 1;
      await Bun.sleep(1);
    }
    await attack;
    expect(connections).toBeGreaterThan(20);
    expect(answers).toBeGreaterThan(20);
    await bystander.close();
  });
  const { ended } = await stage.progress();
  expect(ended.filter((reason) => reason === "malformed").length).toBeGreaterThan(10);
});

describe("a service that", () => {
  const welcome = (up: number, down = up) => JSON.stringify({ memory: 1, rings: { up, down } });
  const rings = (up: number, down = up) => [Segment.create(up), Segment.create(down)];

  const cases: [string, () => Answer, string, RegExp][] = [
    ["sends no rings", () => ({ text: welcome(ring), descriptors: [] }), "EMALFORMED", /two rings/],
    [
      "sends one ring",
      () => ({ text: welcome(ring), descriptors: [Segment.create(ring)] }),
      "EMALFORMED",
      /two rings come with it, and not 1/,
    ],
    [
      "sends memory that could still change its size",
      () => ({
        text: welcome(ring),
        descriptors: [openSync("/dev/zero", "r+"), Segment.create(ring)],
      }),
      "EMALFORMED",
      /the ring up/,
    ],
    [
      "sends memory that is too small",
      () => ({ text: welcome(2 * ring), descriptors: rings(2 * ring, ring) }),
      "EMALFORMED",
      /the ring down/,
    ],
    [
      "sends memory that is larger than it says",
      () => ({ text: welcome(ring), descriptors: rings(ring, 2 * ring) }),
      "EMALFORMED",
      /the ring down/,
    ],
    [
      "sends larger rings than were asked for",
      () => ({ text: welcome(ring, 4 * ring), descriptors: rings(ring, 4 * ring) }),
      "EMALFORMED",
      /larger than what was asked for/,
    ],
    [
      "speaks another version",
      () => ({ text: welcome(ring).replace("1", "2"), descriptors: rings(ring) }),
      "EMALFORMED",
      /version 2; version 1 is spoken here/,
    ],
    [
      "answers with garbage",
      () => ({ text: "hello yourself", descriptors: [] }),
      "EMALFORMED",
      /a hello is JSON/,
    ],
    [
      "refuses",
      () => ({
        text: '{"memory":1,"error":{"code":"EMFILE","message":"no room"}}',
        descriptors: [],
      }),
      "ECONNREFUSED",
      /no room \(EMFILE\)/,
    ],
  ];

  const unwritable: typeof cases = [
    [
      "sends memory that is sealed against writes",
      () => ({
        text: welcome(ring),
        descriptors: [
          Segment.create(ring),
          value.create(new Uint8Array(memoryConstants.head_bytes + ring)),
        ],
      }),
      "EMALFORMED",
      /the ring down: EMALFORMED: .* it cannot be mapped, being sealed against writes/,
    ],
    [
      "sends memory that is open for reading alone",
      () => ({
        text: welcome(ring),
        descriptors: [reopened(Segment.create(ring), constants.O_RDONLY), Segment.create(ring)],
      }),
      "EMALFORMED",
      /the ring up: EMALFORMED: .* or open for reading or writing alone/,
    ],
  ];

  const all = isLinux ? [...cases, ...unwritable] : cases;

  test.each(all)("%s is not talked to", async (_, answer, code, why) => {
    using scratch = new Scratch();
    await using host = await MemoryHost.serve("pong", scratch.path, answer);
    Bun.gc(true);
    const before = {
      descriptors: canCount ? descriptorCount() : 0,
      maps: mapsOf("memfd:earshot"),
    };
    const client = new ClientSocket();
    const error = await client
      .connect("pong", { rundir: scratch.path, ring: 2 * ring })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code, service: "pong" });
    expect((error as Error).message).toMatch(why);
    expect((error as Error).message).toContain('"pong" could not be reached through memory: ');
    await until("the service knows", () => host.link?.open === false);
    expect(canCount ? descriptorCount() : 0).toBe(before.descriptors);
    expect(mapsOf("memfd:earshot")).toBeLessThanOrEqual(before.maps);
  });

  test("says nothing is waited for no longer than was said", async () => {
    using scratch = new Scratch();
    await using _ = await MemoryHost.serve("pong", scratch.path, () => undefined);
    const client = new ClientSocket();
    const failed = client.connect("pong", { rundir: scratch.path, timeout: 20 });
    const error = await failed.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "ETIMEDOUT" });
    const again = new ClientSocket();
    const signal = AbortSignal.timeout(10);
    const aborted = again.connect("pong", { rundir: scratch.path, signal });
    expect(await aborted.catch((thrown: unknown) => thrown)).toBe(signal.reason);
    const closed = new ClientSocket();
    const abandoned = closed.connect("pong", { rundir: scratch.path });
    const failure = abandoned.catch((thrown: unknown) => thrown);
    await closed.close();
    expect(await failure).toMatchObject({ code: "ECLOSED" });
  });

  test("ends the connection instead of an answer is told so", async () => {
    using scratch = new Scratch();
    await using _ = await MemoryHost.serve("pong", scratch.path, (host) => {
      void host.link?.close({ now: true });
      return undefined;
    });
    const client = new ClientSocket();
    const failed = client.connect("pong", { rundir: scratch.path });
    const error = await failed.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "ECONNRESET" });
  });

  test("says something else behind its answer ends the connection, and read() knows", async () => {
    using scratch = new Scratch();
    await using _ = await MemoryHost.serve("pong", scratch.path, (host) => ({
      ...host.rings(),
      // biome-ignore lint/suspicious/noThenProperty: it is what is said then
      then: "welcome again",
    }));
    const client = new ClientSocket();
    const errors: string[] = [];
    client.onError = (error) => errors.push((error as Error).message);
    await client.connect("pong", { rundir: scratch.path, ring });
    expect(client.read()).toBeNull();
    expect((await client.ended).reason).toBe("malformed");
    expect(errors.length).toBe(1);
  });

  test("is written to sees nothing of a cork before it is over", async () => {
    using scratch = new Scratch();
    let rings: ReturnType<MemoryHost["rings"]> | undefined;
    await using _ = await MemoryHost.serve("pong", scratch.path, (host) => {
      rings = host.rings();
      return rings;
    });
    const client = new ClientSocket();
    await client.connect("pong", { rundir: scratch.path, ring });
    const { reader } = rings!;
    client.cork(() => {
      client.write("one");
      client.cork(() => client.write("two"));
      expect(reader.ready).toBe(false);
      client.write(new Uint8Array(16 * 1024));
      expect(reader.ready).toBe(true);
      while (reader.next());
      client.write("three");
      expect(reader.ready).toBe(false);
    });
    expect(reader.ready).toBe(true);
    await client.close();
  });

  test("lets go of what it was not sent is not written to any more", async () => {
    using scratch = new Scratch();
    let rings: ReturnType<MemoryHost["rings"]> | undefined;
    await using _ = await MemoryHost.serve("pong", scratch.path, (host) => {
      rings = host.rings();
      return rings;
    });
    const client = new ClientSocket();
    await client.connect("pong", { rundir: scratch.path, ring });
    new DataView(rings!.reader.ring.bytes.buffer).setUint32(128, 3 * ring, true);
    const half = new Uint8Array(ring / 2 - 8);
    client.write(half);
    client.write(half);
    expect(() => client.write(half)).toThrow("ECLOSED");
    expect((await client.ended).reason).toBe("malformed");
    expect(() => client.write("x")).toThrow("ECLOSED");
  });
});

test("a service without onError outlives a client that breaks the rules", async () => {
  await using stage = await MemoryStage.open({ role: "echo", options: { ring }, deaf: true });
  {
    await using peer = await MemoryPeer.begin("pong", stage.rundir);
    peer.say("nonsense");
    await within("its end", peer.link.ended);
  }
  await isServed(stage);
});

test("a service without descriptors says so, and goes on with those it has", async () => {
  const limited = { shell: "ulimit -n 40" };
  await using stage = await MemoryStage.open({ role: "echo", options: { ring } }, limited);
  const clients: ClientSocket[] = [];
  let error: unknown;
  while (error === undefined && clients.length < 40) {
    const client = await stage.client({ ring }).catch((thrown: unknown) => {
      error = thrown;
    });
    if (client !== undefined) clients.push(client);
  }
  expect(error).toMatchObject({ code: "ECONNREFUSED" });
  expect((error as Error).message).toContain("there is no room for another connection (EMFILE)");
  for (const client of clients) expect((await ask(client, "still there")).length).toBe(11);
  await Promise.all(clients.slice(0, 3).map((client) => client.close()));
  await stage.reaches("they have left", (now) => now.open === clients.length - 3);
  await isServed(stage);
});
