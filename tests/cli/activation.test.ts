/** A service that a service manager has started: on the socket it was passed, and with a word for the manager. */

import { describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import type { Descriptor } from "../../src/index.ts";
import { connect, serve } from "../../src/index.ts";
import { Command, earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until, within } from "../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

/** A socket that listens at `rundir/name`, as the manager makes it: nobody accepts from it yet. */
async function listening(rundir: string, name: string): Promise<Descriptor> {
  const service = await serve(name, {}, { rundir });
  const [socket, lock] = service.copies();
  service.leave();
  lock!.close();
  return socket!;
}

/** Starts what `words` say with descriptors from 3 on, and the process id that they are for. */
function activate(
  descriptors: readonly number[],
  env: Record<string, string>,
  words: readonly string[],
) {
  return Bun.spawn({
    cmd: ["sh", "-c", `LISTEN_PID=\${LISTEN_PID:-$$} exec "$@"`, "sh", ...words],
    env: { ...process.env, LISTEN_FDS: `${descriptors.length}`, ...env },
    stdio: ["ignore", "pipe", "pipe", ...descriptors],
  });
}

async function outcome(child: ReturnType<typeof activate>) {
  const [code, stdout, stderr] = await within(
    "the end of it",
    Promise.all([
      child.exited,
      new Response(child.stdout as ReadableStream).text(),
      new Response(child.stderr as ReadableStream).text(),
    ]),
  );
  return { code, stdout, stderr };
}

describe("a socket that listens already", () => {
  test("is served, also for those who came before the service was up", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    using socket = await listening(rundir, "pong");
    await using early = await connect("pong", { rundir });
    const answer = early.request("early", { timeout: 10_000 });
    const child = activate([socket.number], { EARSHOT_RUNDIR: rundir }, earshot("service", "pong"));
    expect((await answer).text()).toBe("early");
    await using late = await connect("pong", { rundir });
    expect((await late.request("late")).text()).toBe("late");
    child.kill();
    expect(await outcome(child)).toEqual({
      code: 0,
      stdout: `pong: listening on ${rundir}/pong\n`,
      stderr: "",
    });
    // It is the manager's, who may start the service again.
    expect(statSync(scratch.join("pong")).isSocket()).toBe(true);
  });

  test("is found by its name among others, wherever it lies", async () => {
    using scratch = new Scratch();
    using other = await listening(scratch.path, "other");
    using socket = await listening(scratch.path, "elsewhere");
    const child = activate(
      [other.number, socket.number],
      { EARSHOT_RUNDIR: scratch.join("run"), LISTEN_FDNAMES: "other:pong.socket" },
      earshot("service", "pong"),
    );
    await using client = await connect("elsewhere", { rundir: scratch.path });
    expect((await client.request("hello")).text()).toBe("hello");
    child.kill();
    expect((await outcome(child)).stdout).toBe(`pong: listening on ${scratch.join("elsewhere")}\n`);
  });

  test("goes over to the next process like any other", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    using socket = await listening(rundir, "pong");
    const child = activate([socket.number], { EARSHOT_RUNDIR: rundir }, earshot("service", "pong"));
    await using client = await connect("pong", { rundir });
    expect((await client.request("one")).text()).toBe("one");
    await until("it offers itself", () => scratch.entries().includes("pong.takeover"));
    await using next = await startService(["pong", "--takeover"], { rundir });
    expect((await outcome(child)).stdout).toContain(`taken over by process ${next.pid};`);
    expect((await client.request("two")).text()).toBe("two");
  });

  test("of another process is none of ours", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    using socket = await listening(scratch.path, "elsewhere");
    const env = { EARSHOT_RUNDIR: rundir, LISTEN_PID: `${process.pid}` };
    const child = activate([socket.number], env, earshot("service", "pong"));
    await until("it serves its own", () => scratch.entries().includes("pong.takeover"));
    child.kill();
    expect((await outcome(child)).stdout).toBe(`pong: listening on ${rundir}/pong\n`);
  });

  test.each([
    [{}, 'of 2 sockets none is called "pong" (LISTEN_FDNAMES); they are called "", ""\n'],
    [{ LISTEN_FDNAMES: "a:b" }, 'none is called "pong" (LISTEN_FDNAMES); they are called "a", "b"'],
    [{ LISTEN_FDNAMES: "pong:pong" }, "more than one is called"],
    [{ LISTEN_FDNAMES: "pong" }, "LISTEN_FDNAMES has 1 names for 2 descriptors"],
    [{ LISTEN_FDS: "many" }, 'LISTEN_FDS is "many", and no number up to 1024'],
    [{ LISTEN_FDS: "900" }, "service: descriptor 5 is no"],
  ])("that cannot be told from others is an error: %j", async (env, complaint) => {
    using scratch = new Scratch();
    using one = await listening(scratch.path, "one");
    using two = await listening(scratch.path, "two");
    const all = { EARSHOT_RUNDIR: scratch.path, ...env };
    const child = activate([one.number, two.number], all, earshot("service", "pong"));
    const { code, stdout, stderr } = await outcome(child);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain(complaint);
  });

  test("has to be a socket, and to listen", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const words = earshot("service", "pong");
    await using _ = await serve("other", {}, { rundir });
    await using client = await connect("other", { rundir });
    const [connected] = client.copies();
    const talks = await outcome(activate([connected!.number], { EARSHOT_RUNDIR: rundir }, words));
    connected!.close();
    expect(talks.stderr).toContain("service: descriptor 3 is a socket that does not listen");
    const child = activate([Bun.file("/dev/null") as never], { EARSHOT_RUNDIR: rundir }, words);
    expect((await outcome(child)).stderr).toContain("service: descriptor 3 is no socket");
  });

  test("is nothing for a daemon that serves no name, whatever it is", async () => {
    using scratch = new Scratch();
    using named = await listening(scratch.path, "httpd");
    const socket = { data: () => undefined };
    const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
    // Its types have no descriptor.
    const { fd } = listener as typeof listener & { readonly fd: number };
    const words = earshot("service", "httpd", "--listen", "127.0.0.1:0");
    for (const number of [named.number, fd]) {
      const child = activate([number], { EARSHOT_RUNDIR: scratch.path }, words);
      expect((await outcome(child)).stderr).toBe(
        'service: "httpd" cannot use the socket that the service manager has passed: it does not serve a name alone\n',
      );
    }
    listener.stop(true);
  });

  test("is not taken over at the same time", async () => {
    using scratch = new Scratch();
    using socket = await listening(scratch.path, "pong");
    const words = earshot("service", "pong", "--takeover");
    const child = activate([socket.number], { EARSHOT_RUNDIR: scratch.path }, words);
    expect((await outcome(child)).stderr).toContain("leave out --takeover");
  });

  test("is told to nobody else: neither its descriptor nor its variables go on to children", async () => {
    using scratch = new Scratch();
    using socket = await listening(scratch.path, "pong");
    const index = new URL("../../src/index.ts", import.meta.url).pathname;
    const program =
      `import { activated } from ${JSON.stringify(index)};` +
      `const [found] = activated(); console.log(found.name, found.path, activated().length);` +
      `const { stdout } = Bun.spawnSync(["sh", "-c", "env; ls -l /proc/self/fd/3"], { env: process.env });` +
      `console.log(/LISTEN_|socket/.test(stdout.toString()));`;
    const env = { LISTEN_FDNAMES: "here" };
    const child = activate([socket.number], env, [process.execPath, "-e", program]);
    const { stdout, stderr } = await outcome(child);
    expect({ stdout, stderr }).toEqual({
      stdout: `here ${scratch.join("pong")} 0\nfalse\n`,
      stderr: "",
    });
  });

  test.skipIf(process.platform === "darwin")("of launchd is to be had on macOS alone", async () => {
    const { code, stderr } = await run(earshot("service", "pong", "--launchd", "Listeners"));
    expect({ code, stderr }).toEqual({ code: 1, stderr: "service: this system has no launchd\n" });
  });
});

