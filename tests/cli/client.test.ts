/** `client NAME [TEXT…]`: one question and its answer, or lines from an input and the network at once. */

import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import type { Handlers } from "../../src/index.ts";
import { serve } from "../../src/index.ts";
import { Command, earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Random } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

/** A service that takes everything and answers nothing. */
const mute = { message: () => undefined };
const echo: Handlers = { message: (connection, message) => void connection.send(message.bytes) };

describe("with a text", () => {
  test("sends it, prints the answer, and exits with 0", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["hello"], { rundir: scratch.path });
    const ended = await run(earshot("client", "hello", "a", "few  words"), {
      rundir: scratch.path,
    });
    expect(ended).toMatchObject({ code: 0, stdout: 'You said "a few  words"\n', stderr: "" });
  });

  test("takes what begins with a dash behind --, an empty one, and any letters", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["pong"], { rundir: scratch.path });
    const { path: rundir } = scratch;
    for (const words of [["--", "--help", "-x"], [""], ["ça", "và", "😀"]]) {
      const sent = words.filter((word) => word !== "--").join(" ");
      const ended = await run(earshot("client", "pong", ...words), { rundir });
      expect(ended).toMatchObject({ code: 0, stdout: `${sent}\n`, stderr: "" });
    }
  });

  test("writes an answer as it is, whatever its bytes", async () => {
    using scratch = new Scratch();
    const answer = new Random(1).bytes(3_000_000);
    await using _ = await serve(
      "binary",
      { message: (connection) => void connection.send(answer) },
      { rundir: scratch.path },
    );
    const { code, bytes } = await run(earshot("client", "binary", "?"), { rundir: scratch.path });
    expect(code).toBe(0);
    expect(Buffer.from(bytes).equals(Buffer.concat([answer, Buffer.from("\n")]))).toBe(true);
  });

  test("waits no longer than it is told to", async () => {
    using scratch = new Scratch();
    await using _ = await serve("mute", mute, { rundir: scratch.path });
    const words = earshot("client", "mute", "hello", "--timeout", "20");
    expect(await run(words, { rundir: scratch.path })).toMatchObject({
      code: 1,
      stdout: "",
      stderr: 'client: "mute" did not answer within 20 ms\n',
    });
  });

  test("says so when the service goes away without an answer", async () => {
    using scratch = new Scratch();
    const leave: Handlers = { message: (connection) => connection.close() };
    await using _ = await serve("rude", leave, { rundir: scratch.path });
    expect(await run(earshot("client", "rude", "hello"), { rundir: scratch.path })).toMatchObject({
      code: 1,
      stdout: "",
      stderr: 'client: "rude" went away without an answer (peer_closed)\n',
    });
  });

  test("ends at Ctrl-C without a word", async () => {
    using scratch = new Scratch();
    const arrived = Promise.withResolvers<void>();
    const handlers = { message: () => arrived.resolve() };
    await using _ = await serve("mute", handlers, { rundir: scratch.path });
    await using client = new Command(earshot("client", "mute", "hello"), { rundir: scratch.path });
    await arrived.promise;
    expect(await client.end("SIGINT")).toMatchObject({ signal: "SIGINT", stdout: "", stderr: "" });
  });
});

