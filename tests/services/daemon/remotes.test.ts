/** What greets remotes, whatever carries them: each is led, or refused, counted and complained of, once. */

import { describe, expect, test } from "bun:test";
import type { Connection } from "../../../src/index.ts";
import { bind, connect, serve } from "../../../src/index.ts";
import { Admission } from "../../../src/services/daemon/admission.ts";
import { Counters } from "../../../src/services/daemon/counters.ts";
import { Exposure } from "../../../src/services/daemon/exposure.ts";
import type { Bound, Remote } from "../../../src/services/daemon/remote.ts";
import type { RemoteCount, RemoteOptions } from "../../../src/services/daemon/remotes.ts";
import { Remotes, remoteCounts } from "../../../src/services/daemon/remotes.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Scratch } from "../../kit/scratch.ts";
import { until } from "../../kit/until.ts";

leaveNoTrace();

const bytesOf = (text: string) => Buffer.from(text);

/** One who only writes down what is done with it. */
class PaperRemote implements Remote {
  readonly address = { host: "192.0.2.1", port: 5 };
  readonly destination = { host: "192.0.2.2", port: 6 };
  readonly log: string[] = [];
  open = true;
  join: (local: Connection) => Bound = () => {
    throw new Error("torn");
  };

  pause(): void {
    this.log.push("paused");
  }

  send(bytes: string | Uint8Array): void {
    this.log.push(Buffer.from(bytes).toString());
  }

  close(): void {
    this.log.push("closed");
    this.open = false;
  }
}

class Stage implements AsyncDisposable {
  readonly scratch = new Scratch();
  readonly counters = new Counters<RemoteCount>([...remoteCounts]);
  readonly complaints: string[] = [];
  readonly remotes: Remotes;

  constructor(options: Partial<RemoteOptions> = {}) {
    this.remotes = new Remotes(
      {
        name: "tcp",
        options: { rundir: this.scratch.path },
        reports: { trouble: () => undefined, close: () => undefined, error: () => undefined },
        complain: (who, what, kind) => void this.complaints.push(`${who} ${what} (${kind})`),
        signal: new AbortController().signal,
      },
      {
        exposure: new Exposure(["pong"]),
        admission: new Admission("tcp", { rundir: this.scratch.path }),
        service: undefined,
        handshakeMs: 60_000,
        remotesMax: 10,
        proxy: false,
        ...options,
      },
      this.counters,
    );
  }

  arrive(remote = new PaperRemote()): PaperRemote {
    this.remotes.arrive(remote);
    this.remotes.ready(remote);
    return remote;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.scratch[Symbol.dispose]();
    return Promise.resolve();
  }
}

