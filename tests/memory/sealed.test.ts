/** Memory sockets between two ends with keys: what they say to each other, and what nobody else can say or change. */

import { describe, expect, test } from "bun:test";
import type { End } from "../../src/index.ts";
import { serve } from "../../src/index.ts";
import { fullLimits } from "../../src/ipc/limits.ts";
import { nothingLost } from "../../src/memory/farewell.ts";
import type { ClientOptions, KeyPair, ServerOptions } from "../../src/memory/index.ts";
import { ClientSocket, keyPair, ServerSocket } from "../../src/memory/index.ts";
import { kinds } from "../../src/native/memory-layout.ts";
import { Child } from "../kit/child.ts";
import { mapsOf } from "../kit/maps.ts";
import { MemoryHost } from "../kit/memory-host.ts";
import { MemoryPeer } from "../kit/memory-peer.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";
import { until, within } from "../kit/until.ts";
import type { HostileSettings } from "./programs/hostile.ts";

leaveNoTrace();

const ring = 65_536;
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** A sealed service `pong` that answers with what it is sent, and remembers what it was told. */
class SealedStage implements AsyncDisposable {
  readonly #scratch = new Scratch();
  readonly keys = keyPair();
  readonly client = keyPair();
  /** Without a seal it would take descriptors. */
  readonly server = new ServerSocket(fullLimits({ descriptors: { max: 4 } }));
  readonly messages: string[] = [];
  readonly errors: string[] = [];
  readonly ends: End[] = [];
  connections = 0;

  static async open(options: Pick<ServerOptions, "helloTimeout"> = {}): Promise<SealedStage> {
    const stage = new SealedStage();
    const { server } = stage;
    server.onConnection = () => {
      stage.connections += 1;
    };
    server.onData = (socket, bytes) => {
      stage.messages.push(bytes.length < 100 ? text(bytes) : `${bytes.length} bytes`);
      socket.write(bytes);
    };
    server.onError = (_, error) => void stage.errors.push(messageOf(error));
    server.onClose = (_, end) => void stage.ends.push(end);
    const { keys, client, rundir } = stage;
    await server.listen("pong", {
      rundir,
      ring,
      keys,
      allow: [client.publicKey],
      ...options,
    });
    return stage;
  }

  get rundir(): string {
    return this.#scratch.path;
  }

  /** What a client with those options is told that is not let in. */
  async refusal(options: ClientOptions): Promise<string> {
    const client = new ClientSocket();
    const failed = client.connect("pong", { rundir: this.rundir, ring, ...options });
    return messageOf(await failed.catch((error: unknown) => error));
  }

  async peer(proves = true): Promise<MemoryPeer> {
    const { rundir, client, keys } = this;
    return await MemoryPeer.beginSealed("pong", rundir, client, keys.publicKey, proves);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    this.#scratch[Symbol.dispose]();
  }
}

/** A client that is let in, and what comes to it. */
class Asker implements AsyncDisposable {
  readonly socket = new ClientSocket();
  readonly answers: Uint8Array[] = [];

  static async open(stage: SealedStage): Promise<Asker> {
    const asker = new Asker();
    asker.socket.onData = (bytes) => void asker.answers.push(bytes.slice());
    const { rundir, client, keys } = stage;
    await asker.socket.connect("pong", { rundir, ring, keys: client, peer: keys.publicKey });
    return asker;
  }

  async ask(payload: Uint8Array | string): Promise<Uint8Array> {
    const before = this.answers.length;
    expect(this.socket.write(payload)).toBe(true);
    await until("it is answered", () => this.answers.length > before);
    return this.answers[before]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.socket.close();
  }
}