describe("without a text", () => {
  test("sends each line and prints each answer", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["hello"], { rundir: scratch.path });
    const input = "a\n\nçé 😀\nthe last has no newline";
    expect(await run(earshot("client", "hello"), { rundir: scratch.path, input })).toMatchObject({
      code: 0,
      stdout: input
        .split("\n")
        .map((line) => `You said "${line}"\n`)
        .join(""),
      stderr: "",
    });
  });

  test("listens to the keyboard and the network at once", async () => {
    using scratch = new Scratch();
    await using service = await serve("chat", echo, { rundir: scratch.path });
    await using client = new Command(earshot("client", "chat"), {
      rundir: scratch.path,
      keyboard: true,
    });
    await until("it is connected", () => service.connections.size === 1);
    const [connection] = service.connections;
    connection!.send("unasked");
    await client.says("unasked\n");
    client.type("ha");
    client.type("lf\nfull\n");
    await client.says("half\nfull\n");
    connection!.send("and again");
    await client.says("and again\n");
    client.hangUp();
    expect(await client.whenEnded()).toMatchObject({
      code: 0,
      stdout: "unasked\nhalf\nfull\nand again\n",
      stderr: "",
    });
  });

  test("puts letters together that come in pieces", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["pong"], { rundir: scratch.path });
    // Reads of 64 KiB end in the middle of letters of three bytes, and of lines.
    const input = `${"€".repeat(100_000)}\n${"a€".repeat(100_000)}\n`;
    const { code, stdout } = await run(earshot("client", "pong"), { rundir: scratch.path, input });
    expect(code).toBe(0);
    expect(stdout === input).toBe(true);
  });

  test("reads a plain file, however long, and has an answer for each line", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["pong"], { rundir: scratch.path });
    const lines = Array.from({ length: 200_000 }, (_, index) => `line ${index}`);
    writeFileSync(scratch.join("lines"), `${lines.join("\n")}\n`);
    const { code, stdout, stderr } = await run(earshot("client", "pong", "--timeout", "60000"), {
      rundir: scratch.path,
      input: Bun.file(scratch.join("lines")),
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout === `${lines.join("\n")}\n`).toBe(true);
  });

  test("ends at once where there is no input", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["pong"], { rundir: scratch.path });
    const { path: rundir } = scratch;
    const nothing = { code: 0, stdout: "", stderr: "" };
    const words = earshot("client", "pong");
    expect(await run(words, { rundir, input: Bun.file("/dev/null") })).toMatchObject(nothing);
    expect(await run(words, { rundir, shell: 'exec "$@" <&-' })).toMatchObject(nothing);
    expect(await run(words, { rundir, input: "" })).toMatchObject(nothing);
  });

  test("says that a folder cannot be read", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["pong"], { rundir: scratch.path });
    const options = { rundir: scratch.path, shell: 'exec "$@" </' };
    expect(await run(earshot("client", "pong"), options)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^client: cannot read standard input: EISDIR.*\n$/),
    });
  });

  test("waits for the answers to the last lines, and says how many never came", async () => {
    using scratch = new Scratch();
    let count = 0;
    const handlers: Handlers = {
      message: async (connection, message) => {
        const answer = message.copy().bytes;
        count += 1;
        // The first two are answered late, the rest never.
        if (count > 2) return;
        await Bun.sleep(50);
        connection.send(answer);
      },
    };
    await using _ = await serve("slow", handlers, { rundir: scratch.path });
    const words = earshot("client", "slow", "--timeout", "1000");
    expect(await run(words, { rundir: scratch.path, input: "a\nb\nc\nd\ne\n" })).toMatchObject({
      code: 1,
      stdout: "a\nb\n",
      stderr: "client: 3 of the lines had no answer\n",
    });
  });

  test("still sends all it has read when no answer is waited for", async () => {
    using scratch = new Scratch();
    let bytes = 0;
    const handlers: Handlers = {
      message: (_, message) => {
        bytes += message.length;
      },
    };
    await using service = await serve("sink", handlers, { rundir: scratch.path });
    const line = `${"x".repeat(9999)}\n`;
    const words = earshot("client", "sink", "--timeout", "0");
    const ended = await run(words, { rundir: scratch.path, input: line.repeat(1000) });
    expect(ended).toMatchObject({ code: 0, stdout: "", stderr: "" });
    await until("all has arrived", () => service.connections.size === 0);
    expect(bytes).toBe(9_999_000);
  });

  test("says so when a service does not read what is left to be sent", async () => {
    using scratch = new Scratch();
    await using service = await startService(["pong"], { rundir: scratch.path });
    service.signal("SIGSTOP");
    // More than the kernel holds.
    const input = `${"x".repeat(9999)}\n`.repeat(80);
    const words = earshot("client", "pong", "--timeout", "50");
    expect(await run(words, { rundir: scratch.path, input })).toMatchObject({
      code: 1,
      stdout: "",
      stderr: 'client: "pong" does not read; not all lines were sent\n',
    });
  });

  test("waits with a service that does not keep up", async () => {
    using scratch = new Scratch();
    const opened = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    let bytes = 0;
    const handlers: Handlers = {
      open: async (connection) => {
        opened.resolve();
        await go.promise;
        for await (const message of connection) bytes += message.length;
      },
    };
    await using service = await serve("lazy", handlers, { rundir: scratch.path });
    const line = `${"x".repeat(9999)}\n`;
    const words = earshot("client", "lazy", "--timeout", "0");
    // Far more than may wait for a service: it would be cut off if all of it were taken in.
    const size = 10_000;
    await using client = new Command(words, { rundir: scratch.path, keyboard: true });
    await opened.promise;
    client.type(line.repeat(size));
    client.hangUp();
    go.resolve();
    expect(await client.whenEnded()).toMatchObject({ code: 0, stdout: "" });
    await until("all has arrived", () => service.connections.size === 0 && bytes >= 9999 * size);
    expect(bytes).toBe(9999 * size);
  });

  test("refuses a line that no message can hold", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["pong"], { rundir: scratch.path });
    const words = earshot("client", "pong", "--message-max", "1000");
    for (const input of ["x".repeat(1001), `ok\n${"x".repeat(1001)}\n`, "x".repeat(1_000_000)]) {
      expect(await run(words, { rundir: scratch.path, input })).toMatchObject({
        code: 1,
        stderr:
          "client: a line is longer than the 1000 bytes that a message may have (--message-max)\n",
      });
    }
    const input = `${"x".repeat(1000)}\n`;
    expect((await run(words, { rundir: scratch.path, input })).stdout).toBe(input);
  });

  test("says so when the service goes away", async () => {
    using scratch = new Scratch();
    await using service = await startService(["pong"], { rundir: scratch.path });
    await using client = new Command(earshot("client", "pong"), {
      rundir: scratch.path,
      keyboard: true,
    });
    client.type("hello\n");
    await client.says("hello\n");
    await service.end("SIGKILL");
    expect(await client.whenEnded()).toMatchObject({
      code: 1,
      stdout: "hello\n",
      stderr: 'client: "pong" is gone (peer_closed)\n',
    });
  });

  test("ends at Ctrl-C without a word", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["pong"], { rundir: scratch.path });
    await using client = new Command(earshot("client", "pong"), {
      rundir: scratch.path,
      keyboard: true,
    });
    client.type("hello\n");
    await client.says("hello\n");
    expect(await client.end("SIGINT")).toMatchObject({ signal: "SIGINT", stderr: "" });
  });

  test("ends quietly when nobody reads its answers any more", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["pong"], { rundir: scratch.path });
    const ended = await run(earshot("client", "pong"), {
      rundir: scratch.path,
      input: "x\n".repeat(500_000),
      shell: '{ "$@"; echo "status $?" >&2; } | head -n 1',
    });
    expect(ended).toMatchObject({ code: 0, stdout: "x\n", stderr: "status 141\n" });
  });
});