describe("the service manager", () => {
  test.skipIf(Bun.which("socat") === null).each(["path", "abstract"])(
    "is told of readiness, of a takeover, and of the end (%s)",
    async (kind) => {
      if (kind === "abstract" && process.platform !== "linux") return;
      using scratch = new Scratch();
      const rundir = scratch.join("run");
      const path = scratch.join("notify");
      const address = kind === "path" ? path : `@${path}`;
      const from = kind === "path" ? `UNIX-RECV:${path}` : `ABSTRACT-RECV:${path}`;
      await using manager = new Command(["socat", "-u", from, "-"]);
      await until("the manager listens", async () => {
        if (kind === "path") return scratch.entries().includes("notify");
        return (await Bun.file("/proc/net/unix").text()).includes(address);
      });
      const env = { NOTIFY_SOCKET: address };
      await using first = await startService(["pong"], { rundir, env });
      const ready = `READY=1\nSTATUS=listening on ${rundir}/pong`;
      await manager.says(ready);
      await using second = await startService(["pong", "--takeover"], { rundir, env });
      await manager.says(`MAINPID=${second.pid}\n${ready}`);
      expect(await first.whenEnded()).toMatchObject({ code: 0, stderr: "" });
      expect(manager.stdout).not.toContain("STOPPING");
      expect(await second.end()).toMatchObject({ code: 0, stderr: "" });
      await manager.says("STOPPING=1");
      await manager.end();
    },
  );

  test("that is not there is told in vain, a line each time, and the service goes on", async () => {
    using scratch = new Scratch();
    const rundir = scratch.join("run");
    const NOTIFY_SOCKET = scratch.join("nobody");
    await using service = await startService(["pong"], { rundir, env: { NOTIFY_SOCKET } });
    await using client = await connect("pong", { rundir });
    expect((await client.request("hello")).text()).toBe("hello");
    await client.close();
    const line = `pong: the service manager was not told: ENOENT for "${NOTIFY_SOCKET}" (NOTIFY_SOCKET)\n`;
    expect(await service.end()).toMatchObject({ code: 0, stderr: line + line });
  });
});