describe("who has the keys", () => {
  test.each([0, 1, 15, 16, 17, 64, 1000, ring / 2 - 24, ring / 2 - 23, ring, 1_000_000])(
    "gets %d bytes back as they were",
    async (length) => {
      await using stage = await SealedStage.open();
      await using asker = await Asker.open(stage);
      const payload = pattern(length);
      for (let round = 0; round < 3; round++) {
        expect(Buffer.compare(await asker.ask(payload), payload)).toBe(0);
      }
      expect(stage.connections).toBe(1);
    },
  );

  test("reserves room, holds what came, and reads, as without", async () => {
    await using stage = await SealedStage.open();
    await using asker = await Asker.open(stage);
    const room = asker.socket.reserve(5)!;
    room.set(new TextEncoder().encode("hello"));
    asker.socket.commit(4);
    await until("it is answered", () => asker.answers.length === 1);
    expect(text(asker.answers[0]!)).toBe("hell");

    const reader = new ClientSocket();
    const { rundir, client, keys } = stage;
    await reader.connect("pong", { rundir, ring, keys: client, peer: keys.publicKey });
    reader.write("one");
    reader.write("two");
    const next = async () => {
      let bytes: Uint8Array | undefined | null;
      await until("there is an answer", () => {
        bytes = reader.read({ timeout: 0 });
        return bytes !== undefined;
      });
      return bytes!;
    };
    const one = await next();
    using hold = reader.hold();
    expect(text(await next())).toBe("two");
    expect(text(one)).toBe("one");
    hold.release();
    await reader.close();
  });

  test("leaves nothing to be read in the memory that both have", async () => {
    await using stage = await SealedStage.open();
    await using peer = await stage.peer();
    const secret = "nobody is to read this";
    peer.write(peer.sealed(secret));
    await until("it has come", () => stage.messages.length === 1);
    await until("it is answered", () => peer.reader.ready);
    for (const side of [peer.out, peer.in]) {
      expect(Buffer.from(side.bytes).includes(secret)).toBe(false);
    }
  });
});

describe("descriptors, which cannot be sealed,", () => {
  test("are not sent, and the connection goes on", async () => {
    await using stage = await SealedStage.open();
    await using asker = await Asker.open(stage);
    expect(() => asker.socket.side.attach([1])).toThrow("ENOTSUP: descriptors cannot be sealed");
    expect(text(await asker.ask("still here"))).toBe("still here");
  });

  test.each<[string, (peer: MemoryPeer) => void]>([
    ["that somebody slips in", (peer) => peer.say("descriptors", [1])],
    [
      "that somebody promises",
      (peer) => {
        const record = peer.sealed("with descriptors");
        peer.writer.write(record, kinds.attended);
        peer.writer.publish();
        peer.say("");
      },
    ],
  ])("%s end the connection", async (_, slip) => {
    await using stage = await SealedStage.open();
    await using peer = await stage.peer();
    slip(peer);
    await until("its connection ended", () => stage.ends.length === 1);
    expect(stage.ends[0]!.reason).toBe("descriptors_unasked");
    expect(stage.messages).toEqual([]);
  });
});

describe("who has not", () => {
  test.each<[string, (stage: SealedStage, other: KeyPair) => ClientOptions, string]>([
    ["without keys", () => ({}), "it is sealed here; connect with keys, and peer"],
    [
      "with keys that nobody knows",
      ({ keys }, other) => ({ keys: other, peer: keys.publicKey }),
      "that public key is not among those that are allowed here",
    ],
    [
      "who takes the server for another",
      ({ client }, other) => ({ keys: client, peer: other.publicKey }),
      "what came is not what the peer sealed: it was changed, left out, repeated or put in another order, or the peer " +
        "has other keys than expected; compare the public keys, and close the connection",
    ],
  ])("%s is refused, and told why", async (_, options, why) => {
    await using stage = await SealedStage.open();
    // Each text begins with the code of its error; what the other side has said says its own behind it, and no more.
    expect(await stage.refusal(options(stage, keyPair()))).toBe(
      `ECONNREFUSED: "pong" could not be reached through memory: ${why} (EKEY)`,
    );
    await until("the server was told", () => stage.errors.length === 1);
    expect(stage.errors[0]).toBe(`EMALFORMED: a client of "pong" was refused: ${why}`);
    expect(stage.connections).toBe(0);
  });

  test("is refused by a client as well: a server that does not seal", async () => {
    using scratch = new Scratch();
    await using server = new ServerSocket();
    await server.listen("pong", { rundir: scratch.path, ring });
    const client = new ClientSocket();
    const keys = keyPair();
    const failed = client.connect("pong", { rundir: scratch.path, keys, peer: keys.publicKey });
    expect(messageOf(await failed.catch((error: unknown) => error))).toContain(
      "it is not sealed here; connect without keys",
    );
  });

  test("and only repeats what somebody else has said, is nobody until he proves it", async () => {
    await using stage = await SealedStage.open();
    await using replayed = await stage.peer(false);
    replayed.say(new Uint8Array(16));
    await until("the server was told", () => stage.errors.length === 1);
    expect(stage.errors[0]).toContain("it could not prove its public key");
    expect(stage.connections).toBe(0);
  });
});