describe("a service that is not there", () => {
  test("is one clear line, and 1", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["hello"], { rundir: scratch.path });
    for (const words of [["pong", "hello"], ["pong"]]) {
      expect(await run(earshot("client", ...words), { rundir: scratch.path })).toMatchObject({
        code: 1,
        stdout: "",
        stderr: `client: nobody serves "pong" in ${scratch.path}; start it first\n`,
      });
    }
  });

  test("nor its run directory: then it says where it looked", async () => {
    using scratch = new Scratch();
    const rundir = scratch.join("run");
    expect(await run(earshot("client", "pong", "hello"), { rundir })).toMatchObject({
      code: 1,
      stdout: "",
      stderr:
        `client: nobody serves "pong": there is no run directory ${rundir}; ` +
        "start the service, or set EARSHOT_RUNDIR to where it runs\n",
    });
    expect(scratch.entries()).toEqual([]);
  });

  test("but was: then it says that it is gone", async () => {
    using scratch = new Scratch();
    await using service = await startService(["pong"], { rundir: scratch.path });
    await service.end("SIGKILL");
    expect(await run(earshot("client", "pong", "hello"), { rundir: scratch.path })).toMatchObject({
      code: 1,
      stderr:
        `client: "pong" in ${scratch.path} is gone and has left its socket behind; ` +
        "start it again\n",
    });
    expect(scratch.entries()).toEqual(["pong", "pong.lock", "pong.takeover", "pong.takeover.lock"]);
  });
});

test("usage errors are 2, and --help says how it is used", async () => {
  for (const [words, complaint] of [
    [[], "which service?"],
    [["pong", "-x"], "unknown option '-x'"],
    [["pong", "--timeout", "soon"], '--timeout: "soon" is not a whole number'],
    [
      ["pong", "--timeout", "-1"],
      "--timeout lacks its value; one that begins with a dash is given as --timeout=VALUE",
    ],
    [["pong", "--timeout=-1"], '--timeout: "-1" is not a whole number'],
  ] as const) {
    const { code, stdout, stderr } = await run(earshot("client", ...words));
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toBe(`client: ${complaint}\nusage: client NAME [TEXT…] [OPTIONS…] | --help\n`);
  }
  const { code, stdout } = await run(earshot("client", "--help"));
  expect(code).toBe(0);
  expect(stdout).toStartWith("usage: client NAME [TEXT…]");
});
