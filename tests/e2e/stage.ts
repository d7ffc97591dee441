/**
 * What each test in here is played on: a service in a process of its own, bystanders in another who talk to it all the
 * while and check every answer, and peers of any manners in this one.
 *
 *     await onStage({ limits }, async (stage) => { … });
 *
 * When the act is over, no bystander may have been disturbed; the service holds the descriptors and about the memory it
 * held before, has counted what the act said would go wrong and nothing else, and has told of it on stderr.
 */

import { expect } from "bun:test";
import type { Connection, ConnectOptions, Limits, Reason, Statistics } from "../../src/index.ts";
import { connect } from "../../src/index.ts";
import { canCount, descriptors, residentBytes } from "../kit/census.ts";
import type { StartOptions } from "../kit/child.ts";
import { Child } from "../kit/child.ts";
import { Hearer } from "../kit/hearer.ts";
import { reached, type Transport } from "../kit/over.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";
import type { BystandersSettings } from "./programs/bystanders.ts";
import type { Ended, SubjectSettings } from "./programs/subject.ts";

export type StageOptions = StartOptions & {
  limits?: Limits;
  /** Who plays the service, of those in `programs` that have a role. Default: pong. */
  role?: "pong" | "source";
  /** What the messages of all clients go through. */
  transport?: Transport;
  /** What the service may keep, if the act leaves more behind in its collector than most do. */
  memorySlack?: number;
};

const bystandersCount = 3;
/** Of one message, unless the service's limit is lower. */
const bystandersBytesMax = 300;
/** Enough to say that somebody is being served. */
const someAnswers = 10;
/** What collectors and allocators keep for later; most acts move more than that around. */
const memorySlackBytes = 16 * 1024 * 1024;
/** How a connection ends when all is well. */
const orderly: readonly Reason[] = ["closed", "peer_closed"];

const program = (name: string) => new URL(`./programs/${name}.ts`, import.meta.url);

type Progress = { answers: number[]; troubles: string[] };

export class Stage implements Disposable {
  readonly rundir: string;
  /** Where the service listens. */
  readonly path: string;
  readonly service: Child;
  readonly #bystanders: Child;
  readonly #peers: RawPeer[] = [];
  readonly #clients: (Connection | Hearer)[] = [];
  readonly #expected: Partial<Record<Reason, number>> = {};
  readonly #transport: Transport;

  constructor(rundir: string, service: Child, others: Child, transport: Transport) {
    this.#transport = transport;
    this.rundir = rundir;
    this.path = `${rundir}/pong`;
    this.service = service;
    this.#bystanders = others;
  }

  async peer(options: { reads?: boolean } = {}): Promise<RawPeer> {
    const peer = await RawPeer.connect(this.path, options);
    this.#peers.push(peer);
    return peer;
  }

