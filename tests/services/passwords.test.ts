/** The service `passwords`: what a client keeps, that nobody else sees it, and that nothing is left of it. */

import { expect, test } from "bun:test";
import {
  chmodSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { connect } from "../../src/index.ts";
import { type Passwords, PasswordsError } from "../../src/services/passwords/client.ts";
import { itemBytesMax, requestParts } from "../../src/services/passwords/format.ts";
import { hexOf } from "../kit/bytes.ts";
import { canCount } from "../kit/census.ts";
import { Command, earshot, leaveNoCommand, run } from "../kit/command.ts";
import { frame, header, join as joined } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern, Random } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";
import {
  bytes,
  childrenOf,
  isRunning,
  openOf,
  PasswordsStage,
  processesIn,
  started,
  statusOf,
  text,
} from "./passwords/stage.ts";

leaveNoTrace();
leaveNoCommand();

const isCounted = test.if(canCount);

test("what is set is there until it is deleted, and a missing key is an error", async () => {
  await using stage = await started();
  using passwords = await stage.open();
  expect(passwords.keyset()).toEqual([]);
  passwords.set(bytes("mail"), bytes("secret"));
  passwords.set(bytes("mail"), bytes("another"));
  passwords.set(bytes("empty"), bytes(""));
  expect(text(passwords.get(bytes("mail")))).toBe("another");
  expect(passwords.get(bytes("empty")).length).toBe(0);
  expect(passwords.keyset().map(text)).toEqual(["mail", "empty"]);
  expect([passwords.has(bytes("mail")), passwords.has(bytes("nail"))]).toEqual([true, false]);
  passwords.delete(bytes("mail"));
  expect(await statusOf(() => passwords.get(bytes("mail")))).toBe("missing");
  expect(await statusOf(() => passwords.delete(bytes("mail")))).toBe("missing");
});

test("keys and values of every length and any bytes", async () => {
  await using stage = await started();
  using passwords = await stage.open();
  const random = new Random(5);
  const lengths = [0, 1, 127, 128, 129, 255, 256, 300, 65_535, itemBytesMax];
  const items = lengths.map((length) => ({
    key: random.bytes(length),
    value: length === itemBytesMax ? pattern(length) : random.bytes(length),
  }));
  for (const { key, value } of items) {
    passwords.set(key, value);
    expect(hexOf(passwords.get(key)) === hexOf(value)).toBe(true);
  }
  const keys = passwords.keyset();
  for (const [at, { key, value }] of items.entries()) {
    expect(Buffer.compare(keys[at]!, key)).toBe(0);
    expect(Buffer.compare(passwords.get(key), value)).toBe(0);
    // Short ones may have come up twice.
    expect(passwords.has(key)).toBe(true);
  }
  const long = new Uint8Array(itemBytesMax + 1);
  expect(await statusOf(() => passwords.set(long, bytes("")))).toBe("too_long");
  expect(await statusOf(() => passwords.set(bytes("a"), long))).toBe("too_long");
  expect(text(passwords.get(bytes(""))) === text(items[0]!.value)).toBe(true);
});

test("each client begins with what the file has, and sees nobody's changes", async () => {
  using scratch = new Scratch();
  const state = scratch.join("state.json");
  writeFileSync(state, '{ "mail": "initial", "bytes": { "base64": "AP8K" } }');
  await using stage = await started("--state", state);
  using one = await stage.open();
  using other = await stage.open();
  one.set(bytes("mail"), bytes("one's"));
  one.set(bytes("own"), bytes("one's"));
  other.delete(bytes("bytes"));
  expect(text(other.get(bytes("mail")))).toBe("initial");
  expect(other.has(bytes("own"))).toBe(false);
  expect(hexOf(one.get(bytes("bytes")))).toBe("00ff0a");
  using third = await stage.open();
  expect(third.keyset().map(text)).toEqual(["mail", "bytes"]);
  expect(text(third.get(bytes("mail")))).toBe("initial");
});