describe("a client of a sealed service", () => {
  const about = { memory: 1, rings: { up: ring, down: ring } };

  test.each<[string, (stage: SealedStage) => unknown]>([
    ["says no message of the handshake", ({ client }) => ({ key: client.publicKey, message: "" })],
    ["says what is none", ({ client }) => ({ key: client.publicKey, message: "nonsense!" })],
    ["says one of no use", ({ client }) => ({ key: client.publicKey, message: "A".repeat(64) })],
    ["has a key that is none", () => ({ key: "pong", message: "" })],
    ["has the key of the server", ({ keys }) => ({ key: keys.publicKey, message: "" })],
  ])("that %s is refused, in words with one code", async (_, seal) => {
    await using stage = await SealedStage.open();
    await using asker = await Asker.open(stage);
    await using peer = await MemoryPeer.connect("pong", stage.rundir);
    peer.say(JSON.stringify({ ...about, seal: seal(stage) }));
    await within("its end", peer.link.ended);
    const { error } = JSON.parse(peer.heard[0]!) as { error: { code: string; message: string } };
    expect(error.code).toBe("EKEY");
    expect(error.message).not.toMatch(/\bE[A-Z]{3,}:/);
    expect(stage.errors).toEqual([`EMALFORMED: a client of "pong" was refused: ${error.message}`]);
    expect(text(await asker.ask("still here"))).toBe("still here");
  });

  test("that never proves its key has nothing here when its time is up", async () => {
    await using stage = await SealedStage.open({ helloTimeout: 500 });
    await using asker = await Asker.open(stage);
    const before = mapsOf("memfd:earshot");
    await using peer = await stage.peer(false);
    // What it writes before is nobody's.
    peer.writer.write(peer.sealed("heard by nobody"));
    peer.writer.publish();
    await within("its end", peer.link.ended);
    expect(stage.errors).toEqual([
      'EMALFORMED: a client of "pong" was refused: no proof of its public key came in time',
    ]);
    // Its own two are there still, each in two parts.
    await until("its rings are gone", () => mapsOf("memfd:earshot") <= before + 4);
    expect(stage.messages).toEqual([]);
    expect({ connections: stage.connections, sockets: stage.server.sockets.size }).toEqual({
      connections: 1,
      sockets: 1,
    });
    expect(text(await asker.ask("still here"))).toBe("still here");
  });

  test("that says something else instead of its proof is refused, whichever bit is wrong", async () => {
    await using stage = await SealedStage.open();
    for (let bit = 0; bit < 128; bit += 19) {
      await using peer = await stage.peer(false);
      const proof = peer.proof.slice();
      proof[bit >> 3]! ^= 1 << (bit & 7);
      peer.say(proof);
      await within("its end", peer.link.ended);
    }
    await using peer = await stage.peer(false);
    peer.say(peer.proof);
    peer.write(peer.sealed("proved"));
    await until("it is heard", () => stage.messages.length === 1);
    expect(stage.connections).toBe(1);
    expect(new Set(stage.errors)).toEqual(
      new Set(['EMALFORMED: a client of "pong" was refused: it could not prove its public key']),
    );
  });

  test("that repeats what another has said is not let in with it", async () => {
    await using stage = await SealedStage.open();
    const { rundir, client, keys } = stage;
    const said: string[] = [];
    await using first = await MemoryPeer.beginSealed("pong", rundir, client, keys.publicKey);
    said.push(...first.said);
    await until("it is let in", () => stage.connections === 1);
    await using second = await MemoryPeer.connect("pong", rundir);
    second.say(said[0]!);
    await until("it is welcome", () => second.heard.length === 1);
    second.say(first.proof);
    await within("its end", second.link.ended);
    expect(stage.connections).toBe(1);
    expect(stage.errors).toEqual([
      'EMALFORMED: a client of "pong" was refused: it could not prove its public key',
    ]);
  });
});