  async client(options: ConnectOptions = {}): Promise<Connection> {
    const client = await connect("pong", {
      rundir: this.rundir,
      seal: reached(this.#transport).seal,
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  /** A client that keeps what it hears, and reads or does not, over whatever the service offers. */
  async hearer(options: { reads?: boolean } = {}): Promise<Hearer> {
    const client = await Hearer.connect("pong", {
      rundir: this.rundir,
      seal: reached(this.#transport).seal,
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  /** Says that the service will count `reason` so often, besides what was said before. */
  goesWrong(reason: Reason, count = 1): void {
    if (orderly.includes(reason)) return;
    this.#expected[reason] = (this.#expected[reason] ?? 0) + count;
  }

  statistics(): Promise<Statistics> {
    return this.service.ask("statistics");
  }

  /** Resolves when the service has counted `reason`. */
  async counted(reason: Reason): Promise<void> {
    let reasons: Statistics["reasons"] = {};
    await until(
      () => `the service has counted ${reason}: ${JSON.stringify(reasons)}`,
      async () => {
        ({ reasons } = await this.statistics());
        return (reasons[reason] ?? 0) > 0;
      },
    );
  }

  /** Resolves with how they ended when so many more connections have ended. */
  async ended(count: number): Promise<Ended[]> {
    const all: Ended[] = [];
    await until(
      () => `${count} connections have ended, instead of ${all.length}`,
      async () => all.push(...(await this.service.ask<Ended[]>("ended"))) >= count,
    );
    return all;
  }

  /** Resolves when every bystander has had some answers more. */
  async othersAreServed(): Promise<void> {
    const before = await this.#progress();
    let now = before;
    await until(
      () => `all bystanders get answers: ${JSON.stringify([before, now])}`,
      async () => {
        now = await this.#progress();
        return now.answers.every((count, each) => count >= before.answers[each]! + someAnswers);
      },
    );
  }

  /** Everybody of the act leaves. */
  clear(): void {
    for (const peer of this.#peers) peer.close();
    for (const client of this.#clients) void client.close({ now: true });
  }

  [Symbol.dispose](): void {
    this.clear();
  }

  /** Resolves when the service has noticed that all but the bystanders have left. */
  async cleared(): Promise<void> {
    let statistics = await this.statistics();
    await until(
      () => `only ${bystandersCount} bystanders are left: ${JSON.stringify(statistics)}`,
      async () => {
        statistics = await this.statistics();
        return statistics.connectionsOpen === bystandersCount;
      },
    );
  }

  async census(): Promise<Record<string, number>> {
    return canCount ? descriptors(this.service.pid) : await Promise.resolve({});
  }

  async memory(): Promise<number> {
    await this.service.ask("collect");
    return residentBytes(this.service.pid);
  }

  async expectCounted(): Promise<void> {
    const { reasons } = await this.statistics();
    for (const reason of orderly) delete reasons[reason];
    expect(reasons).toEqual(this.#expected);
  }

  async end(): Promise<void> {
    const { troubles } = await this.#bystanders.ask<Progress>("leave");
    expect(troubles).toEqual([]);
    const { code, signal, stderr } = await this.service.finish();
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    const reasons = Object.keys(this.#expected);
    for (const reason of reasons) expect(stderr).toMatch(new RegExp(`\\b${reason}\\b`));
    if (reasons.length === 0) expect(stderr).toBe("");
  }

  async #progress(): Promise<Progress> {
    const progress = await this.#bystanders.ask<Progress>("progress");
    expect(progress.troubles).toEqual([]);
    return progress;
  }
}

export async function onStage(
  options: StageOptions,
  act: (stage: Stage) => Promise<void>,
): Promise<void> {
  const { limits = {}, role = "pong", transport = "unix", ...rest } = options;
  const { memorySlack = memorySlackBytes, ...start } = rest;
  using scratch = new Scratch();
  const settings: SubjectSettings = { rundir: scratch.path, limits, transport };
  await using service = await Child.start(program(role), settings, start);
  const bytesMax = Math.min(bystandersBytesMax, limits.messageBytesMax ?? bystandersBytesMax);
  const count = bystandersCount;
  const company: BystandersSettings = { rundir: scratch.path, count, bytesMax, transport };
  await using others = await Child.start(program("bystanders"), company);
  using stage = new Stage(scratch.path, service, others, transport);
  await stage.othersAreServed();
  const before = { census: await stage.census(), memory: await stage.memory() };

  await act(stage);
  await stage.othersAreServed();
  stage.clear();
  await stage.cleared();
  await expectBack(stage, before, memorySlack);
  await stage.expectCounted();
  await stage.end();
}

type Holdings = { census: Record<string, number>; memory: number };

async function expectBack(stage: Stage, before: Holdings, slackBytes: number): Promise<void> {
  let census = before.census;
  await until(
    () => `descriptors ${JSON.stringify(census)} are ${JSON.stringify(before.census)} again`,
    async () => {
      census = await stage.census();
      return Bun.deepEquals(census, before.census);
    },
  );
  const seen: number[] = [];
  const allowed = before.memory + slackBytes;
  await until(
    () =>
      `${seen.at(-1)} bytes of memory are about ${before.memory} again, ${allowed} at most: they were ${seen[0]} when ` +
      `the act was over, and between ${Math.min(...seen)} and ${Math.max(...seen)} since, looked at ${seen.length} times`,
    async () => {
      const memory = await stage.memory();
      seen.push(memory);
      return memory <= allowed;
    },
  );
}