test("a file that is no good is refused whole, with its line, before anything is served", async () => {
  using scratch = new Scratch();
  const state = scratch.join("state.json");
  writeFileSync(state, '{\n  "mail": "hunter2",\n  "other": 7\n}');
  const words = earshot("service", "passwords", "--state", state);
  const { code, stderr } = await run(words, { rundir: scratch.path });
  expect(code).toBe(2);
  expect(stderr).toContain(`--state: ${state}, line 3: the value of "other" is a number`);
  expect(stderr).not.toContain("hunter2");
  const missing = await run(earshot("service", "passwords", "--state", scratch.join("none")), {
    rundir: scratch.path,
  });
  expect(missing.code).toBe(2);
  expect(missing.stderr).toContain("cannot be read: ENOENT");
  expect(scratch.entries()).toEqual(["state.json"]);
});

isCounted("a signal while it starts ends it soon, and nothing of it is left", async () => {
  using scratch = new Scratch();
  const begin = async () => {
    const command = new Command(earshot("service", "passwords"), { rundir: scratch.path });
    // Until the child is that, its parent waits for it to become it, and hears nothing.
    const isZygote = (pid: number) =>
      readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("zygote");
    await until("its zygote is there", () => childrenOf(command.pid).some(isZygote));
    return command;
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    await using service = await begin();
    // It is never warm.
    for (const pid of childrenOf(service.pid)) process.kill(pid, "SIGSTOP");
    const ended = await service.end(signal);
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: "", stderr: "" });
    expect(processesIn(scratch.path)).toEqual([]);
    expect(scratch.entries()).toEqual([]);
  }
  for (const afterMs of [0, 50, 100, 150, 200, 250, 300, 400, 500]) {
    await using service = await begin();
    await Bun.sleep(afterMs);
    expect(await service.end()).toMatchObject({ code: 0, signal: null, stderr: "" });
    expect(processesIn(scratch.path)).toEqual([]);
    expect(scratch.entries()).toEqual([]);
  }
});

test("what is sealed needs its key with each request, and nothing else does", async () => {
  await using stage = await started();
  using passwords = await stage.open();
  passwords.set(bytes("before"), bytes("plain"));
  passwords.seal(pattern(32));
  passwords.set(bytes("after"), bytes("sealed"));
  expect(text(passwords.get(bytes("before")))).toBe("plain");
  expect(text(passwords.get(bytes("after")))).toBe("sealed");
  expect(await statusOf(() => passwords.seal(pattern(32, 1)))).toBe("wrong_key");
  expect(passwords.keyset().map(text)).toEqual(["before", "after"]);
});

test("what a client may keep is bounded, and what it has goes on", async () => {
  await using stage = await started("--bytes-max", "200");
  using passwords = await stage.open();
  passwords.set(bytes("a"), new Uint8Array(100));
  expect(await statusOf(() => passwords.set(bytes("b"), new Uint8Array(100)))).toBe("full");
  passwords.delete(bytes("a"));
  passwords.set(bytes("b"), new Uint8Array(100));
  expect(passwords.keyset().map(text)).toEqual(["b"]);
});

test("nonsense is answered in its place, and what is too long ends only its own copy", async () => {
  await using stage = await started();
  const [from, to] = await stage.pipes();
  const nonsense = [new Uint8Array(0), Uint8Array.of(9, 0), Uint8Array.of(2), Uint8Array.of(3, 7)];
  const good = frame(Uint8Array.of(3, 0));
  writeSync(to.number, joined([...nonsense.map(frame), good, header(2 ** 31)]));
  await stage.hasCopies(0);
  const room = Buffer.alloc(65_536);
  const all = room.subarray(0, readSync(from.number, room));
  const statuses: number[] = [];
  for (let at = 0; at < all.length; at += 4 + all.readUInt32BE(at)) statuses.push(all[at + 4]!);
  expect(statuses).toEqual([0, 4, 5, 4, 4, 0, 2]);
  from.close();
  to.close();
  await stage.counts({ ended_broken: 1, clients: 0 });
});

test("who says something else than hello is told, and costs no copy", async () => {
  await using stage = await started();
  const { path: rundir } = stage.scratch;
  for (const said of ["", "\u0002", "hello?"]) {
    const connection = await connect("passwords", { rundir, descriptors: { max: 2 } });
    const answer = await connection.request(said);
    expect([answer.bytes[0], answer.bytes[1], answer.descriptors.length]).toEqual([1, 4, 0]);
    await connection.ended;
  }
  await stage.counts({ refused_hello: 3, admitted: 0, clients: 0 });
  using passwords = await stage.open();
  expect(passwords.keyset()).toEqual([]);
});

