/** Daemons ask ipcd before a remote comes in: here one that runs, is not there, comes back, or says nothing. */

import { expect, test } from "bun:test";
import { serve } from "../../../src/index.ts";
import { Admission, NotAdmitted } from "../../../src/services/daemon/admission.ts";
import type { Command } from "../../kit/command.ts";
import { earshot, leaveNoCommand, run, startService } from "../../kit/command.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Scratch } from "../../kit/scratch.ts";
import { StreamPeer } from "../../kit/stream-peer.ts";
import { until } from "../../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

const remote = { host: "10.0.0.1", port: 5000 };

class Stage implements AsyncDisposable {
  readonly scratch = new Scratch();
  readonly rundir = this.scratch.path;
  readonly admission: Admission;

  constructor(timeoutMs?: number) {
    this.admission = new Admission("tcp", { rundir: this.rundir }, timeoutMs);
  }

  ipcd(...words: string[]): Promise<Command> {
    return startService(["ipcd", ...words], { rundir: this.rundir });
  }

  async uris(): Promise<string[]> {
    return (await connectionsOf(this.rundir)).map(({ uri }) => uri);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.admission.close();
    this.scratch[Symbol.dispose]();
  }
}

type Row = { direction: string; service: string; uri: string; daemon: string };

async function connectionsOf(rundir: string): Promise<Row[]> {
  const statement = "select direction, service, uri, daemon from connections";
  const { stdout } = await run(earshot("query", "--json", statement), { rundir });
  return (JSON.parse(stdout) as { rows: Row[] }).rows;
}

function failure(admission: Promise<unknown>): Promise<NotAdmitted> {
  return admission.then(
    () => {
      throw new Error("it was let in");
    },
    (error) => {
      expect(error).toBeInstanceOf(NotAdmitted);
      return error as NotAdmitted;
    },
  );
}

test("where there is no ipcd, all are let in", async () => {
  await using stage = new Stage();
  const leaves = await Promise.all([1, 2, 3].map(() => stage.admission.admit("pong", remote)));
  for (const leave of leaves) leave();
});

test("where no rule fits they are let in, and known until they leave", async () => {
  await using stage = new Stage();
  await using _ = await stage.ipcd();
  const leave = await stage.admission.admit("pong", remote);
  const other = await stage.admission.admit("pong", { host: "::ffff:10.0.0.2", port: 1 });
  await stage.admission.admit("pong", { host: "fe80::1%eth0", port: 2 });
  expect((await stage.uris()).sort()).toEqual([
    "tcp://10.0.0.1:5000",
    "tcp://10.0.0.2:1",
    "tcp://[fe80::1]:2",
  ]);
  leave();
  other();
  await until("two are gone", async () => (await stage.uris()).length === 1);
});

test("a rule keeps out whom it fits", async () => {
  await using stage = new Stage();
  await using _ = await stage.ipcd("--deny", "in pong tcp://10.*");
  const all = [1, 2, 3].map((port) => stage.admission.admit("pong", { host: "10.0.0.1", port }));
  for (const error of await Promise.all(all.map(failure))) {
    expect(error.isDenied).toBe(true);
    expect(error.message).toEndWith('is denied by --deny "in pong tcp://10.*"');
  }
  await stage.admission.admit("pong", { host: "192.168.0.1", port: 1 });
  expect(await stage.uris()).toEqual(["tcp://192.168.0.1:1"]);
});

test("ipcd is asked again when it has come back", async () => {
  await using stage = new Stage();
  await using first = await stage.ipcd("--deny", "in *");
  await failure(stage.admission.admit("pong", remote));
  await first.end();
  const leave = await stage.admission.admit("pong", remote);
  await using _ = await stage.ipcd("--deny", "in *");
  leave();
  expect((await failure(stage.admission.admit("pong", remote))).isDenied).toBe(true);
});

test("one that does not answer lets nobody in, and is not kept waiting for", async () => {
  await using stage = new Stage(30);
  const heard: string[] = [];
  await using _ = await serve(
    "ipc.in",
    { message: (__, message) => void heard.push(message.text()) },
    { rundir: stage.rundir },
  );
  const error = await failure(stage.admission.admit("pong", remote));
  expect(error.isDenied).toBe(false);
  expect(error.message).toContain("did not answer within 30 ms");
  await until("it is told that the remote has gone", () => heard.length === 2);
  expect(heard).toEqual(["open 1 pong tcp://10.0.0.1:5000", "close 1"]);
});

test("tcpd refuses whom ipcd denies, as if there were no such service", async () => {
  await using stage = new Stage();
  const { rundir } = stage;
  await using _ = await stage.ipcd("--deny", "in pong");
  await using __ = await startService(["pong"], { rundir });
  await using ___ = await startService(["pong", "--name", "other"], { rundir });
  const words = ["tcpd", "--listen", "127.0.0.1:0", "--allow", "pong", "--allow", "other"];
  await using tcpd = await startService(words, { rundir });
  const port = Number(/:(\d+) and /.exec(tcpd.stdout)![1]);
  using denied = await StreamPeer.tcp({ host: "127.0.0.1", port });
  denied.write("pong");
  expect(await denied.whole()).toBe("error: there is no such service here");
  await tcpd.complains('is denied by --deny "in pong"');
  {
    using allowed = await StreamPeer.tcp({ host: "127.0.0.1", port });
    allowed.write("other");
    await allowed.hears("ok");
    const { port: own } = allowed.socket.address() as { port: number };
    const uri = `tcp://127.0.0.1:${own}`;
    expect(await connectionsOf(rundir)).toEqual([
      { direction: "in", service: "other", uri, daemon: "tcp" },
    ]);
  }
  await until("it is gone", async () => (await stage.uris()).length === 0);
  tcpd.signal("SIGUSR2");
  await tcpd.complains('"remotes_refused":1');
});
