/** `service NAME`: starts, serves, tells of trouble, and ends as it is told to. */

import { describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { connect } from "../../src/index.ts";
import { earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { frame, header } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

const ask = (rundir: string, name: string, text: string) =>
  run(earshot("client", name, text), { rundir });

describe("a service", () => {
  test("says where it listens, when it does", async () => {
    using scratch = new Scratch();
    const rundir = scratch.join("run");
    await using service = await startService(["pong"], { rundir });
    expect(service.stdout).toBe(`pong: listening on ${rundir}/pong\n`);
    expect(await ask(rundir, "pong", "hello")).toMatchObject({
      code: 0,
      stdout: "hello\n",
      stderr: "",
    });
  });

  test("makes its run directory, for its user alone", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["pong"], { rundir: scratch.join("run") });
    expect(statSync(scratch.join("run")).mode & 0o777).toBe(0o700);
    expect(statSync(scratch.join("run/pong")).mode & 0o777).toBe(0o600);
  });

  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "closes at %s, removes its socket and its lock, and exits with 0",
    async (signal) => {
      using scratch = new Scratch();
      await using service = await startService(["pong"], { rundir: scratch.path });
      const client = await connect("pong", { rundir: scratch.path });
      await client.request("still here");
      expect(await service.end(signal)).toMatchObject({ code: 0, signal: null, stderr: "" });
      expect(scratch.entries()).toEqual([]);
      expect((await client.ended).reason).toBe("peer_closed");
    },
  );

  test("outlives its terminal under nohup", async () => {
    using scratch = new Scratch();
    const options = { rundir: scratch.path, shell: 'trap "" HUP; exec "$@"' };
    await using service = await startService(["pong"], options);
    service.signal("SIGHUP");
    expect(await ask(scratch.path, "pong", "hello")).toMatchObject({ code: 0, stdout: "hello\n" });
    expect(await service.end()).toMatchObject({ code: 0 });
  });

  test("that has rules reads them again at SIGHUP, and goes on, under nohup too", async () => {
    using scratch = new Scratch();
    for (const shell of ['exec "$@"', 'trap "" HUP; exec "$@"']) {
      await using service = await startService(["ipcd"], { rundir: scratch.path, shell });
      service.signal("SIGHUP");
      await service.says("ipc: reloaded\n");
      expect(await service.end()).toMatchObject({ code: 0, stderr: "" });
      expect(scratch.entries()).toEqual([]);
    }
  });

  test("does not wait for one that does not read when it is told twice", async () => {
    using scratch = new Scratch();
    await using service = await startService(["pong"], { rundir: scratch.path });
    using peer = await RawPeer.connect(scratch.join("pong"), { reads: false });
    // More than the kernel holds, so that answers wait in the service.
    peer.write(frame(new Uint8Array(8 * 1024 * 1024)));
    await peer.written();
    service.signal("SIGTERM");
    await until("the name is given up, which comes first", () => scratch.entries().length === 0);
    expect(await service.end()).toMatchObject({ code: 0, signal: null });
  });

  test("goes on when nobody reads what it prints", async () => {
    using scratch = new Scratch();
    await using service = await startService(["pong"], {
      rundir: scratch.path,
      shell: '{ "$@" 2>&1; echo "status $?" >&2; } | : & echo ": listening on "; wait',
    });
    await until("it answers, since nothing says when it listens", async () => {
      return (await ask(scratch.path, "pong", "hello")).stdout === "hello\n";
    });
    const { stdout } = await run(earshot("list", "--json"), { rundir: scratch.path });
    process.kill(JSON.parse(stdout).services[0].pid, "SIGTERM");
    expect(await service.whenEnded()).toMatchObject({ stderr: "status 0\n" });
    expect(scratch.entries()).toEqual([]);
  });

  test("can be served under another name, and in another place", async () => {
    using scratch = new Scratch();
    const rundir = scratch.join("elsewhere");
    await using service = await startService(
      ["--rundir", rundir, "hello", "--name", "greeter", "--poller", "poll"],
      { rundir: scratch.join("run") },
    );
    expect(service.stdout).toBe(`greeter: listening on ${rundir}/greeter\n`);
    expect((await ask(rundir, "greeter", "hello")).stdout).toBe('You said "hello"\n');
    expect(scratch.entries()).toEqual(["elsewhere"]);
  });

  test("is found where the environment says", async () => {
    using scratch = new Scratch();
    const unset = { EARSHOT_RUNDIR: undefined, RUNDIR: undefined, XDG_RUNTIME_DIR: undefined };
    const places: [Record<string, string>, string][] = [
      [{ XDG_RUNTIME_DIR: scratch.path }, "earshot/pong"],
      [{ XDG_RUNTIME_DIR: scratch.path, RUNDIR: scratch.join("libipc") }, "libipc/pong"],
      [{ RUNDIR: scratch.join("libipc"), EARSHOT_RUNDIR: scratch.join("ears") }, "ears/pong"],
    ];
    for (const [set, ending] of places) {
      const env = { ...unset, ...set };
      await using service = await startService(["pong"], { env });
      expect(service.stdout).toBe(`pong: listening on ${scratch.join(ending)}\n`);
      expect((await run(earshot("client", "pong", "here"), { env })).stdout).toBe("here\n");
    }
  });
});