describe("a remote", () => {
  test("that says more before ok is refused, and not led", async () => {
    await using stage = new Stage();
    let opened = 0;
    await using _ = await serve(
      "pong",
      {
        open: () => {
          opened += 1;
        },
      },
      { rundir: stage.scratch.path },
    );
    const remote = stage.arrive();
    stage.remotes.hear(remote, bytesOf("pong"));
    stage.remotes.hear(remote, bytesOf("!"));
    stage.remotes.hear(remote, bytesOf("!"));
    expect(remote.log).toEqual(["error: there are bytes behind the name; wait for ok", "closed"]);
    await Bun.sleep(10);
    expect(opened).toBe(0);
    expect(remote.log).toHaveLength(2);
    expect(stage.counters.all()).toMatchObject({ remotes: 1, remotes_refused: 1, remotes_open: 0 });
    expect(stage.complaints).toEqual([
      "192.0.2.1:5 there are bytes behind the name; wait for ok (handshake)",
    ]);
  });

  test("that is gone when its service is found is not joined", async () => {
    await using stage = new Stage();
    const ends: string[] = [];
    await using _ = await serve(
      "pong",
      { close: (__, { reason }) => void ends.push(reason) },
      { rundir: stage.scratch.path },
    );
    const remote = stage.arrive();
    stage.remotes.hear(remote, bytesOf("pong"));
    remote.open = false;
    await until("the service has the end", () => ends.length === 1);
    stage.remotes.forget(remote);
    expect(remote.log).toEqual([]);
    expect(stage.counters.all()).toMatchObject({
      remotes: 1,
      remotes_refused: 0,
      remotes_failed: 0,
    });
  });

  test("that is gone when it is let in is not led, and has left", async () => {
    let left = 0;
    class Open extends Admission {
      override admit(): Promise<() => void> {
        return Promise.resolve(() => {
          left += 1;
        });
      }
    }
    await using stage = new Stage({ admission: new Open("tcp", {}) });
    const remote = stage.arrive();
    stage.remotes.hear(remote, bytesOf("pong"));
    stage.remotes.forget(remote);
    await until("it has left", () => left === 1);
    expect(remote.log).toEqual([]);
    expect(stage.counters.all()).toMatchObject({
      remotes: 1,
      remotes_refused: 0,
      remotes_failed: 0,
    });
  });

  test("that cannot be told why goes all the same", async () => {
    await using stage = new Stage({ remotesMax: 0 });
    const remote = new PaperRemote();
    remote.open = false;
    stage.arrive(remote);
    expect(remote.log).toEqual(["closed"]);
    expect(stage.counters.all()).toMatchObject({ remotes: 1, remotes_refused: 1 });
  });

  test("that breaks while it is joined hears nothing behind ok but the end", async () => {
    await using stage = new Stage();
    await using _ = await serve("pong", {}, { rundir: stage.scratch.path });
    const remote = stage.arrive();
    stage.remotes.hear(remote, bytesOf("pong"));
    await until("it is over", () => remote.log.includes("closed"));
    expect(remote.log).toEqual(["ok", "closed"]);
    expect(stage.counters.all()).toMatchObject({ remotes_failed: 1, remotes_open: 0 });
    expect(stage.complaints).toEqual(["192.0.2.1:5 torn (failed)"]);
  });

  test("is paused before it says anything where there is one service", async () => {
    await using stage = new Stage({ service: "pong" });
    await using _ = await serve("pong", {}, { rundir: stage.scratch.path });
    await using other = await serve("other", {}, { rundir: stage.scratch.path });
    const own = await connect("other", { rundir: stage.scratch.path });
    const remote = new PaperRemote();
    remote.join = (local) => bind(own, local);
    stage.arrive(remote);
    await until("it is joined", () => stage.counters.of("remotes_open") === 1);
    expect(remote.log).toEqual(["paused"]);
    stage.remotes.close();
    await until("it is over", () => stage.counters.of("remotes_open") === 0);
    expect(other.connections.size).toBeLessThanOrEqual(1);
  });
});

test("one too many is refused, and room is made by those who go", async () => {
  await using stage = new Stage({ remotesMax: 2 });
  const [first, second] = [stage.arrive(), stage.arrive()];
  const third = stage.arrive();
  expect([first.log, second.log]).toEqual([[], []]);
  expect(third.log).toEqual([
    "error: there are as many remotes as are allowed; try again later",
    "closed",
  ]);
  stage.remotes.forget(first);
  expect(stage.arrive().log).toEqual([]);
  stage.remotes.forget(second);
  for (const remote of [first, second]) stage.remotes.refuse(remote, "late", "tls");
  expect(stage.counters.all()).toMatchObject({ remotes: 4, remotes_refused: 1 });
});

test("whoever is silent for too long is told so, and nobody else", async () => {
  await using stage = new Stage({ handshakeMs: 20 });
  const remote = stage.arrive();
  const gone = stage.arrive();
  stage.remotes.forget(gone);
  await until("it is told", () => remote.log.length === 2);
  expect(remote.log[0]).toBe("error: no service was named within 20 ms");
  expect(gone.log).toEqual([]);
});
