/** udpd: a service of this machine, and remotes that send datagrams: few, thousands, and more than it likes. */

import { describe, expect, test } from "bun:test";
import { descriptorCount } from "../kit/census.ts";
import { earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { DaemonStage, Patient } from "../kit/daemon-stage.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

async function open(...words: string[]): Promise<DaemonStage> {
  const listen = words.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"];
  return await new DaemonStage().start("udpd", ...listen, "--allow", "pong", ...words);
}

class Remote implements Disposable {
  readonly received: Buffer[] = [];
  readonly #socket: Bun.udp.Socket<"buffer">;
  readonly #port: number;
  readonly #host: string;

  static async open(port: number, host = "127.0.0.1"): Promise<Remote> {
    let remote: Remote | undefined;
    const socket = await Bun.udpSocket({
      hostname: host,
      socket: {
        data: (_, bytes) => void remote?.received.push(Buffer.from(bytes)),
        // A daemon that has ended; what is not answered is waited for in vain.
        error: () => undefined,
      },
    });
    remote = new Remote(socket, port, host);
    return remote;
  }

  private constructor(socket: Bun.udp.Socket<"buffer">, port: number, host: string) {
    this.#socket = socket;
    this.#port = port;
    this.#host = host;
  }

  get texts(): string[] {
    return this.received.map((bytes) => bytes.toString());
  }

  send(bytes: string | Uint8Array): void {
    this.#socket.send(bytes, this.#port, this.#host);
  }

  async receives(text: string): Promise<void> {
    await until(
      () => `a remote receives ${text}; it has ${JSON.stringify(this.texts)}`,
      () => this.texts.includes(text),
    );
  }

  /** Asks again until there is an answer, as who uses UDP has to. */
  async ask(text: string): Promise<void> {
    let count = 0;
    await until(
      () => `a remote is answered ${text}`,
      () => {
        if (count++ % 100 === 0) this.send(text);
        return this.texts.includes(text);
      },
    );
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

describe("the command line", () => {
  test.each([
    [["--no-lookups"], "with neither --listen nor lookups there is nothing to do"],
    [["--allow", "pong"], "--allow names what remotes reach; without --listen there are none"],
    [["--listen", "127.0.0.1:0"], "--allow NAME has to be there once"],
    [
      ["--listen", "127.0.0.1:0", "--allow", "pong", "--allow", "hello"],
      "--allow NAME has to be there once",
    ],
    [["--listen", "::1:9"], '--listen: "::1:9" is no HOST:PORT'],
    [["--remotes-max", "0"], "--remotes-max: 0 is not from 1 to"],
  ])("%j is a usage error", async (words, complaint) => {
    const ended = await run(earshot("service", "udpd", ...words));
    expect(ended).toMatchObject({ code: 2, stdout: "" });
    expect(ended.stderr).toStartWith(`service: ${complaint}`);
  });

  test("is explained by --help", async () => {
    const { code, stdout } = await run(earshot("service", "udpd", "--help"));
    expect(code).toBe(0);
    for (const part of ["--listen HOST:PORT", "--remotes-max COUNT", "(default 4096)"]) {
      expect(stdout).toContain(part);
    }
  });

  test.each([
    ["nosuch.invalid:9", /^service: "nosuch\.invalid" leads to no address \(ENOTFOUND\); .*\n$/],
    [
      "192.0.2.1:9",
      /^service: cannot listen at 192\.0\.2\.1:9: it is no address of this machine\n$/,
    ],
  ])("says why it cannot listen at %s", async (listen, complaint) => {
    using scratch = new Scratch();
    const words = ["udpd", "--listen", listen, "--allow", "pong"];
    const ended = await run(earshot("service", ...words), { rundir: scratch.path });
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toMatch(complaint);
  });

  test("says so when somebody else listens there", async () => {
    await using stage = await open();
    const listen = `127.0.0.1:${stage.port}`;
    const words = ["udpd", "--no-lookups", "--listen", listen, "--allow", "pong"];
    const ended = await run(earshot("service", ...words), { rundir: stage.scratch.path });
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toMatch(
      /^service: cannot listen at .*: somebody listens there already\n$/,
    );
  });
});

describe("a datagram", () => {
  test.each([
    ["127.0.0.1:0", "127.0.0.1", "udp://127.0.0.1:"],
    ["[::1]:0", "::1", "udp://[::1]:"],
    ["0.0.0.0:0", "127.0.0.1", "udp://0.0.0.0:"],
    ["[::]:0", "127.0.0.1", "udp://[::]:"],
  ])("to %s is a message, and its answer a datagram", async (listen, host, url) => {
    await using stage = await open("--listen", listen);
    await stage.pong();
    expect(stage.url).toStartWith(url);
    expect(stage.daemon.stdout).toStartWith("udp: listening on ");
    using remote = await Remote.open(stage.port, host);
    remote.send("hello");
    await remote.receives("hello");
    expect(await stage.counters()).toMatchObject({ remotes: 1, datagrams_in: 1, bytes_out: 5 });
  });

  test("may be sent where a name leads", async () => {
    await using stage = await open("--listen", "localhost:0");
    await stage.pong();
    using remote = await Remote.open(stage.port, "::1").catch(() => Remote.open(stage.port));
    using other = await Remote.open(stage.port);
    remote.send("hello");
    other.send("hello");
    await until(
      "one of them is answered",
      () => remote.received.length + other.received.length > 0,
    );
  });

  test("may be empty, or as long as one can be", async () => {
    await using stage = await open();
    await stage.pong();
    using remote = await Remote.open(stage.port);
    for (const length of [0, 1, 1472, 65_507]) {
      const bytes = pattern(length);
      remote.send(bytes);
      await until("it comes back", () => remote.received.length === 1);
      expect(Buffer.compare(remote.received.pop()!, bytes)).toBe(0);
    }
  });

  test("that is longer than a message may be is dropped, and the next is not", async () => {
    await using stage = await open("--message-max", "1000");
    await stage.pong();
    using remote = await Remote.open(stage.port);
    remote.send(pattern(1001));
    await remote.ask("after");
    expect(await stage.counters()).toMatchObject({ dropped_too_long: 1, remotes: 1 });
  });
});

describe("a remote", () => {
  test("has a connection of its own, and its own answers", async () => {
    await using stage = await open();
    const service = await stage.pong();
    const remotes = await Promise.all(Array.from({ length: 20 }, () => Remote.open(stage.port)));
    for (let round = 0; round < 3; round++) {
      await Promise.all(remotes.map((remote, index) => remote.ask(`${index} ${round}`)));
    }
    expect(service.connections.size).toBe(20);
    for (const [index, remote] of remotes.entries()) {
      for (const text of remote.texts) expect(text).toStartWith(`${index} `);
      remote[Symbol.dispose]();
    }
  });

  test("is sent what the service has for it, asked or not", async () => {
    await using stage = await open();
    const patient = new Patient();
    await stage.serve("pong", patient.handlers);
    using remote = await Remote.open(stage.port);
    remote.send("hello");
    await patient.isAsked("hello");
    for (const text of ["one", "two", "three"]) patient.answer("hello", text);
    await remote.receives("three");
  });

  test("is not sent what is too long for a datagram, which is counted and told", async () => {
    await using stage = await open();
    const patient = new Patient();
    await stage.serve("pong", patient.handlers);
    using remote = await Remote.open(stage.port);
    remote.send("hello");
    await patient.isAsked("hello");
    patient.answer("hello", pattern(65_508));
    patient.answer("hello", "after");
    await remote.receives("after");
    expect(remote.texts).toEqual(["after"]);
    await stage.daemon.complains("an answer of 65508 bytes is too long for a datagram");
    expect(await stage.counters()).toMatchObject({ dropped_too_long: 1, datagrams_out: 1 });
  });

  test("that is silent has ended, sooner if it never got an answer for all one knows", async () => {
    await using stage = await open("--idle", "3", "--idle-new", "1");
    const service = await stage.pong();
    using fresh = await Remote.open(stage.port);
    using known = await Remote.open(stage.port);
    await known.ask("one");
    await known.ask("two");
    await fresh.ask("one");
    expect(service.connections.size).toBe(2);
    await until("the new one has ended", () => service.connections.size === 1);
    await known.ask("three");
    expect(await stage.counters()).toMatchObject({ remotes: 2, remotes_idle: 1 });
    await until("the other has too", () => service.connections.size === 0);
    await fresh.ask("again");
    expect(await stage.counters()).toMatchObject({ remotes: 3, remotes_idle: 2 });
  });

  test("too many is refused, and those that are there go on", async () => {
    await using stage = await open("--remotes-max", "2");
    const service = await stage.pong();
    const remotes = await Promise.all([1, 2, 3].map(() => Remote.open(stage.port)));
    await remotes[0]!.ask("first");
    await remotes[1]!.ask("second");
    for (let count = 0; count < 50; count++) remotes[2]!.send("third");
    await stage.daemon.complains("refused: there are as many remotes as are allowed");
    await remotes[0]!.ask("still here");
    await remotes[1]!.ask("and I");
    expect(remotes[2]!.texts).toEqual([]);
    expect(service.connections.size).toBe(2);
    for (const remote of remotes) remote[Symbol.dispose]();
  });
});

describe("a service", () => {
  test("that is not running is looked for with each datagram", async () => {
    await using stage = await open();
    using remote = await Remote.open(stage.port);
    remote.send("lost");
    await stage.daemon.complains('not connected: nobody serves "pong"');
    await stage.pong();
    await remote.ask("found");
    expect(remote.texts).not.toContain("lost");
    expect(await stage.counters()).toMatchObject({ dropped_service: 1 });
  });

  test("whose process dies is found again", async () => {
    await using stage = await open();
    const options = { rundir: stage.scratch.path };
    await using first = await startService(["pong"], options);
    using remote = await Remote.open(stage.port);
    await remote.ask("before");
    await first.end("SIGKILL");
    await using _ = await startService(["pong"], options);
    await remote.ask("after");
  });

  test("that does not read loses what there is no room for, and little is held", async () => {
    await using stage = await open("--remote-queue-max", "100000");
    await using pong = await startService(["pong"], { rundir: stage.scratch.path });
    using remote = await Remote.open(stage.port);
    await remote.ask("before");
    pong.signal("SIGSTOP");
    const bytes = pattern(10_000);
    await until("some is dropped", async () => {
      for (let count = 0; count < 20; count++) remote.send(bytes);
      return (await stage.counters())["dropped_queue"]! > 0;
    });
    expect(stage.daemon.stderr).toContain("sends faster than the service takes it");
    pong.signal("SIGCONT");
    await remote.ask("after");
  });
});

describe("a crowd", () => {
  test("of 2000 silent remotes leaves room for one that speaks, and goes when it is over", async () => {
    await using stage = await open();
    const service = await stage.pong();
    const before = descriptorCount(stage.daemon.pid);
    const crowd: Remote[] = [];
    for (let count = 0; count < 2000; count++) {
      const remote = await Remote.open(stage.port);
      crowd.push(remote);
      await remote.ask(`${count}`);
    }
    expect(service.connections.size).toBe(2000);
    using remote = await Remote.open(stage.port);
    for (let count = 0; count < 100; count++) await remote.ask(`${count}`);
    expect(descriptorCount(stage.daemon.pid) - before).toBeGreaterThanOrEqual(2001);
    for (const one of crowd) one[Symbol.dispose]();
    expect(await stage.daemon.end()).toMatchObject({ code: 0, signal: null });
    await until("no connection is left", () => service.connections.size === 0);
  }, 120_000);

  test("of one that floods does not keep another from its answers", async () => {
    await using stage = await open();
    await using _ = await startService(["pong"], { rundir: stage.scratch.path });
    using flood = await Remote.open(stage.port);
    using remote = await Remote.open(stage.port);
    const bytes = pattern(1000);
    for (let count = 0; count < 100; count++) {
      for (let more = 0; more < 200; more++) flood.send(bytes);
      await remote.ask(`${count}`);
    }
    expect(flood.received.length).toBeGreaterThan(0);
  });

  test("of invented remotes does not end what is there", async () => {
    await using stage = await open("--remotes-max", "50", "--idle-new", "1");
    const service = await stage.pong();
    using remote = await Remote.open(stage.port);
    await remote.ask("one");
    await remote.ask("two");
    const crowd = await Promise.all(Array.from({ length: 200 }, () => Remote.open(stage.port)));
    for (const one of crowd) one.send("hello");
    await until("some are refused", async () => {
      return (await stage.counters())["remotes_refused"]! > 0;
    });
    await remote.ask("three");
    for (const one of crowd) one[Symbol.dispose]();
    await until("they are gone, and it is not", () => service.connections.size === 1);
    await remote.ask("four");
    using late = await Remote.open(stage.port);
    await late.ask("five");
  });
});

const perl = Bun.which("perl");
/** Whether a datagram with an invented sender can be sent here, which takes rights and a tool. */
const canInvent = process.platform === "linux" && process.getuid?.() === 0 && perl !== null;

/** Sends "loop" to a port of this machine, as if from there. */
const invented = `
  use Socket;
  my ($port, $ip) = ($ARGV[0], inet_aton("127.0.0.1"));
  socket(my $raw, PF_INET, SOCK_RAW, 255) or die "socket: $!";
  my $udp = pack("nnnn", $port, $port, 12, 0) . "loop";
  my $head = pack("CCnnnCCna4a4", 0x45, 0, 32, 1, 0, 64, 17, 0, $ip, $ip);
  send($raw, $head . $udp, 0, pack_sockaddr_in($port, $ip)) or die "send: $!";`;

describe.skipIf(!canInvent)("a datagram that seems to come from the daemon itself", () => {
  test.each(["127.0.0.1:0", "0.0.0.0:0", "[::]:0"])("is not answered at %s", async (listen) => {
    await using stage = await open("--listen", listen);
    await stage.pong();
    const sent = await run([perl!, "-e", invented, `${stage.port}`]);
    expect(sent).toMatchObject({ code: 0, stderr: "" });
    await until("it is dropped", async () => (await stage.counters())["dropped_own"] === 1);
    using remote = await Remote.open(stage.port);
    await remote.ask("hello");
    expect(await stage.counters()).toMatchObject({ remotes: 1, dropped_own: 1 });
  });
});

describe("the end", () => {
  test("comes when what was asked is answered, and not before", async () => {
    await using stage = await open();
    const patient = new Patient();
    await stage.serve("pong", patient.handlers);
    using remote = await Remote.open(stage.port);
    remote.send("hello");
    await patient.isAsked("hello");
    stage.daemon.signal("SIGTERM");
    // Nothing tells when the daemon has heard it; where it has not yet, this shows less, but nothing wrong.
    await Bun.sleep(20);
    patient.answer("hello");
    await remote.receives("hello");
    expect(await stage.daemon.whenEnded()).toMatchObject({ code: 0, signal: null, stderr: "" });
  });

  test("does not wait for answers for ever", async () => {
    await using stage = await open();
    const patient = new Patient();
    await stage.serve("pong", patient.handlers);
    using remote = await Remote.open(stage.port);
    remote.send("hello");
    await patient.isAsked("hello");
    expect(await stage.daemon.end()).toMatchObject({ code: 0, signal: null, stderr: "" });
  });
});

describe("many datagrams at once", () => {
  test("have answers go out in between, and do not go to the service one by one", async () => {
    await using stage = await open();
    await stage.pong();
    using remote = await Remote.open(stage.port);
    await remote.ask("first");
    stage.daemon.signal("SIGSTOP");
    const count = 200;
    for (let at = 0; at < count; at++) remote.send(`${at}`);
    stage.daemon.signal("SIGCONT");
    for (let at = 0; at < count; at++) await remote.receives(`${at}`);
    expect((await stage.counters())["turns"]).toBeGreaterThan(0);
  });

  test("of many new remotes are read before all of these are connected", async () => {
    await using stage = await open("--no-lookups");
    await stage.pong();
    const remotes = await Promise.all(Array.from({ length: 200 }, () => Remote.open(stage.port)));
    stage.daemon.signal("SIGSTOP");
    for (const remote of remotes) remote.send("hello");
    stage.daemon.signal("SIGCONT");
    for (const remote of remotes) await remote.receives("hello");
    for (const remote of remotes) remote[Symbol.dispose]();
    expect(await stage.counters()).toMatchObject({ remotes: 200, dropped_system: 0 });
  });

  // Only there it can be told.
  test.if(process.platform === "linux")(
    "are counted if the system had no room for them",
    async () => {
      await using stage = await open();
      await stage.pong();
      using remote = await Remote.open(stage.port);
      stage.daemon.signal("SIGSTOP");
      const count = 20_000;
      const bytes = pattern(1000);
      for (let at = 0; at < count; at++) remote.send(bytes);
      stage.daemon.signal("SIGCONT");
      let counters: Record<string, number> = {};
      await until(
        () => `${count} have come or were dropped: ${JSON.stringify(counters)}`,
        async () => {
          counters = await stage.counters();
          return counters["datagrams_in"]! + counters["dropped_system"]! === count;
        },
      );
      expect(counters["dropped_system"]).toBeGreaterThan(0);
    },
  );
});
