/** `service NAME --takeover`: who comes, who leaves, and what either of them says. */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { constants as osConstants } from "node:os";
import { connect, list, serve } from "../../src/index.ts";
import { canCount } from "../kit/census.ts";
import { Command, earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { frame, header } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

const takeover = (rundir: string, name = "pong") => startService([name, "--takeover"], { rundir });

/** Whether a process has a handler for a signal: from then on that does not end it by itself. */
function catches(pid: number, signal: number): boolean {
  const [, mask] = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))!;
  return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}

describe("a takeover", () => {
  test("leaves the name, its connections and the next takeover to the new process", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    await using first = await startService(["pong"], { rundir });
    await using client = await connect("pong", { rundir });
    expect((await client.request("one")).text()).toBe("one");
    await using second = await takeover(rundir);
    expect(await first.whenEnded()).toMatchObject({
      code: 0,
      stderr: "",
      stdout:
        `pong: listening on ${rundir}/pong\n` +
        `pong: taken over by process ${second.pid}; finishing 1 connection\n`,
    });
    expect(second.stdout).toBe(
      `pong: taken over from process ${first.pid}\npong: listening on ${rundir}/pong\n`,
    );
    expect((await client.request("two")).text()).toBe("two");
    expect(list({ rundir })).toMatchObject([{ name: "pong", state: "live", pid: second.pid }]);
    await using third = await takeover(rundir);
    expect(third.stdout).toContain(`from process ${second.pid}\n`);
    expect((await second.whenEnded()).code).toBe(0);
    expect((await client.request("three")).text()).toBe("three");
    await client.close();
    expect((await third.end()).code).toBe(0);
    expect(scratch.entries()).toEqual([]);
  });

  test("of what nobody runs is a start as usual, after a kill as well", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    for (let round = 0; round < 3; round++) {
      await using service = await takeover(rundir);
      expect(service.stdout).toBe(
        "pong: nobody offers it to be taken over; starting as usual\n" +
          `pong: listening on ${rundir}/pong\n`,
      );
      await service.end("SIGKILL");
    }
  });

  test.if(canCount)(
    "that is not answered is given up at a signal, and the one that runs it goes on",
    async () => {
      using scratch = new Scratch();
      const rundir = scratch.path;
      await using first = await startService(["pong"], { rundir });
      first.signal("SIGSTOP");
      for (const signal of ["SIGTERM", "SIGINT"] as const) {
        await using second = new Command(earshot("service", "pong", "--takeover"), { rundir });
        await until("it listens to signals", () =>
          catches(second.pid, osConstants.signals[signal]),
        );
        expect(await second.end(signal)).toMatchObject({
          code: 0,
          signal: null,
          stdout: "",
          stderr: "",
        });
      }
      first.signal("SIGCONT");
      await using client = await connect("pong", { rundir });
      expect((await client.request("one")).text()).toBe("one");
      await using third = await takeover(rundir);
      expect(third.stdout).toContain(`from process ${first.pid}\n`);
    },
  );

  test("of what a program serves that does not offer it is refused", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    await using _ = await serve("pong", {}, { rundir });
    const refused = await run(earshot("service", "pong", "--takeover"), { rundir });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(`"pong" is already served in ${rundir}`);
  });

  test("that fails leaves everything as it was", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    await using first = await startService(["pong"], { rundir });
    await using client = await connect("pong", { rundir });
    const words = ["pong", "--takeover", "--message-max", "1000", "--queue-max", "10"];
    expect((await run(earshot("service", ...words), { rundir })).code).toBe(1);
    expect((await client.request("still")).text()).toBe("still");
    expect(list({ rundir })).toMatchObject([{ state: "live", pid: first.pid }]);
    await using second = await takeover(rundir);
    expect((await first.whenEnded()).code).toBe(0);
    await client.close();
    await second.end();
    expect(scratch.entries()).toEqual([]);
  });

  test("works under another name, too", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    await using first = await startService(["hello", "--name", "greeter"], { rundir });
    await using second = await startService(["hello", "--name", "greeter", "--takeover"], {
      rundir,
    });
    expect(await first.whenEnded()).toMatchObject({
      stdout: expect.stringContaining(`by process ${second.pid}; no connection is left\n`),
    });
  });

  test("waits for connections in the middle of something, and ends at a signal meanwhile", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    await using first = await startService(["pong"], { rundir });
    using peer = await halfSaid(scratch.join("pong"));
    await using second = await takeover(rundir);
    await first.says("finishing 1 connection\n");
    expect(await first.end()).toMatchObject({ code: 0 });
    await peer.gone();
    expect(list({ rundir })).toMatchObject([{ state: "live", pid: second.pid }]);
  });

  test("waits for them no longer than it is told to", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    await using first = await startService(["pong", "--finish", "0"], { rundir });
    using peer = await halfSaid(scratch.join("pong"));
    await using _second = await takeover(rundir);
    expect(await first.whenEnded()).toMatchObject({ code: 0 });
    await peer.gone();
  });
});

/** A client that has begun a message, and does not go on. */
async function halfSaid(path: string): Promise<RawPeer> {
  const peer = await RawPeer.connect(path);
  // An answer shows that the service has read as far as this.
  peer.write(Buffer.concat([frame(Buffer.from("whole")), header(10)]));
  await peer.written();
  await peer.received(1);
  return peer;
}

test("a service whose name leaves no room for the offer is served all the same", async () => {
  using scratch = new Scratch();
  const name = "x".repeat(60);
  await using service = await startService(["pong", "--name", name], { rundir: scratch.path });
  expect(service.stderr).toContain(`${name}: cannot be taken over: `);
  await using client = await connect(name, { rundir: scratch.path });
  expect((await client.request("hello")).text()).toBe("hello");
});

test("of two that come at once both have it in the end, or one is told why not", async () => {
  using scratch = new Scratch();
  const rundir = scratch.path;
  await using _first = await startService(["pong"], { rundir });
  const words = earshot("service", "pong", "--takeover");
  await using one = new Command(words, { rundir });
  await using other = new Command(words, { rundir });
  const outcomes = [one, other].map(async (command) => {
    await Promise.race([command.says(": listening on "), command.ended]).catch(() => undefined);
    return command.stdout.includes(": listening on ") || command.stderr;
  });
  for (const outcome of await Promise.all(outcomes)) {
    if (outcome !== true) expect(outcome).toMatch(/process \d+ is just taking it over"\n$/);
  }
  expect(list({ rundir })).toMatchObject([{ state: "live" }]);
});