describe("a second start", () => {
  test("exits with 1 and names the owner's process, and the first goes on", async () => {
    using scratch = new Scratch();
    await using first = await startService(["pong"], { rundir: scratch.path });
    const second = await run(earshot("service", "pong"), { rundir: scratch.path });
    expect(second).toMatchObject({
      code: 1,
      stdout: "",
      stderr:
        `service: "pong" is already served in ${scratch.path} by process ${first.pid}; ` +
        "stop that one or choose another name\n",
    });
    expect((await ask(scratch.path, "pong", "hello")).stdout).toBe("hello\n");
    expect((await first.end()).code).toBe(0);
  });

  test("after a SIGKILL serves at once", async () => {
    using scratch = new Scratch();
    for (let round = 0; round < 5; round++) {
      await using service = await startService(["pong"], { rundir: scratch.path });
      expect((await ask(scratch.path, "pong", `${round}`)).stdout).toBe(`${round}\n`);
      await service.end("SIGKILL");
      expect(scratch.entries()).toEqual([
        "pong",
        "pong.lock",
        "pong.takeover",
        "pong.takeover.lock",
      ]);
    }
  });
});

describe("what can be started", () => {
  test("is listed, a line each", async () => {
    const { code, stdout, stderr } = await run(earshot("service", "--list"));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => line.split(" ")[0])).toEqual(
      expect.arrayContaining(["hello", "pong"]),
    );
    for (const line of lines) expect(line).toMatch(/^\S+ {2,}\S.*$/);
  });

  test("is told to who asks for something else", async () => {
    using scratch = new Scratch();
    const rundir = scratch.join("run");
    for (const name of ["nosuch", "toString", "../pong", ".", "x".repeat(300)]) {
      const { code, stdout, stderr } = await run(earshot("service", name), { rundir });
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toStartWith(`service: there is no "${name}" to start; there are: hello, `);
      expect(stderr.split("\n")).toHaveLength(2);
    }
    expect(scratch.entries()).toEqual([]);
  });

  test("for one that no other process can go on with does not speak of that", async () => {
    const [httpd, pong] = await Promise.all(
      ["httpd", "pong"].map((name) => run(earshot("service", name, "--help"))),
    );
    expect([httpd!.code, pong!.code]).toEqual([0, 0]);
    for (const word of ["--takeover", "--launchd", "LISTEN_FDS"]) {
      expect(pong!.stdout).toContain(word);
      expect(httpd!.stdout).not.toContain(word);
    }
    expect(httpd!.stdout).toContain("NOTIFY_SOCKET");
  });

  test("and how, by --help", async () => {
    const { code, stdout, stderr } = await run(earshot("service", "--help"));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toStartWith("usage: service NAME");
    for (const option of ["--rundir DIR", "--poller KIND", "--list"])
      expect(stdout).toContain(option);
  });

  test.each([
    [[], "which one?"],
    [["pong", "--nosuch"], "unknown option '--nosuch'"],
    [["pong", "--rundir"], "option '--rundir <value>' argument missing"],
    [["pong", "--message-max", "12k"], '--message-max: "12k" is not a whole number'],
    [["pong", "--poller", "select"], '--poller: "select" is none of poll, epoll, kqueue'],
    [["pong", "--users", "root"], '--users: "root" is neither "anyone" nor user numbers'],
    // Cut to 32 bits it would be that of another.
    [
      ["pong", "--users", "4294968530"],
      '--users: "4294968530" is neither "anyone" nor user numbers',
    ],
    [["pong", "hello"], 'one at a time; "hello" is one too many'],
  ])("%j is a usage error", async (words, complaint) => {
    using scratch = new Scratch();
    const ended = await run(earshot("service", ...words), { rundir: scratch.join("run") });
    expect(ended).toMatchObject({ code: 2, stdout: "" });
    expect(ended.stderr).toStartWith(`service: ${complaint}`);
    expect(ended.stderr).toContain("\nusage: service NAME");
    expect(scratch.entries()).toEqual([]);
  });

  test("limits that do not go together are told", async () => {
    using scratch = new Scratch();
    const words = ["pong", "--message-max", "1000", "--queue-max", "10"];
    expect(await run(earshot("service", ...words), { rundir: scratch.path })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^service: --queue-max is 10; .*\n$/),
    });
  });
});

