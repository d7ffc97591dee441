/**
 * What a sealed connection refuses: whoever has not the keys, and whatever somebody in between changes, repeats, leaves
 * out or puts in another order. Nothing of it is delivered, the connection ends, and nobody else is disturbed.
 */

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { strangerBytesMax } from "../../src/crypto/hello.ts";
import { keyPair } from "../../src/crypto/key-pair.ts";
import { answer } from "../../src/crypto/meeting.ts";
import type { Connection, IpcError } from "../../src/index.ts";
import { connect, serve } from "../../src/index.ts";
import { vectorBytes } from "../kit/bytes.ts";
import { Command, leaveNoCommand } from "../kit/command.ts";
import { frame, header } from "../kit/frames.ts";
import type { Change } from "../kit/middle.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { clientKeys, serviceKeys } from "../kit/over.ts";
import { Random } from "../kit/random.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { rejection } from "../kit/rejection.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";
import vectors from "../vectors/seals.json" with { type: "json" };
import { SealedStage } from "./stage.ts";

leaveNoTrace();
leaveNoCommand();
// There are thousands of bits, each of which takes a connection.
setDefaultTimeout(120_000);

const seed = Number(process.env["EARSHOT_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

async function refusal(promise: Promise<Connection>): Promise<IpcError> {
  const error = await rejection(promise);
  expect(error.service).toBe("pong");
  return error;
}

/** Runs all, some at once. */
async function each(count: number, act: (number: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = bytes.slice();
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}

/** Changes one message of one way alone. */
function only(
  way: "up" | "down",
  number: number,
  make: (bytes: Uint8Array) => Uint8Array[],
): Change {
  return (gone, count, bytes) => (gone === way && count === number ? make(bytes) : [bytes]);
}

/** Turns the next bit in each conversation, from the first to the last. */
function eachBit(stage: SealedStage, way: "up" | "down", number: number): void {
  let next = 0;
  stage.middle.changes = () => {
    const bit = next++;
    return only(way, number, (bytes) => [flipped(bytes, bit)]);
  };
}

describe("a bit that is turned", () => {
  test.each([
    ["the hello", "up"],
    ["the welcome", "down"],
  ] as const)("anywhere in %s: there is no connection", async (_, way) => {
    await using stage = await SealedStage.open();
    await using other = await stage.direct();
    let length = 0;
    stage.middle.changes = () =>
      only(way, 0, (bytes) => {
        length = bytes.length;
        return [flipped(bytes, 0)];
      });
    await refusal(stage.through());
    expect(length).toBeGreaterThan(80);
    const codes = new Set<string>();
    eachBit(stage, way, 0);
    await each(length * 8, async () => {
      const error = await refusal(stage.through());
      codes.add(error.code);
      expect(error.message).toContain('no sealed connection to "pong"');
    });
    for (const code of codes) expect(["ESEAL", "ECONNREFUSED"]).toContain(code);
    expect(stage.opened).toBe(1);
    expect(stage.messages).toEqual([]);
    expect((await other.request("still")).text()).toBe("still");
  });

  test("anywhere in the proof: the service never hears of it", async () => {
    await using stage = await SealedStage.open();
    eachBit(stage, "up", 1);
    await each(16 * 8, async () => {
      const client = await stage.through();
      const asked = client.request("hello").catch((error: unknown) => error);
      expect(await asked).toMatchObject({ code: "ECONNRESET" });
    });
    await until("all are told of", () => stage.troubles.length === 16 * 8);
    expect(new Set(stage.troubles.map(({ reason }) => reason))).toEqual(new Set(["not_allowed"]));
    expect(stage.troubles[0]!.error?.message).toContain("could not prove");
    expect(stage.service.statistics()).toMatchObject({
      connectionsAccepted: 0,
      reasons: { not_allowed: 16 * 8 },
    });
    expect(stage.opened).toBe(0);
    expect(stage.messages).toEqual([]);
  });

  test.each([
    ["to the service", "up", 2],
    ["to the client", "down", 1],
  ] as const)(
    "anywhere in a message %s: it is not delivered, and ends the connection",
    async (_, way, number) => {
      await using stage = await SealedStage.open();
      const bits = (5 + 16) * 8;
      eachBit(stage, way, number);
      await each(bits, async () => {
        const heard: string[] = [];
        const client = await stage.through({
          message: (__, message) => void heard.push(message.text()),
        });
        client.send("hello");
        const { reason, error } = await client.ended;
        expect(heard).toEqual([]);
        if (way === "up") return;
        expect(reason).toBe("malformed");
        expect(error).toMatchObject({ code: "ESEAL", service: "pong" });
      });
      await until("all have ended", () => stage.ends.length === bits);
      expect(stage.messages).toEqual(
        way === "up" ? [] : Array.from({ length: bits }, () => "hello"),
      );
      if (way === "down") return;
      expect(stage.service.statistics().reasons).toEqual({ malformed: bits });
      for (const { reason, error } of stage.ends) {
        expect(reason).toBe("malformed");
        expect(error?.message).toContain('the seal of "pong" was broken');
      }
    },
  );
});

describe("messages", () => {
  /** What the service gets of "one", "two", "three", each of which somebody in between does something to. */
  async function delivered(change: Change): Promise<string[]> {
    await using stage = await SealedStage.open();
    stage.middle.changes = () => change;
    const client = await stage.through();
    for (const text of ["one", "two", "three"]) client.send(text);
    await client.ended;
    await until("it has ended there", () => stage.ends.length === 1);
    expect(stage.ends[0]!.reason).toBe("malformed");
    return stage.messages;
  }
  /** After the hello and the proof. */
  const first = 2;

  test("that are repeated end the connection", async () => {
    expect(await delivered(only("up", first, (bytes) => [bytes, bytes]))).toEqual(["one"]);
    let kept: Uint8Array | undefined;
    const later: Change = (way, number, bytes) => {
      if (way === "up" && number === first) kept = bytes.slice();
      return way === "up" && number === first + 2 ? [kept!] : [bytes];
    };
    expect(await delivered(later)).toEqual(["one", "two"]);
  });

  test("that are left out do", async () => {
    expect(await delivered(only("up", first, () => []))).toEqual([]);
    expect(await delivered(only("up", first + 1, () => []))).toEqual(["one"]);
  });

  test("in another order do", async () => {
    let kept: Uint8Array | undefined;
    const swap: Change = (way, number, bytes) => {
      if (way === "down" || number < first || number > first + 1) return [bytes];
      if (number === first + 1) return [bytes, kept!];
      kept = bytes.slice();
      return [];
    };
    expect(await delivered(swap)).toEqual([]);
  });

  test("cut short anywhere do, and so do those that are longer", async () => {
    for (let length = 0; length < 3 + 16; length++) {
      const cut = only("up", first + 1, (bytes) => [bytes.slice(0, length)]);
      expect(await delivered(cut)).toEqual(["one"]);
    }
    const longer = only("up", first, (bytes) => [Buffer.concat([bytes, Buffer.from([0])])]);
    expect(await delivered(longer)).toEqual([]);
  });

  test("of the other direction, or of another connection, do", async () => {
    await using stage = await SealedStage.open();
    await (await stage.through()).request("one");
    const before = stage.middle.seen.map(({ bytes }) => bytes);
    for (const foreign of before) {
      expect(await delivered(only("up", first, () => [foreign]))).toEqual([]);
    }
    expect(await delivered(only("up", first + 1, () => [before.at(-1)!]))).toEqual(["one"]);
  });

  test(`changed in any way at all, seed ${seed}, deliver what was sent or nothing`, async () => {
    const random = new Random(seed);
    await using stage = await SealedStage.open();
    const { descriptors } = stage.service.statistics();
    const sent = Array.from({ length: 10 }, (_, number) => `message ${number}`);
    for (let round = 0; round < 100; round++) {
      stage.messages.length = 0;
      const at = random.below(sent.length + first);
      const kind = random.below(4);
      stage.middle.changes = () =>
        only("up", at, (bytes) => {
          if (kind === 0) return [];
          if (kind === 1) return [bytes, bytes];
          if (kind === 2) return [bytes.slice(0, random.below(bytes.length))];
          return [random.bytes(bytes.length)];
        });
      const client = await stage.through({ timeout: 200 }).catch(() => undefined);
      if (client !== undefined) {
        for (const text of sent) if (client.open) client.send(text);
        await client.close();
      }
      const isOver = () => stage.service.statistics().descriptors === descriptors;
      await until("the service has seen its end", isOver);
      expect(stage.messages).toEqual(sent.slice(0, stage.messages.length));
      expect(stage.messages.length).toBeLessThanOrEqual(Math.max(0, at - first + 1));
    }
    expect(stage.ends.every(({ reason }) => reason === "malformed")).toBe(true);
  });
});

describe("the end", () => {
  test.each([false, true])(
    "is said by who closes, at once %p, and heard by the other",
    async (now) => {
      await using stage = await SealedStage.open();
      const client = await stage.through();
      await client.request("hello");
      await client.close({ now });
      await until("it has ended there", () => stage.ends.length === 1);
      expect(stage.ends[0]).toEqual({
        reason: "peer_closed",
        errno: 0,
        lost: { messages: 0, bytes: 0, requests: 0 },
      });
      const lengths = stage.middle.seen
        .filter(({ way }) => way === "up")
        .map(({ bytes }) => bytes.length);
      expect(lengths.slice(1)).toEqual([16, 5 + 16, 0, 16]);
      expect(stage.service.statistics()).toMatchObject({
        messagesReceived: 1,
        bytesReceived: 9,
        messagesSent: 1,
        bytesSent: 9,
        reasons: { peer_closed: 1 },
      });
    },
  );

  test("that nobody has said is told of: something may be missing", async () => {
    await using stage = await SealedStage.open();
    // After the first answer nothing more comes, and then the connection is over, as if the service had closed it.
    stage.middle.changes = () => (way, number, bytes) =>
      way === "down" && number > 1 ? [] : [bytes];
    const heard: string[] = [];
    const client = await stage.through({
      message: (_, message) => void heard.push(message.text()),
    });
    for (const text of ["one", "two"]) client.send(text);
    await until("it was asked twice", () => stage.messages.length === 2);
    for (const connection of stage.service.connections) void connection.close();
    const { reason, error } = await client.ended;
    expect(heard).toEqual(["one"]);
    expect(reason).toBe("truncated");
    expect(error?.message).toContain("has cut it off");
  });

  test("of a process that is killed is one of those", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const program = new URL("../ipc/programs/deaf-service.ts", import.meta.url);
    const words = [process.execPath, Bun.fileURLToPath(program), rundir, "sealed"];
    await using command = new Command(words);
    await command.says("listening");
    const seal = { keys: clientKeys, peer: serviceKeys.publicKey };
    const client = await connect("pong", { rundir, seal });
    await command.says("accepted");
    await command.end("SIGKILL");
    expect((await client.ended).reason).toBe("truncated");
    await expect(client[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: "ECONNRESET",
    });
  });

  const end = 4;
  const nothing = new Uint8Array();
  test.each([
    ["announced by somebody else", only("up", 3, (bytes) => [nothing, bytes])],
    ["that is not announced", only("up", end, () => [])],
    ["announced twice", only("up", end, (bytes) => [bytes, bytes])],
    ["that is repeated", only("up", end + 1, (bytes) => [bytes, bytes])],
    ["after which something comes", only("up", end + 1, (bytes) => [bytes, nothing])],
    ["that is changed", only("up", end + 1, (bytes) => [flipped(bytes, 77)])],
  ] as const)("%s breaks the seal", async (_, change) => {
    await using stage = await SealedStage.open();
    stage.middle.changes = () => change;
    const client = await stage.through();
    for (const text of ["one", "two"]) client.send(text);
    await client.close();
    await until("it has ended there", () => stage.ends.length === 1);
    expect(stage.ends[0]!.reason).toBe("malformed");
    expect(stage.ends[0]!.error).toMatchObject({ code: "ESEAL" });
    expect(["one", "two"].slice(0, stage.messages.length)).toEqual(stage.messages);
  });
});

describe("who has not the keys", () => {
  test("is told why he is not let in, is counted, and disturbs nobody", async () => {
    await using stage = await SealedStage.open();
    await using other = await stage.direct();
    const { peer } = stage.seal;
    const unknown = await refusal(stage.direct({ seal: { keys: keyPair(), peer } }));
    expect(unknown.code).toBe("ECONNREFUSED");
    expect(unknown.message).toContain("not among those that are allowed here");
    const wrong = keyPair().publicKey;
    const mistaken = await refusal(stage.direct({ seal: { keys: clientKeys, peer: wrong } }));
    expect(mistaken.code).toBe("ECONNREFUSED");
    expect(mistaken.message).toContain("compare the public keys");
    expect(stage.troubles.map(({ reason, pid }) => [reason, pid])).toEqual([
      ["not_allowed", process.pid],
      ["not_allowed", process.pid],
    ]);
    expect(stage.service.statistics()).toMatchObject({
      connectionsAccepted: 1,
      connectionsOpen: 1,
      reasons: { not_allowed: 2 },
    });
    expect((await other.request("still")).text()).toBe("still");
  });

  test("cannot pass for the service", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const impostor = keyPair();
    await using _ = await serve(
      "pong",
      {},
      { rundir, seal: { keys: impostor, allow: [clientKeys.publicKey] } },
    );
    const seal = { keys: clientKeys, peer: serviceKeys.publicKey };
    await refusal(connect("pong", { rundir, seal }));
    // One that knows whom the client means, and answers all the same.
    await using __ = await serve(
      "liar",
      {
        message(connection, message) {
          const { key, message: said } = message.json<{ key: string; message: string }>();
          try {
            answer(impostor, new Set([key]), { key, message: said }, "earshot seal 1 liar");
          } catch {
            connection.send(JSON.stringify({ seal: 1, message: said }));
          }
        },
      },
      { rundir },
    );
    const outcome = await connect("liar", { rundir, seal }).catch((error: unknown) => error);
    expect(outcome).toMatchObject({ code: "ESEAL", service: "liar" });
  });

  test("gains nothing by what somebody else has said", async () => {
    await using stage = await SealedStage.open();
    const client = await stage.through();
    await client.request("a secret");
    const said = stage.middle.seen.filter(({ way }) => way === "up").map(({ bytes }) => bytes);
    using peer = await RawPeer.connect(stage.service.path);
    for (const bytes of said) peer.write(frame(bytes));
    await peer.gone();
    expect(peer.payloads).toHaveLength(1);
    expect(stage.opened).toBe(1);
    expect(stage.messages).toEqual(["a secret"]);
    expect(stage.troubles.map(({ reason }) => reason)).toEqual(["not_allowed"]);
    await client.close();
  });
});

describe("who does not say what is to be said", () => {
  test.each([
    ["nothing", [], "no hello came within 50 ms"],
    [
      "half a hello",
      [frame(vectors.conversation.hello).slice(0, 30)],
      "no hello came within 50 ms",
    ],
  ])("%s is turned away when his time is over", async (_, frames, why) => {
    const seal = { keys: serviceKeys, allow: [clientKeys.publicKey], timeout: 50 };
    await using stage = await SealedStage.open({ seal });
    await using other = await stage.direct();
    using peer = await RawPeer.connect(stage.service.path);
    for (const each of frames) peer.write(each);
    await peer.received(1);
    expect(peer.texts[0]).toContain(why);
    expect(peer.texts[0]).toContain("connect with seal: { keys, peer }");
    await peer.gone();
    expect(stage.troubles.map(({ reason }) => reason)).toEqual(["stalled"]);
    expect(stage.service.statistics().reasons).toEqual({ stalled: 1 });
    expect((await other.request("still")).text()).toBe("still");
  });

  test.each([
    ["nothing", [], "stalled"],
    ["a message", ["before anything is proved"], "not_allowed"],
  ] as const)("a hello, and %s for a proof, is turned away", async (_, texts, reason) => {
    const seal = { keys: serviceKeys, allow: [clientKeys.publicKey], timeout: 50 };
    await using stage = await SealedStage.open({ seal });
    stage.middle.changes = () => only("up", 1, () => []);
    const client = await stage.through();
    for (const text of texts) client.send(text);
    await client.ended;
    expect(stage.opened).toBe(0);
    expect(stage.messages).toEqual([]);
    expect(stage.troubles.map((trouble) => trouble.reason)).toEqual([reason]);
    expect(stage.service.statistics().reasons).toEqual({ [reason]: 1 });
  });

  test("an oversize hello, or one that announces more than anybody's who is not known yet, is turned away", async () => {
    await using stage = await SealedStage.open();
    using long = await RawPeer.connect(stage.service.path);
    long.write(frame(`{"seal":1,"pad":"${"x".repeat(4096)}"}`));
    await long.gone();
    expect(long.texts[0]).toContain("a hello has at most 4096 bytes");
    using longer = await RawPeer.connect(stage.service.path);
    longer.write(header(strangerBytesMax + 1));
    await longer.gone();
    expect(stage.service.statistics().reasons).toEqual({ message_too_long: 2 });
    expect(stage.troubles.map(({ reason }) => reason)).toEqual([
      "message_too_long",
      "message_too_long",
    ]);
    expect(stage.troubles[1]!.error?.message).toContain("before anything was agreed on");
    expect(stage.opened).toBe(0);
    await using client = await stage.direct();
    const large = "x".repeat(1_000_000);
    expect((await client.request(large)).text()).toBe(large);
  });

  test("a service that announces more than a welcome has is left at once", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const open = (connection: Connection) =>
      void connection.send(new Uint8Array(strangerBytesMax + 1));
    await using _ = await serve("pong", { open }, { rundir });
    const seal = { keys: clientKeys, peer: serviceKeys.publicKey };
    const error = await refusal(connect("pong", { rundir, seal }));
    expect(error.message).toContain("it ended the connection (message_too_long)");
  });

  test.each(
    [...vectors.malformed, ...vectors.malformed_hellos].map((each) => [each.what, each] as const),
  )("%s is told what to do", async (_, given) => {
    await using stage = await SealedStage.open();
    using peer = await RawPeer.connect(stage.service.path);
    peer.write(frame(vectorBytes(given)));
    await peer.gone();
    expect(peer.texts).toHaveLength(1);
    expect(JSON.parse(peer.texts[0]!)).toMatchObject({ seal: 1, error: { code: "EPROTO" } });
    expect(peer.texts[0]).toContain("this service is sealed");
    expect(stage.service.statistics().reasons).toEqual({ malformed: 1 });
  });

  test("many at once hold up nobody, and are gone with the service", async () => {
    await using stage = await SealedStage.open();
    const peers = await Promise.all(
      Array.from({ length: 50 }, () => RawPeer.connect(stage.service.path)),
    );
    await using client = await stage.direct();
    expect((await client.request("hello")).text()).toBe("hello");
    expect(stage.service.statistics().connectionsOpen).toBe(1);
    await stage.service.close();
    for (const peer of peers) await peer.gone();
    for (const peer of peers) peer.close();
  });

  test("a message longer than the client's own limit ends its connection", async () => {
    await using stage = await SealedStage.open();
    const client = await stage.direct({ messageBytesMax: 100 });
    await client.request("here");
    const [server] = stage.service.connections;
    server!.send("x".repeat(101));
    expect((await client.ended).reason).toBe("message_too_long");
  });
});