describe("a service that was to be sealed", () => {
  const keys = keyPair();
  const sealed = { keys, peer: keyPair().publicKey };

  test.each<[string, string | undefined, ClientOptions, string, RegExp]>([
    ["says nothing of it", undefined, sealed, "EMALFORMED", /it is not sealed, and was to be/],
    ["says what is none", "nonsense!", sealed, "ESEAL", /base64url/],
    ["says too little", "", sealed, "ESEAL", /./],
    ["says what somebody has recorded", "CQkJ".repeat(16), sealed, "ESEAL", /./],
    ["says what no key is", "A".repeat(64), sealed, "EKEY", /nothing is secret/],
    ["was not, and says that it is", "A".repeat(64), {}, "EMALFORMED", /nobody has asked for/],
  ])("and %s is not talked to", async (_, seal, options, code, why) => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using host = await MemoryHost.serve("pong", rundir, (each) => {
      const rings = each.rings(ring);
      return { ...rings, text: JSON.stringify({ ...JSON.parse(rings.text), seal }) };
    });
    const client = new ClientSocket();
    const error = await client
      .connect("pong", { rundir, ring, ...options })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code });
    expect(messageOf(error)).toMatch(why);
    expect(messageOf(error).match(/\bE[A-Z]{3,}:/g)).toEqual([`${code}:`]);
    await until("the service knows", () => host.link?.open === false);
    expect(client.open).toBe(false);
  });
});

describe("options", () => {
  const keys = keyPair();

  test.each<[string, () => Promise<void>, string]>([
    ["keys without peer", () => new ClientSocket().connect("pong", { keys }), "takes both"],
    [
      "peer without keys",
      () => new ClientSocket().connect("pong", { peer: keys.publicKey }),
      "takes both",
    ],
    [
      "a peer that is no key",
      () => new ClientSocket().connect("pong", { keys, peer: "pong" }),
      "is not a public key",
    ],
    ["keys without allow", () => new ServerSocket().listen("pong", { keys }), "takes both"],
    [
      "keys that allow nobody",
      () => new ServerSocket().listen("pong", { keys, allow: [] }),
      "takes both",
    ],
    [
      "keys that are none",
      () => new ServerSocket().listen("pong", { keys: {} as KeyPair, allow: [keys.publicKey] }),
      "keys are what keyPair() or loadKeys() has returned",
    ],
    [
      "keys of a client that do not belong together",
      () => {
        const wrong = { publicKey: keyPair().publicKey, secretKey: keys.secretKey };
        return new ClientSocket().connect("pong", { keys: wrong, peer: keys.publicKey });
      },
      "the public key of keys is not that of their secret key",
    ],
    [
      "a peer that is no text",
      () => new ClientSocket().connect("pong", { keys, peer: 5 as unknown as string }),
      "peer",
    ],
    [
      "a ring that is none",
      () => new ClientSocket().connect("pong", { ring: null as unknown as number }),
      "ring.up is null",
    ],
    [
      "allow with what is no key",
      () => new ServerSocket().listen("pong", { keys, allow: ["pong"] }),
      "is not a public key",
    ],
  ])("%s are refused", async (_, act, why) => {
    expect(messageOf(await act().catch((error: unknown) => error))).toContain(why);
  });
});