describe("what goes wrong with a peer is told, and disturbs nobody", () => {
  test.each([
    ["an HTTP request", "GET / HTTP/1.1\r\n\r\n", "message_too_long"],
    ["a length over the limit", header(1001), "message_too_long"],
    ["the beginning of a message", header(5), "truncated"],
  ])("%s", async (_, bytes, reason) => {
    using scratch = new Scratch();
    await using service = await startService(["pong", "--message-max", "1000"], {
      rundir: scratch.path,
    });
    await using other = await connect("pong", { rundir: scratch.path });
    await other.request("before");
    using peer = await RawPeer.connect(scratch.join("pong"));
    peer.write(Buffer.from(bytes));
    await peer.written();
    if (reason === "truncated") peer.endWriting();
    await peer.gone();
    await service.complains(`(${reason})\n`);
    expect(service.stderr).toMatch(
      new RegExp(`^pong: connection of process ${process.pid} \\(user \\d+\\) ended: .*\n$`),
    );
    expect((await other.request("after")).text()).toBe("after");
    expect((await service.end()).code).toBe(0);
  });

  test("one that does not read is closed at the queue limit", async () => {
    using scratch = new Scratch();
    const limits = ["--message-max", "65536", "--queue-max", "1000000"];
    await using service = await startService(["pong", ...limits], { rundir: scratch.path });
    using peer = await RawPeer.connect(scratch.join("pong"), { reads: false });
    for (let count = 0; count < 100; count++) peer.write(frame(new Uint8Array(65536)));
    await service.complains("(queue_limit)\n");
    expect((await ask(scratch.path, "pong", "hello")).stdout).toBe("hello\n");
  });

  test("one whose answer would be too long is closed", async () => {
    using scratch = new Scratch();
    await using service = await startService(["hello", "--message-max", "20"], {
      rundir: scratch.path,
    });
    const { code } = await ask(scratch.path, "hello", "x".repeat(20));
    expect(code).toBe(1);
    await service.complains("and closed: a message of 31 bytes");
    expect((await ask(scratch.path, "hello", "short")).stdout).toBe('You said "short"\n');
  });

  test("a user who is not allowed is refused", async () => {
    using scratch = new Scratch();
    await using service = await startService(["pong", "--users", "4242,4243"], {
      rundir: scratch.path,
    });
    const { code, stdout, stderr } = await ask(scratch.path, "pong", "hello");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^client: "pong" went away without an answer \(\w+\)\n$/);
    await service.complains("its user is not allowed (not_allowed)\n");
    expect(service.stderr).toMatch(/^pong: refused process \d+ \(user \d+\): /);
  });

  test("more connections than allowed are refused", async () => {
    using scratch = new Scratch();
    await using service = await startService(["pong", "--connections-max", "1"], {
      rundir: scratch.path,
    });
    await using first = await connect("pong", { rundir: scratch.path });
    await first.request("here");
    expect((await ask(scratch.path, "pong", "hello")).code).toBe(1);
    await service.complains("as many connections as are allowed (connections_limit)\n");
    expect((await first.request("still here")).text()).toBe("still here");
  });

  test("accepting pauses without descriptors, and goes on when there are some", async () => {
    using scratch = new Scratch();
    const options = { rundir: scratch.path, shell: 'ulimit -n 40; exec "$@"' };
    await using service = await startService(["pong"], options);
    const peers: RawPeer[] = [];
    for (let count = 0; count < 60; count++) {
      peers.push(await RawPeer.connect(scratch.join("pong")));
    }
    await service.complains("accepting goes on when there are some (descriptor_limit)\n");
    for (const peer of peers) peer.close();
    expect((await ask(scratch.path, "pong", "hello")).stdout).toBe("hello\n");
    expect((await service.end()).code).toBe(0);
  });

  test("a flood of it is counted, and not told one by one", async () => {
    using scratch = new Scratch();
    await using service = await startService(["pong"], { rundir: scratch.path });
    const total = 200;
    const peers = await Promise.all(
      Array.from({ length: total }, () => RawPeer.connect(scratch.join("pong"))),
    );
    for (const peer of peers) peer.write(header(0xffff_ffff));
    for (const peer of peers) await peer.gone();
    const { code, stderr } = await service.end();
    expect(code).toBe(0);
    const lines = stderr.trimEnd().split("\n");
    const told = lines.filter((line) => line.endsWith("(message_too_long)")).length;
    const counts = lines.map((line) => /same: (\d+) message_too_long$/.exec(line)?.[1] ?? 0);
    expect(told).toBeGreaterThan(0);
    expect(told).toBeLessThan(total);
    expect(told + counts.reduce<number>((sum, count) => sum + Number(count), 0)).toBe(total);
  });
});