isCounted(
  "a copy keeps itself from dumps and other eyes, and nobody else holds its pipes",
  async () => {
    await using stage = await started();
    using passwords = await stage.open();
    using _ = await stage.open();
    passwords.set(bytes("a"), bytes("b"));
    const [one, other] = stage.copies() as [number, number];
    for (const pid of [one, other]) {
      expect(readFileSync(`/proc/${pid}/limits`, "utf8")).toMatch(/Max core file size\s+0\s+0/);
      expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(/NoNewPrivs:\s+1/);
    }
    // Requests and answers; what both live by they have in common.
    const own = pipesOf(one).difference(pipesOf(other));
    expect(own.size).toBe(2);
    for (const pid of [stage.daemon.pid, stage.zygote]) {
      expect([...own.intersection(pipesOf(pid))]).toEqual([]);
    }
  },
);

/** The pipes that a process has an end of, each by its number. */
function pipesOf(pid: number): Set<string> {
  const found = readdirSync(`/proc/${pid}/fd`).map((number) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${number}`);
    } catch {
      return "";
    }
  });
  return new Set(found.filter((what) => what.startsWith("pipe:")));
}

isCounted(
  "a thousand sessions, of clients that leave in order, at once or in the middle, at random, leave nothing",
  async () => {
    const seed = 20_261_121;
    const random = new Random(seed);
    await using stage = await started();
    using first = await stage.open();
    first.set(bytes("first"), bytes("first"));
    const { zygote } = stage;
    const before = { service: openOf(stage.daemon.pid), zygote: openOf(zygote) };
    const sessions: { passwords: Passwords; secret: Uint8Array; key: Uint8Array }[] = [];
    const leave = (at: number) => {
      const [{ passwords, secret, key }] = sessions.splice(at, 1) as [(typeof sessions)[number]];
      expect(hexOf(passwords.get(key))).toBe(hexOf(secret));
      expect(passwords.keyset().map(hexOf)).toEqual([hexOf(key)]);
      passwords.close();
    };
    for (let cycle = 0; cycle < 1000; cycle++) {
      const secret = random.bytes(1 + random.below(64));
      const key = random.bytes(16);
      switch (random.below(4)) {
        case 0:
        case 1: {
          const passwords = await stage.open();
          // Neither what somebody has left behind nor what somebody else has now.
          expect(passwords.keyset()).toEqual([]);
          passwords.set(key, secret);
          sessions.push({ passwords, secret, key });
          break;
        }
        case 2: {
          const [from, to] = await stage.pipes();
          const request = frame(joined(requestParts({ kind: "set", key, value: secret })));
          writeSync(to.number, request.subarray(0, random.below(request.length)));
          // In one order or the other.
          for (const end of random.below(2) === 0 ? [from, to] : [to, from]) end.close();
          break;
        }
        default: {
          const [from, to] = await stage.pipes();
          writeSync(to.number, frame(joined(requestParts({ kind: "set", key, value: secret }))));
          writeSync(to.number, frame(joined(requestParts({ kind: "get", key }))));
          from.close();
          to.close();
        }
      }
      while (sessions.length > random.below(9)) leave(random.below(sessions.length));
    }
    while (sessions.length > 0) leave(0);
    expect(first.keyset().map(text)).toEqual(["first"]);
    await stage.hasCopies(1);
    await until(
      () => `descriptors are as before (seed ${seed}): ${JSON.stringify(openOf(stage.daemon.pid))}`,
      () => Bun.deepEquals({ service: openOf(stage.daemon.pid), zygote: openOf(zygote) }, before),
    );
    expect(stage.zygote).toBe(zygote);
    await stage.counts({ admitted: 1001, clients: 1, ended_killed: 0, unavailable: 0 });
  },
);

isCounted("a client that is killed takes its copy with it", async () => {
  await using stage = await started();
  const program = join(import.meta.dir, "passwords", "programs", "client.ts");
  for (let round = 0; round < 5; round++) {
    const client = Bun.spawn({
      cmd: [process.execPath, program, stage.scratch.path, `secret ${round}`],
      stdout: "pipe",
    });
    try {
      for await (const said of client.stdout) {
        expect(Buffer.from(said).toString()).toBe("set\n");
        break;
      }
      await stage.hasCopies(1);
    } finally {
      client.kill("SIGKILL");
      await client.exited;
    }
    await stage.hasCopies(0);
    using next = await stage.open();
    expect(next.keyset()).toEqual([]);
  }
});

isCounted("a hundred clients at once, each with its own", async () => {
  await using stage = await started();
  const clients = await Promise.all(Array.from({ length: 100 }, () => stage.open()));
  for (const [at, client] of clients.entries()) client.set(bytes("mine"), bytes(`of ${at}`));
  await stage.hasCopies(100);
  for (const [at, client] of clients.entries()) {
    expect(text(client.get(bytes("mine")))).toBe(`of ${at}`);
  }
  for (const client of clients) client.close();
  await stage.hasCopies(0);
  await stage.counts({ admitted: 100, clients: 0, ended: 100 });
});

isCounted("a copy that is killed is told to its client alone", async () => {
  await using stage = await started();
  using victim = await stage.open();
  const [pid] = stage.copies();
  using bystander = await stage.open();
  bystander.set(bytes("a"), bytes("b"));
  process.kill(pid!, "SIGKILL");
  await until("it is gone", () => !isRunning(pid!));
  expect(await statusOf(() => victim.get(bytes("a")))).toBe("ended");
  expect(await statusOf(() => victim.get(bytes("a")))).toBe("ended");
  expect(text(bystander.get(bytes("a")))).toBe("b");
  await stage.hasCopies(1);
  await stage.counts({ ended_killed: 1, clients: 1 });
});

isCounted(
  "the zygote is killed under load: who has a copy keeps it, and who comes gets one",
  async () => {
    await using stage = await started();
    const kept = await Promise.all(Array.from({ length: 5 }, () => stage.open()));
    for (const [at, client] of kept.entries()) client.set(bytes("mine"), bytes(`${at}`));
    for (let round = 0; round < 3; round++) {
      const { zygote } = stage;
      const coming = Array.from({ length: 10 }, () => stage.open());
      process.kill(zygote, "SIGKILL");
      const came = await Promise.all(coming);
      for (const client of came) {
        expect(client.keyset()).toEqual([]);
        client.close();
      }
      using after = await stage.open();
      expect(after.keyset()).toEqual([]);
    }
    for (const [at, client] of kept.entries()) {
      expect(text(client.get(bytes("mine")))).toBe(`${at}`);
      client.close();
    }
    await stage.counts({ zygote_restarts: 3, clients: 0 });
  },
);

isCounted("the service is killed: its clients are told, and no process is left", async () => {
  await using stage = await started();
  const clients = await Promise.all(Array.from({ length: 5 }, () => stage.open()));
  stage.daemon.signal("SIGKILL");
  await stage.daemon.whenEnded();
  for (const client of clients) expect(await statusOf(() => client.keyset())).toBe("ended");
  await until(
    () => `no process is left; there are ${processesIn(stage.scratch.path)}`,
    () => processesIn(stage.scratch.path).length === 0,
  );
});

isCounted(
  "the service ends in order: its clients are told why, and no process is left",
  async () => {
    await using stage = await started();
    using client = await stage.open();
    client.set(bytes("a"), bytes("b"));
    expect(await stage.daemon.end()).toMatchObject({ code: 0, stderr: "" });
    const failure = await Promise.try(() => client.get(bytes("a"))).catch((error) => error);
    expect(failure.message).toBe("the service has ended, and its copies with it");
    expect(stage.scratch.entries()).toEqual([]);
    await until("no process is left", () => processesIn(stage.scratch.path).length === 0);
  },
);

isCounted(
  "a client that reads no answers keeps nobody waiting, and is gone when it is idle",
  async () => {
    await using stage = await started("--idle", "1");
    const [from, to] = await stage.pipes();
    const value = new Uint8Array(40_000);
    const set = frame(joined(requestParts({ kind: "set", key: bytes("a"), value })));
    const get = frame(joined(requestParts({ kind: "get", key: bytes("a") })));
    writeSync(to.number, set);
    for (let count = 0; count < 10; count++) writeSync(to.number, get);
    using other = await stage.open();
    other.set(bytes("a"), bytes("b"));
    expect(text(other.get(bytes("a")))).toBe("b");
    await stage.hasCopies(0);
    expect(await statusOf(() => other.get(bytes("a")))).toBe("idle");
    await stage.counts({ ended_idle: 2, clients: 0 });
    from.close();
    to.close();
  },
);

test("as many clients as may be, in all and of one user, and the next is told so", async () => {
  await using stage = await started("--clients-max", "3");
  const clients = await Promise.all(Array.from({ length: 3 }, () => stage.open()));
  expect(await statusOf(() => stage.open())).toBe("busy");
  clients.pop()!.close();
  await stage.counts({ clients: 2 });
  clients.push(await stage.open());
  for (const client of clients) client.close();
  await stage.counts({ refused_busy: 1, refused_user: 0 });
  await using strict = await started("--user-clients-max", "1");
  using _ = await strict.open();
  expect(await statusOf(() => strict.open())).toBe("busy");
  await strict.counts({ refused_busy: 0, refused_user: 1 });
});

/** As many clients as there is room for, each of which keeps something of its own, and what the next one was told. */
async function openUntilRefused(stage: PasswordsStage) {
  const clients: Passwords[] = [];
  let refusal: unknown;
  while (refusal === undefined && clients.length < 80) {
    await stage.open().then(
      (client) => clients.push(client),
      (error) => {
        refusal = error;
      },
    );
  }
  expect(refusal).toBeInstanceOf(PasswordsError);
  expect(clients.length).toBeGreaterThan(5);
  for (const [at, client] of clients.entries()) client.set(bytes("mine"), bytes(`${at}`));
  for (const [at, client] of clients.entries())
    expect(text(client.get(bytes("mine")))).toBe(`${at}`);
  return { clients, refusal: refusal as PasswordsError };
}

isCounted(
  "no descriptors are left: who comes is told, the others go on, and there is room again",
  async () => {
    await using stage = new PasswordsStage();
    await stage.startIn('ulimit -n 80; exec "$@"');
    const { clients, refusal } = await openUntilRefused(stage);
    expect(refusal.message).toContain("no file descriptors are left");
    clients.pop()!.close();
    await stage.counts({ clients: clients.length });
    clients.push(await stage.open());
    for (const client of clients) client.close();
    await stage.counts({ clients: 0 });
    expect(stage.daemon.stderr).toContain("no copy could be made: EMFILE");
  },
);

const nobody = 65_534;
const isUser = test.if(canCount && process.getuid!() === 0 && Bun.which("setpriv") !== null);

isUser("another user, who may not lock memory, and has no more processes than he may", async () => {
  await using stage = new PasswordsStage();
  chmodSync(stage.scratch.path, 0o1777);
  // Processes and threads that he has count for all that he has on this machine.
  const words = `--reuid=${nobody} --regid=${nobody} --clear-groups`;
  await stage.startIn(
    `exec setpriv ${words} prlimit --nproc=${usedBy(nobody) + 40} "$@"`,
    "--shared",
  );
  const { clients, refusal } = await openUntilRefused(stage);
  expect(refusal.status).toBe("unavailable");
  expect(refusal.message).toMatch(/ulimit -u|ended before it began/);
  // Forks work for him as well.
  expect(stage.daemon.stderr).not.toContain("forks do not work");
  // Nobody of his user may look into a copy.
  for (const pid of stage.copies()) {
    const look = Bun.spawn({
      cmd: ["setpriv", ...words.split(" "), "cat", `/proc/${pid}/maps`],
      stdio: ["ignore", "pipe", "ignore"],
    });
    // Of one that has just ended everybody may see that there is nothing.
    expect(await look.stdout.text()).toBe("");
    await look.exited;
  }
  for (const client of clients) client.close();
  await stage.counts({ clients: 0 });
});

/** Processes and threads of a user. */
function usedBy(uid: number): number {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .reduce((sum, pid) => {
      try {
        if (statSync(`/proc/${pid}`).uid !== uid) return sum;
        return sum + readdirSync(`/proc/${pid}/task`).length;
      } catch {
        return sum;
      }
    }, 0);
}