describe("a record that is not the next of the peer", () => {
  const text64 = "a message of some length, of which any bit may be turned over…";

  /** Has a peer say something in order, then what `spoil` makes of the next record. */
  async function spoiled(spoil: (peer: MemoryPeer, record: Uint8Array) => void): Promise<void> {
    await using stage = await SealedStage.open();
    await using asker = await Asker.open(stage);
    await using peer = await stage.peer();
    peer.write(peer.sealed("in order"));
    await until("it has come", () => stage.messages.includes("in order"));
    spoil(peer, peer.sealed(text64));
    await until("its connection ended", () => stage.ends.length === 1);
    expect(stage.ends[0]!.reason).toBe("malformed");
    expect(stage.errors.join()).toContain("is not the next that the other side has sealed");
    // Nothing of it was delivered, and others go on.
    expect(stage.messages).toEqual(["in order"]);
    expect(text(await asker.ask("still here"))).toBe("still here");
  }

  test("because a bit was turned over, wherever it is", async () => {
    const bits = new TextEncoder().encode(text64).length * 8 + 16 * 8;
    for (let bit = 0; bit < bits; bit += 61) {
      await spoiled((peer, record) => {
        record[bit >> 3]! ^= 1 << (bit & 7);
        peer.write(record);
      });
    }
  });

  test("because a bit was turned over in memory of its own", async () => {
    for (const bit of [0, 8 * 100_000, 8 * 100_015 + 7]) {
      await using stage = await SealedStage.open();
      await using peer = await stage.peer();
      const record = peer.sealed("x".repeat(100_000));
      record[bit >> 3]! ^= 1 << (bit & 7);
      peer.pass(record);
      await until("its connection ended", () => stage.ends.length === 1);
      expect(stage.ends[0]!.reason).toBe("malformed");
      expect(stage.messages).toEqual([]);
    }
  });

  test("because it was cut short", async () => {
    for (const length of [0, 1, 15, 16, 40]) {
      await spoiled((peer, record) => peer.write(record.subarray(0, length)));
    }
  });

  test("because something was added", async () => {
    await spoiled((peer, record) => peer.write(Buffer.concat([record, new Uint8Array(1)])));
  });

  test("because another was left out", async () => {
    await spoiled((peer) => peer.write(peer.sealed("the one after")));
  });

  test("because it came before", async () => {
    await using stage = await SealedStage.open();
    await using peer = await stage.peer();
    const record = peer.sealed("once");
    peer.write(record);
    await until("it has come", () => stage.messages.length === 1);
    peer.write(record);
    await until("its connection ended", () => stage.ends.length === 1);
    expect(stage.messages).toEqual(["once"]);
  });

  test("because it is not sealed at all", async () => {
    await spoiled((peer) => peer.write("plain text, and long enough to be a record"));
  });
});

test("a process with keys that rewrites everything is heard in what it has sealed, or not at all", async () => {
  await using stage = await SealedStage.open();
  await using asker = await Asker.open(stage);
  const { rundir, client, keys } = stage;
  const secret = client.secretKey.toBase64();
  const given: HostileSettings = { rundir, seed: 5, sealed: { secret, server: keys.publicKey } };
  const program = new URL("./programs/hostile.ts", import.meta.url);
  await using hostile = await Child.start(program, given);
  let connections = 0;
  for (let k = 0; k < 8; k++) {
    connections += await hostile.ask<number>("attack", 25_000);
    expect(text(await asker.ask("asked"))).toBe("asked");
  }
  expect(connections).toBeGreaterThan(8);
  const heard = new Set(stage.messages);
  expect(heard).toEqual(new Set(["asked", "as it should be"]));
  await until("all have ended", () => stage.ends.length >= connections);
  expect(stage.ends.filter(({ reason }) => reason === "malformed").length).toBeGreaterThan(8);
});

test("a message that was sealed and could not be sent ends the connection, as what follows would make no sense", async () => {
  await using stage = await SealedStage.open();
  const { rundir, client, keys } = stage;
  const given = { rundir, secret: client.secretKey.toBase64(), server: keys.publicKey };
  const program = new URL("./programs/bereft.ts", import.meta.url);
  await using bereft = await Child.start(program, given, { shell: "ulimit -n 100" });
  expect(await bereft.ask("pass")).toEqual({ thrown: "EMFILE", reason: "closed" });
  await until("its end is told", () => stage.ends.length === 1);
  expect({ reason: stage.ends[0]!.reason, errors: stage.errors }).toEqual({
    reason: "truncated",
    errors: [],
  });
});

