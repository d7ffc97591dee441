/** What connections leave behind: nothing. And what one costs that nobody uses: no processor time. */

import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { ClientSocket, ServerSocket } from "../../src/memory/index.ts";
import { descriptorCount, mappedBytes, residentBytes } from "../kit/census.ts";
import { Child } from "../kit/child.ts";
import { mapsOf } from "../kit/maps.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { until } from "../kit/until.ts";
import { ask, MemoryStage } from "./stage.ts";

leaveNoTrace();

const ring = 65_536;

/** Mappings of shared memory here, without what can be collected. */
function mapsHere(): number {
  Bun.gc(true);
  return mapsOf("memfd:earshot");
}

const shared = () => (existsSync("/dev/shm") ? readdirSync("/dev/shm").sort() : []);

/** What this process and the service have, when all is collected. */
async function holdings(stage: MemoryStage) {
  Bun.gc(true);
  const there = await stage.service.ask<{ maps: number; descriptors: Record<string, number> }>(
    "census",
  );
  return {
    here: { descriptors: descriptorCount(), maps: mapsHere() },
    there,
    shared: shared(),
  };
}

test("a thousand connections leave descriptors, mappings and memory as they were", async () => {
  await using stage = await MemoryStage.open({ role: "echo", options: { ring } });
  const round = async (count: number) => {
    for (let k = 0; k < count; k++) {
      const client = new ClientSocket();
      await client.connect("pong", { rundir: stage.rundir, ring });
      const bytes = new Uint8Array(k % 10 === 0 ? ring : 10).fill(k);
      expect((await ask(client, bytes)).length).toBe(bytes.length);
      await client.close();
    }
    await stage.reaches("all have left", ({ open }) => open === 0);
  };
  await round(200);
  const before = await holdings(stage);
  const mapped = mappedBytes();
  const resident = [residentBytes(), residentBytes(stage.service.pid)];
  await round(1000);
  let after = before;
  await until(
    () => `${JSON.stringify(after)} is ${JSON.stringify(before)} again`,
    async () => {
      after = await holdings(stage);
      return (
        after.here.descriptors === before.here.descriptors &&
        after.here.maps <= before.here.maps &&
        after.there.maps <= before.there.maps &&
        Bun.deepEquals(after.there.descriptors, before.there.descriptors) &&
        Bun.deepEquals(after.shared, before.shared)
      );
    },
  );
  // A thousand connections of 64 KiB each way would be 128 MiB; what collectors keep is far less.
  const slack = 32 * 1024 * 1024;
  expect(mappedBytes() - mapped).toBeLessThan(slack);
  expect(residentBytes() - resident[0]!).toBeLessThan(slack);
  expect(residentBytes(stage.service.pid) - resident[1]!).toBeLessThan(slack);
});

test("connections that are idle cost no processor time, though they were busy before", async () => {
  type Usage = { userCPUTime: number; systemCPUTime: number; voluntaryContextSwitches: number };
  await using stage = await MemoryStage.open({ role: "echo" });
  const settings = { rundir: stage.rundir };
  await using talker = await Child.start(
    new URL("./programs/talker.ts", import.meta.url),
    settings,
  );
  await talker.ask("write", { bytes: 100, count: 500 });
  await until(
    "all are back",
    async () => (await talker.ask<{ heard: number }>("progress")).heard === 500,
  );
  const usages = async () => [
    await stage.service.ask<Usage>("usage"),
    (await talker.ask<{ usage: Usage }>("progress")).usage,
  ];
  const cpu = ({ userCPUTime, systemCPUTime }: Usage) => userCPUTime + systemCPUTime;
  const idleMs = 400;
  // They go to sleep a little after they were busy last, and collectors have their own times.
  await until("they cost next to nothing", async () => {
    const before = await usages();
    await Bun.sleep(idleMs);
    const after = await usages();
    return after.every((usage, k) => {
      const spent = cpu(usage) - cpu(before[k]!);
      const woken = usage.voluntaryContextSwitches - before[k]!.voluntaryContextSwitches;
      // Being asked is what they are woken by; who spins would have all of the time.
      return spent < (idleMs * 1000) / 4 && woken < idleMs / 10;
    });
  });
});

test("a service that is closed gives everything back, and may listen again", async () => {
  await using stage = await MemoryStage.open({ role: "echo" });
  const server = new ServerSocket();
  const before = { descriptors: descriptorCount(), maps: mapsHere() };
  for (let round = 0; round < 3; round++) {
    await server.listen("other", { rundir: stage.rundir });
    const listening = server.listen("third", { rundir: stage.rundir });
    const error = await listening.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "EINVAL" });
    const client = new ClientSocket();
    await client.connect("other", { rundir: stage.rundir });
    await until("it is there", () => server.sockets.size === 1);
    await server.close();
    await client.ended;
    expect(server.sockets.size).toBe(0);
  }
  await until("all is given back", () => {
    const after = { descriptors: descriptorCount(), maps: mapsHere() };
    return after.descriptors === before.descriptors && after.maps <= before.maps;
  });
});
