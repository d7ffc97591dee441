/** `request`: each gets its own answer, or is told why it does not. */

import { describe, expect, test } from "bun:test";
import type { Connection, Handlers, Message } from "../../src/index.ts";

import { frame } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { Scratch } from "../kit/scratch.ts";
import { overEach } from "../kit/transports.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

overEach(({ connect, serve, testOpen }) => {
  const echo: Handlers = { message: (connection, message) => void connection.send(message.bytes) };

  /** Answers when it is told to. */
  class Patient {
    readonly asked: [Connection, string][] = [];
    readonly handlers: Handlers = {
      message: (connection, message) => void this.asked.push([connection, message.text()]),
    };

    async heard(count: number): Promise<void> {
      await until(`it has heard ${count}`, () => this.asked.length >= count);
    }

    answerAll(): void {
      for (const [connection, text] of this.asked.splice(0)) connection.send(`re: ${text}`);
    }
  }

  const outcome = (promise: Promise<Message>) =>
    promise.then(
      (message) => message.text(),
      (error: unknown) => error,
    );

  describe("answers", () => {
    test("come in order, ten thousand at once", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("pong", echo, { rundir });
      await using client = await connect("pong", { rundir });
      const texts = Array.from({ length: 10_000 }, (__, index) => `question ${index}`);
      const answers = await Promise.all(texts.map((text) => client.request(text)));
      expect(answers.map((answer) => answer.text())).toEqual(texts);
    });

    test("come to each of many clients that ask at once", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("pong", echo, { rundir });
      const ask = async (who: number) => {
        await using client = await connect("pong", { rundir });
        for (let turn = 0; turn < 50; turn++) {
          expect((await client.request(`${who}/${turn}`)).text()).toBe(`${who}/${turn}`);
        }
      };
      await Promise.all(Array.from({ length: 20 }, (__, who) => ask(who)));
    });

    test("have bytes of their own, good for ever", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("pong", echo, { rundir });
      await using client = await connect("pong", { rundir });
      for (const length of [0, 1, 65_536, 1024 * 1024]) {
        const bytes = pattern(length);
        const answer = await client.request(bytes);
        await client.request("something else");
        expect(answer.length).toBe(length);
        expect(Buffer.compare(answer.bytes, bytes)).toBe(0);
        expect(answer.copy()).toBe(answer);
      }
      expect((await client.request('{"x":[1,2]}')).json<unknown>()).toEqual({ x: [1, 2] });
    });

    test("are taken for answers only while requests wait", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const patient = new Patient();
      await using service = await serve("patient", patient.handlers, { rundir });
      const heard: string[] = [];
      await using client = await connect("patient", {
        rundir,
        message: (_, message) => void heard.push(message.text()),
      });
      const answer = client.request("a question");
      await patient.heard(1);
      const [connection] = service.connections;
      connection!.send("the answer");
      connection!.send("by the way");
      expect((await answer).text()).toBe("the answer");
      await until("the handler hears the rest", () => heard.length === 1);
      expect(heard).toEqual(["by the way"]);
    });
  });

  describe("a timeout", () => {
    test("is an error that says so; the late answer is dropped, and the next gets its own", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const patient = new Patient();
      await using _ = await serve("patient", patient.handlers, { rundir });
      const heard: string[] = [];
      await using client = await connect("patient", {
        rundir,
        message: (__, message) => void heard.push(message.text()),
      });
      const error = await outcome(client.request("first", { timeout: 1 }));
      expect(error).toMatchObject({ code: "ETIMEDOUT", service: "patient" });
      expect((error as Error).message).toContain("within 1 ms");
      const second = client.request("second", { timeout: 1_000_000 });
      const third = client.request("third");
      await patient.heard(3);
      patient.answerAll();
      expect([await outcome(second), await outcome(third)]).toEqual(["re: second", "re: third"]);
      expect(heard).toEqual([]);
      expect(client.open).toBe(true);
    });

    test("of one among many is its own", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const patient = new Patient();
      await using _ = await serve("patient", patient.handlers, { rundir });
      await using client = await connect("patient", { rundir });
      const requests = Array.from({ length: 9 }, (__, index) =>
        outcome(client.request(`${index}`, index % 3 === 1 ? { timeout: 1 } : {})),
      );
      for (const index of [1, 4, 7]) {
        expect(await requests[index]).toMatchObject({ code: "ETIMEDOUT" });
      }
      await patient.heard(9);
      patient.answerAll();
      for (const index of [0, 2, 3, 5, 6, 8]) expect(await requests[index]).toBe(`re: ${index}`);
    });
  });

  describe("a signal", () => {
    test("that is aborted already sends nothing", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using service = await serve("pong", echo, { rundir });
      await using client = await connect("pong", { rundir });
      const signal = AbortSignal.abort("no need");
      expect(await outcome(client.request("never sent", { signal }))).toBe("no need");
      expect(await outcome(client.request("sent"))).toBe("sent");
      expect(service.statistics().messagesReceived).toBe(1);
    });

    test("that aborts gives up the requests it was given with, and no others", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const patient = new Patient();
      await using _ = await serve("patient", patient.handlers, { rundir });
      await using client = await connect("patient", { rundir });
      const controller = new AbortController();
      const { signal } = controller;
      const first = outcome(client.request("first", { signal, timeout: 1_000_000 }));
      const second = outcome(client.request("second"));
      const third = outcome(client.request("third", { signal }));
      await patient.heard(3);
      const reason = new Error("given up");
      controller.abort(reason);
      expect(await first).toBe(reason);
      expect(await third).toBe(reason);
      patient.answerAll();
      expect(await second).toBe("re: second");
      const fourth = outcome(client.request("fourth"));
      await patient.heard(1);
      patient.answerAll();
      expect(await fourth).toBe("re: fourth");
    });

    test("that aborts after the answer changes nothing", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("pong", echo, { rundir });
      await using client = await connect("pong", { rundir });
      const controller = new AbortController();
      const answer = await client.request("answered", { signal: controller.signal });
      controller.abort();
      expect(answer.text()).toBe("answered");
      expect(await outcome(client.request("again"))).toBe("again");
    });
  });

  describe("the end of the connection", () => {
    test("rejects all that wait, and counts them", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const patient = new Patient();
      const service = await serve("patient", patient.handlers, { rundir });
      const client = await connect("patient", { rundir });
      const waiting = Array.from({ length: 5 }, (_, index) => outcome(client.request(`${index}`)));
      await patient.heard(5);
      await service.close();
      for (const request of waiting) {
        expect(await request).toMatchObject({ code: "ECONNRESET", service: "patient" });
      }
      const { reason, lost } = await client.ended;
      expect(reason).toBe("peer_closed");
      expect(lost).toEqual({ messages: 0, bytes: 0, requests: 5 });
    });

    test("by this side rejects them too, and the next at once", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const patient = new Patient();
      await using _ = await serve("patient", patient.handlers, { rundir });
      const client = await connect("patient", { rundir });
      const waiting = outcome(client.request("asked"));
      await patient.heard(1);
      const closed = client.close({ now: true });
      expect(await outcome(client.request("too late"))).toMatchObject({ code: "ECLOSED" });
      await closed;
      expect(await waiting).toMatchObject({ code: "ECONNRESET" });
      expect((await client.ended).lost.requests).toBe(1);
    });

    testOpen("by a peer's nonsense is told with its reason", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      let accepted: Connection | undefined;
      await using service = await serve(
        "asker",
        {
          open: (connection) => {
            accepted = connection;
          },
        },
        { rundir, messageBytesMax: 16 },
      );
      using peer = await RawPeer.connect(service.path);
      await until("it is accepted", () => accepted !== undefined);
      const waiting = outcome(accepted!.request("who are you?"));
      await peer.received(1);
      peer.write(frame(new Uint8Array(17)));
      const error = await waiting;
      expect(error).toMatchObject({ code: "ECONNRESET" });
      expect((error as Error).message).toContain("message_too_long");
    });
  });

  test("a service can ask its clients", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const answers: string[] = [];
    await using _ = await serve(
      "asker",
      {
        async open(connection) {
          for (const text of ["one", "two"]) answers.push((await connection.request(text)).text());
        },
      },
      { rundir },
    );
    await using __ = await connect("asker", {
      rundir,
      message: (connection, message) => void connection.send(message.text().toUpperCase()),
    });
    await until("both have been answered", () => answers.length === 2);
    expect(answers).toEqual(["ONE", "TWO"]);
  });
});