describe("an end", () => {
  /** How it ends for the service, whose client does what `act` has it do. */
  async function ended(act: (peer: MemoryPeer) => Promise<void> | void): Promise<SealedStage> {
    await using stage = await SealedStage.open();
    await using peer = await stage.peer();
    await until("it is let in", () => stage.connections === 1);
    await act(peer);
    await peer.link.close();
    await until("its end is told", () => stage.ends.length === 1);
    return stage;
  }

  const reasonOf = async (act: (peer: MemoryPeer) => Promise<void> | void) =>
    (await ended(act)).ends[0]!.reason;

  test("is in order if the other side has said so under the seal, behind all that it wrote", async () => {
    const stage = await ended((peer) => {
      peer.write(peer.sealed("one"));
      peer.say(peer.farewell("end"));
    });
    expect(stage.messages).toEqual(["one"]);
    expect(stage.ends).toEqual([{ reason: "peer_closed", errno: 0, lost: nothingLost() }]);
    expect(await reasonOf((peer) => peer.say(peer.farewell("unread")))).toBe("peer_reset");
  });

  test("that nobody has said is one that was cut off", async () => {
    const { ends, errors } = await ended(() => undefined);
    expect(ends[0]!.reason).toBe("truncated");
    expect(messageOf(ends[0]!.error)).toContain('ESEAL: the seal of "pong" was broken: it is over');
    expect(errors).toEqual([]);
  });

  test.each<[string, (peer: MemoryPeer) => void]>([
    ["somebody else says", (peer) => peer.say("end")],
    ["somebody else says, and it is as long", (peer) => peer.say("end".padEnd(19))],
    [
      "comes before all that was written",
      (peer) => {
        peer.sealed("never written");
        peer.say(peer.farewell("end"));
      },
    ],
    ["is a message", (peer) => peer.say(peer.sealed("end"))],
    ["says something else", (peer) => peer.say(peer.farewell("over" as "end"))],
    [
      "is said twice",
      (peer) => {
        peer.say(peer.farewell("end"));
        peer.say(peer.farewell("end"));
      },
    ],
  ])("that %s ends it as broken", async (_, act) => {
    const { ends, errors } = await ended(act);
    expect(ends[0]!.reason).toBe("malformed");
    expect(messageOf(ends[0]!.error)).toContain('the memory socket of "pong" was closed');
    expect(errors).toEqual([messageOf(ends[0]!.error)]);
  });

  test("comes to whoever reads it when all was read", async () => {
    await using stage = await SealedStage.open();
    stage.server.onData = undefined;
    stage.server.onConnection = async (socket) => {
      socket.write("one");
      socket.write("two");
      await socket.close();
    };
    const reader = new ClientSocket();
    const { rundir, client, keys } = stage;
    await reader.connect("pong", { rundir, ring, keys: client, peer: keys.publicKey });
    const heard: unknown[] = [];
    await until("all was read", () => {
      const bytes = reader.read({ timeout: 0 });
      if (bytes !== undefined) heard.push(bytes && text(bytes));
      return bytes === null;
    });
    expect(heard).toEqual(["one", "two", null]);
    expect((await reader.ended).reason).toBe("peer_closed");
  });

  test("is told as broken to who connects by name", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const ends: End[] = [];
    const [keys, mine] = [keyPair(), keyPair()];
    const seal = { keys, allow: [mine.publicKey] };
    const close = (_: unknown, end: End) => void ends.push(end);
    await using _ = await serve("pong", { close }, { rundir, seal, memory: { ring } });
    await using peer = await MemoryPeer.beginSealed("pong", rundir, mine, keys.publicKey);
    peer.write("plain text, and long enough to be a record");
    await until("its end is told", () => ends.length === 1);
    expect(ends[0]).toMatchObject({ reason: "malformed" });
    expect(messageOf(ends[0]!.error)).toContain("not the next that the other side has sealed");
  });
});
