/** What every daemon that carries services over streams does, whatever the streams are: its test calls this. */

import { describe, expect, test } from "bun:test";
import { connect as connectSocket } from "node:net";
import { connect, serve } from "../../../src/index.ts";
import { proxyHeader } from "../../../src/services/daemon/proxy.ts";
import { residentBytes } from "../../kit/census.ts";
import { earshot, run, startService } from "../../kit/command.ts";
import { FrameCutter, frame, header } from "../../kit/frames.ts";
import { pattern } from "../../kit/random.ts";
import { Scratch } from "../../kit/scratch.ts";
import { hashOf, StreamPeer } from "../../kit/stream-peer.ts";
import { until, within } from "../../kit/until.ts";
import type { Way } from "./stage.ts";
import {
  BareService,
  countersOf,
  echo,
  lookUp,
  startDaemon,
  startLeader,
  whyNot,
} from "./stage.ts";

const refused = "error: there is no such service here";
const mebibyte = 1024 * 1024;

export function carriesServices(way: Way): void {
  greets(way);
  bounds(way);
  carries(way);
  listens(way);
  leads(way);
}

async function named(way: Way, place: { host: string; port: number }, name = "pong") {
  const peer = await way.visit(place);
  peer.write(name);
  await peer.hears("ok");
  return peer;
}

async function ponged(peer: StreamPeer, text: string): Promise<void> {
  const before = peer.text;
  peer.write(frame(text));
  await peer.hears(before + Buffer.from(frame(text)).toString("latin1"));
}

function greets(way: Way): void {
  describe("a remote", () => {
    test("names a service byte by byte, and talks to it", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await startService(["pong"], { rundir });
      const daemon = await startDaemon(way, rundir, ["--allow", "pong"]);
      await using command = daemon.command;
      using peer = await way.visit(daemon.place);
      for (const letter of "pong") {
        expect(peer.text).toBe("");
        peer.write(letter);
        await Bun.sleep(5);
      }
      await peer.hears("ok");
      await ponged(peer, "hello");
      await ponged(peer, "x".repeat(100_000));
      expect(await countersOf(daemon)).toMatchObject({ remotes: 1, remotes_open: 1 });
      expect((await command.end()).stderr).toStartWith(`${way.scheme}: counters`);
    });

    test("names the longer of two that begin alike in one piece, and the shorter in two", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await BareService.serve(`${rundir}/pon`, (socket) => socket.write("short"));
      await using __ = await BareService.serve(`${rundir}/pong`, (socket) => socket.write("long"));
      const daemon = await startDaemon(way, rundir, ["--allow", "pong", "--allow", "pon"]);
      await using command = daemon.command;
      using long = await way.visit(daemon.place);
      long.write("pong");
      await long.hears("oklong");
      using short = await way.visit(daemon.place);
      short.write("po");
      await Bun.sleep(20);
      short.write("n");
      await short.hears("okshort");
      await command.complains(`${way.scheme}: --allow: "pon" begins "pong": `);
      await command.end();
    });

    test("hears the same of whatever it may not have", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await startService(["pong"], { rundir });
      await using __ = await startService(["pong", "--name", "secret"], { rundir });
      const daemon = await startDaemon(way, rundir, ["--allow", "pong"]);
      await using command = daemon.command;
      const names = ["secret", "nosuch", "../pong", "./pong", "/pong", "pon\n", "ponpong", "\0"];
      for (const name of [...names, "x".repeat(1 << 20)]) {
        using peer = await way.visit(daemon.place);
        peer.write(name);
        expect(await peer.whole()).toBe(refused);
      }
      expect(await countersOf(daemon)).toMatchObject({ remotes_refused: 9, remotes_failed: 0 });
      await command.end();
    });

    test("who does not wait for ok is told so", async () => {
      using scratch = new Scratch();
      const daemon = await startDaemon(way, scratch.path, ["--allow", "pong"]);
      await using command = daemon.command;
      for (const said of ["pong\n", "pongpong", "pong\0\0\0\x02hi"]) {
        using peer = await way.visit(daemon.place);
        peer.write(said);
        expect(await peer.whole()).toBe("error: there are bytes behind the name; wait for ok");
      }
      expect(await countersOf(daemon)).toMatchObject({ remotes_refused: 3, remotes_failed: 0 });
      await command.end();
    });

    test("who is slow, or silent, is told so", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const daemon = await startDaemon(way, rundir, ["--allow", "pong", "--handshake", "1"]);
      await using command = daemon.command;
      using silent = await way.visit(daemon.place);
      using slow = await way.visit(daemon.place);
      slow.write("pon");
      const late = "error: no service was named within 1000 ms";
      expect(await Promise.all([silent.whole(), slow.whole()])).toEqual([late, late]);
      await command.complains("no service was named within 1000 ms");
      expect(await countersOf(daemon)).toMatchObject({ remotes: 2, remotes_refused: 2 });
      await command.end();
    });

    test("is told of a service that is not there, and of none that it may not have", async () => {
      using scratch = new Scratch();
      const daemon = await startDaemon(way, scratch.path, ["--allow", "pong"]);
      await using command = daemon.command;
      using peer = await way.visit(daemon.place);
      peer.write("pong");
      expect(await peer.whole()).toBe('error: "pong" is not there now; try again later');
      // Whoever runs it is told more.
      await command.complains(`nobody serves "pong" in ${scratch.path}`);
      expect(await countersOf(daemon)).toMatchObject({ remotes_failed: 1, remotes_open: 0 });
      await command.end();
    });

    test("has all that a service says first, right behind ok", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const said = pattern(300_000);
      await using _ = await BareService.serve(`${rundir}/eager`, (socket) => socket.end(said));
      const daemon = await startDaemon(way, rundir, ["--allow", "eager"]);
      await using command = daemon.command;
      for (let round = 0; round < 10; round++) {
        using peer = await way.visit(daemon.place);
        peer.write("eager");
        await peer.whole();
        expect(peer.length).toBe(said.length + 2);
        expect(peer.hash).toBe(hashOf(Buffer.from("ok"), said));
      }
      await command.end();
    });
  });
}

function bounds(way: Way): void {
  describe("there are no more remotes", () => {
    test("than are allowed", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await startService(["pong"], { rundir });
      const daemon = await startDaemon(way, rundir, ["--allow", "pong", "--remotes-max", "2"]);
      await using command = daemon.command;
      using first = await named(way, daemon.place);
      using second = await named(way, daemon.place);
      using third = await connectedRaw(daemon.port);
      await third.over;
      expect(await countersOf(daemon)).toMatchObject({ remotes_open: 2, remotes_refused: 1 });
      await command.complains("there are as many remotes as are allowed");
      await ponged(first, "still");
      second.close();
      await until("one has gone", async () => (await countersOf(daemon))["remotes_open"] === 1);
      using fourth = await named(way, daemon.place);
      await ponged(fourth, "here");
      await command.end();
    });

    test("a crowd of idle ones is served when it speaks", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await startService(["pong"], { rundir });
      const daemon = await startDaemon(way, rundir, ["--allow", "pong", "--handshake", "300"]);
      await using command = daemon.command;
      const peers: StreamPeer[] = [];
      for (let count = 0; count < 2000; count += 100) {
        peers.push(
          ...(await Promise.all(Array.from({ length: 100 }, () => way.visit(daemon.place)))),
        );
      }
      for (const peer of peers) peer.write("pong");
      for (const peer of peers) await peer.hears("ok");
      const hello = Buffer.from(frame("hello"));
      for (const peer of peers) peer.write(hello);
      for (const peer of peers) await peer.hears(`ok${hello.toString("latin1")}`);
      expect(await countersOf(daemon)).toMatchObject({ remotes: 2000, remotes_open: 2000 });
      for (const peer of peers) peer.close();
      await until("all have gone", async () => (await countersOf(daemon))["remotes_open"] === 0);
      expect(await countersOf(daemon)).toMatchObject({ bytes_in: 18_000, bytes_out: 18_000 });
      await command.end();
    });

    test("a flood of one is in nobody's way", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await startService(["pong"], { rundir });
      const daemon = await startDaemon(way, rundir, ["--allow", "pong"]);
      await using command = daemon.command;
      using flood = await named(way, daemon.place);
      using quiet = await named(way, daemon.place);
      const count = 20_000;
      const one = Buffer.from(frame("x".repeat(1000)));
      for (let sent = 0; sent < count; sent += 100) {
        flood.write(Buffer.concat(Array.from({ length: 100 }, () => one)));
      }
      for (let round = 0; round < 50; round++) await ponged(quiet, `round ${round}`);
      await flood.received(2 + count * one.length);
      const cutter = new FrameCutter();
      cutter.push(flood.bytes.subarray(2));
      expect(cutter.payloads.length).toBe(count);
      expect(cutter.restBytes).toBe(0);
      await command.end();
    });
  });
}

function carries(way: Way): void {
  describe("a remote and its service", () => {
    test("exchange much both ways at once, and each end behind the last byte", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await BareService.serve(`${rundir}/echo`, echo);
      const daemon = await startDaemon(way, rundir, ["--service", "echo"]);
      await using command = daemon.command;
      const peers = await Promise.all([0, 1, 2].map(() => way.visit(daemon.place)));
      const bytes = pattern(24 * mebibyte);
      for (const peer of peers) {
        peer.write(bytes);
        peer.endWriting();
      }
      for (const peer of peers) {
        await until("all is back", () => peer.length >= bytes.length || peer.ended);
        await peer.whole();
        expect(peer.length).toBe(bytes.length);
        expect(peer.hash).toBe(hashOf(bytes));
        peer.close();
      }
      const moved = 3 * bytes.length;
      await until("all have gone", async () => (await countersOf(daemon))["remotes_open"] === 0);
      expect(await countersOf(daemon)).toMatchObject({ bytes_in: moved, bytes_out: moved });
      await command.end();
    });

    test("half-close: one that has ended still hears, and the other way round", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using bare = await BareService.serve(`${rundir}/bare`, (socket) => {
        socket.write("first");
        socket.on("end", () => socket.end("last"));
        socket.resume();
      });
      const daemon = await startDaemon(way, rundir, ["--service", "bare"]);
      await using command = daemon.command;
      using asking = await way.visit(daemon.place);
      await asking.hears("first");
      asking.endWriting();
      expect(await asking.whole()).toBe("firstlast");

      using telling = await way.visit(daemon.place);
      await telling.hears("first");
      const socket = bare.sockets.at(-1)!;
      const heard: Buffer[] = [];
      socket.removeAllListeners("end").on("data", (part) => heard.push(part as Buffer));
      socket.end("over");
      expect(await telling.whole()).toBe("firstover");
      telling.write("and still");
      await until("the service hears it", () => Buffer.concat(heard).toString() === "and still");
      telling.endWriting();
      await until("it has gone", async () => (await countersOf(daemon))["remotes_open"] === 0);
      await command.end();
    });

    test("wait for each other, in bounded memory", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using bare = await BareService.serve(`${rundir}/deaf`, (socket) => socket.pause());
      const daemon = await startDaemon(way, rundir, ["--service", "deaf"]);
      await using command = daemon.command;
      using peer = await way.visit(daemon.place, { reads: false });
      await until("the service is there", () => bare.sockets.length === 1);
      const before = residentBytes(command.pid);
      const bytes = pattern(64 * mebibyte);
      const heard: Buffer[] = [];
      peer.write(bytes);
      bare.sockets[0]!.write(bytes);
      // Nothing moves any more, and not because it arrived.
      await Bun.sleep(500);
      expect(peer.socket.writableLength).toBeGreaterThan(0);
      expect(bare.sockets[0]!.writableLength).toBeGreaterThan(0);
      expect(residentBytes(command.pid) - before).toBeLessThan(32 * mebibyte);
      bare.sockets[0]!.on("data", (part) => heard.push(part as Buffer)).resume();
      peer.read();
      await until("both have all", () => {
        const there = heard.reduce((sum, part) => sum + part.length, 0);
        return there === bytes.length && peer.length === bytes.length;
      });
      expect(hashOf(...heard)).toBe(hashOf(bytes));
      expect(peer.hash).toBe(hashOf(bytes));
      await command.end();
    });

    test("the remote has the end when the service dies", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using pong = await startService(["pong"], { rundir });
      const daemon = await startDaemon(way, rundir, ["--allow", "pong"]);
      await using command = daemon.command;
      using peer = await named(way, daemon.place);
      await ponged(peer, "alive");
      await pong.end("SIGKILL");
      await peer.whole();
      peer.close();
      await until("it has gone", async () => (await countersOf(daemon))["remotes_open"] === 0);
      await command.end();
    });

    test.each(["reset", "close"] as const)(
      "the service has the end at the remote's %s",
      async (how) => {
        using scratch = new Scratch();
        const { path: rundir } = scratch;
        const { promise, resolve } = Promise.withResolvers<string>();
        await using _ = await serve(
          "here",
          { close: (__, { reason }) => resolve(reason) },
          { rundir },
        );
        const daemon = await startDaemon(way, rundir, ["--allow", "here"]);
        await using command = daemon.command;
        using peer = await named(way, daemon.place, "here");
        peer[how]();
        expect(await within("the end", promise)).toBe("peer_closed");
        await until("it has gone", async () => (await countersOf(daemon))["remotes_open"] === 0);
        using next = await named(way, daemon.place, "here");
        next.close();
        await command.end();
      },
    );

    test("end with the daemon, under traffic, and nothing is left of it", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await BareService.serve(`${rundir}/echo`, echo);
      const daemon = await startDaemon(way, rundir, ["--service", "echo"]);
      await using command = daemon.command;
      using idle = await connectedRaw(daemon.port);
      using silent = await way.visit(daemon.place);
      const peers = await Promise.all([0, 1, 2, 3].map(() => way.visit(daemon.place)));
      const bytes = pattern(mebibyte);
      let over = false;
      for (const { socket } of peers) {
        const more = () => {
          while (!over && socket.write(bytes));
        };
        socket.on("drain", more);
        more();
      }
      await Promise.all(peers.map((peer) => peer.received(4 * mebibyte)));
      const ended = await command.end();
      over = true;
      expect(ended).toMatchObject({ code: 0, signal: null, stderr: "" });
      for (const peer of [...peers, silent]) {
        await until("it has the end", () => peer.ended);
        peer.close();
      }
      await idle.over;
      expect(scratch.entries()).toEqual(["echo"]);
    });

    test("the service is told who is there by IPv4, where all of IPv6 is listened at", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const heard: Buffer[] = [];
      await using _ = await BareService.serve(`${rundir}/log`, (socket) => {
        socket.on("data", (bytes) => heard.push(bytes as Buffer));
        socket.write("hello");
      });
      const words = ["--service", "log", "--proxy"];
      const daemon = await startDaemon(way, rundir, words, "[::]:0");
      await using command = daemon.command;
      for (const host of ["127.0.0.1", "::1"]) {
        heard.length = 0;
        const place = { host, port: daemon.port };
        using peer = await way.visit(place);
        await peer.hears("hello");
        const { localPort: port = 0 } = peer.socket;
        const head = Buffer.from(proxyHeader({ host, port }, place)).toString("hex");
        await until("all is there", () => 2 * Buffer.concat(heard).length >= head.length);
        expect(Buffer.concat(heard).toString("hex")).toBe(head);
      }
      await command.end();
    });

    test("the service is told who is there", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const heard: Buffer[] = [];
      await using _ = await BareService.serve(`${rundir}/log`, (socket) => {
        socket.on("data", (bytes) => heard.push(bytes as Buffer));
        socket.write("hello");
      });
      for (const words of [
        ["--service", "log"],
        ["--allow", "log"],
      ]) {
        heard.length = 0;
        const daemon = await startDaemon(way, rundir, [...words, "--proxy"]);
        await using command = daemon.command;
        using peer = await way.visit(daemon.place);
        if (words[0] === "--allow") peer.write("log");
        await peer.hears(words[0] === "--allow" ? "okhello" : "hello");
        peer.write("and this");
        const { localPort: port = 0 } = peer.socket;
        const head = proxyHeader({ host: "127.0.0.1", port }, daemon.place);
        const whole = Buffer.concat([head, Buffer.from("and this")]);
        await until("all is there", () => Buffer.concat(heard).length >= whole.length);
        expect(Buffer.concat(heard).toString("hex")).toBe(whole.toString("hex"));
        await command.end();
      }
    });
  });
}

function listens(way: Way): void {
  describe("a daemon", () => {
    test.each(["127.0.0.1:0", "[::1]:0", "localhost:0"])("listens at %s", async (listen) => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await startService(["pong"], { rundir });
      const daemon = await startDaemon(way, rundir, ["--allow", "pong"], listen);
      await using command = daemon.command;
      expect(daemon.port).toBeGreaterThan(0);
      const { stdout } = command;
      expect(stdout).toMatch(
        /^t[a-z]+: listening on t[a-z]+:\/\/(127\.0\.0\.1|\[::1\]):[0-9]+ and /,
      );
      expect(stdout).toEndWith(` and ${rundir}/${way.scheme}\n`);
      using peer = await named(way, daemon.place);
      await ponged(peer, "hello");
      await command.end();
    });

    test("that nobody runs starts as usual with --takeover, and another one says why not", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using first = await startService([way.daemon, ...way.leading, "--takeover"], {
        rundir,
      });
      expect(first.stdout).toStartWith(
        `${way.scheme}: nobody offers it to be taken over; starting as usual\n`,
      );
      const second = await run(earshot("service", way.daemon, ...way.leading, "--takeover"), {
        rundir,
      });
      expect(second).toMatchObject({ code: 1, stdout: "" });
      expect(second.stderr).toContain(`"${way.scheme}" cannot be taken over: `);
      // One that died has left its name behind, and nobody runs it.
      await first.end("SIGKILL");
      await using third = await startService([way.daemon, ...way.leading, "--takeover"], {
        rundir,
      });
      expect(third.stdout).toContain("starting as usual\n");
    });

    test("does not start at a port that is taken, and leaves nothing behind", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const daemon = await startDaemon(way, rundir, ["--no-lookups", "--allow", "pong"]);
      await using command = daemon.command;
      expect(scratch.entries()).toEqual([]);
      const words = [way.daemon, "--listen", `127.0.0.1:${daemon.port}`, ...way.listening];
      const ended = await run(earshot("service", ...words), { rundir });
      expect(ended).toMatchObject({ code: 1, stdout: "" });
      expect(ended.stderr).toContain(String(daemon.port));
      expect(scratch.entries()).toEqual([]);
      await command.end();
    });

    test.each([
      [["--service", "pong", "--allow", "pong", "--listen", "127.0.0.1:0"], "leave --allow out"],
      [["--no-lookups"], "there is nothing to do"],
      [["--allow", "../pong"], "is no name of a service"],
      [["--listen", "127.0.0.1"], "is no HOST:PORT"],
      [["--listen", "127.0.0.1:65536"], "is no HOST:PORT"],
      [["--handshake", "0"], "--handshake is 1 to"],
      [["--connections-max", "5"], ": use --remotes-max"],
      [["--message-max", "5"], "--message-max means nothing to "],
      [["--finish", "5"], "--finish means nothing to "],
      [
        ["--listen", "127.0.0.1:0", "--no-lookups", "--users", "anyone"],
        "--users is for lookups; who may come in is said by --listen",
      ],
      [["--dial-timeout", "9999999999"], "--dial-timeout is 1 to"],
    ])("%j is a usage error", async (words, why) => {
      using scratch = new Scratch();
      const ended = await run(earshot("service", way.daemon, ...way.listening, ...words), {
        rundir: scratch.path,
      });
      expect(ended).toMatchObject({ code: 2, stdout: "" });
      expect(ended.stderr).toContain(why);
      expect(scratch.entries()).toEqual([]);
    });
  });
}

function leads(way: Way): void {
  describe("a lookup", () => {
    /** Two machines: one has the services, the other somebody who asks. */
    async function stage(words: readonly string[]) {
      const there = new Scratch();
      const here = new Scratch();
      const daemon = await startDaemon(way, there.path, words);
      const leader = await startLeader(way, here.path, ["--dial-timeout", "2"]);
      return {
        there: there.path,
        here: here.path,
        daemon,
        leader,
        uri: (name: string) => `${way.scheme}://localhost:${daemon.port}${name}`,
        async [Symbol.asyncDispose]() {
          await daemon.command[Symbol.asyncDispose]();
          await leader[Symbol.asyncDispose]();
          there[Symbol.dispose]();
          here[Symbol.dispose]();
        },
      };
    }

    test("leads to a service of another run directory, in one piece or many", async () => {
      await using both = await stage(["--allow", "pong"]);
      await using _ = await startService(["pong"], { rundir: both.there });
      using whole = await lookUp(both.here, way, both.uri("/pong"));
      await whole.hears("ok");
      await ponged(whole, "hello");
      using pieces = await connectedUnix(both.here, way);
      for (const byte of frame(both.uri("/pong"))) {
        pieces.write(Uint8Array.of(byte));
        await Bun.sleep(1);
      }
      await pieces.hears("ok");
      await ponged(pieces, "x".repeat(100_000));
      expect(await countersOf({ command: both.leader })).toMatchObject({ lookups_open: 2 });
      whole.close();
      pieces.close();
      const open = async () => (await countersOf({ command: both.leader }))["lookups_open"];
      await until("both are over", async () => (await open()) === 0);
      expect((await both.leader.end()).code).toBe(0);
    });

    test("is what ipcd makes for a client whose network has it elsewhere", async () => {
      await using both = await stage(["--allow", "pong"]);
      await using _ = await startService(["pong"], { rundir: both.there });
      await using ipcd = await startService(["ipcd"], { rundir: both.here });
      const options = { rundir: both.here, network: `pong ${both.uri("/pong")}` };
      const clients = await Promise.all([0, 1, 2].map(() => connect("pong", options)));
      for (const client of clients) {
        expect((await client.request("hello")).text()).toBe("hello");
        const long = pattern(3 * mebibyte);
        expect(hashOf((await client.request(long)).bytes)).toBe(hashOf(long));
      }
      const nowhere = { ...options, network: `nosuch ${both.uri("/nosuch")}` };
      // `rejects` would keep the loop waiting that is to bring the answer.
      const why = await connect("nosuch", nowhere).then(String, String);
      expect(why).toContain("there is no such service here");
      await clients[0]!.close();
      expect((await clients[1]!.request("still")).text()).toBe("still");
      for (const client of clients) await client.close();
      const open = async () => (await countersOf({ command: both.leader }))["lookups_open"];
      await until("all are over", async () => (await open()) === 0);
      expect((await ipcd.end()).code).toBe(0);
    });

    test("leads without a name to where there is one service only, both ways at once", async () => {
      await using both = await stage(["--service", "echo"]);
      await using _ = await BareService.serve(`${both.there}/echo`, echo);
      using peer = await lookUp(both.here, way, both.uri(""));
      await peer.hears("ok");
      const bytes = pattern(16 * mebibyte);
      peer.write(bytes);
      peer.endWriting();
      await peer.received(2 + bytes.length);
      await peer.whole();
      expect(peer.hash).toBe(hashOf(Buffer.from("ok"), bytes));
    });

    test("loses nothing of a service that speaks first", async () => {
      await using both = await stage(["--allow", "eager"]);
      const said = pattern(300_000);
      await using _ = await BareService.serve(`${both.there}/eager`, (socket) => socket.end(said));
      for (let round = 0; round < 10; round++) {
        using peer = await lookUp(both.here, way, both.uri("/eager"));
        await peer.whole();
        expect(peer.length).toBe(2 + said.length);
        expect(peer.hash).toBe(hashOf(Buffer.from("ok"), said));
      }
    });

    test("tells why there is no way", async () => {
      await using both = await stage(["--allow", "gone"]);
      const why = (uri: string) => whyNot(both.here, way, uri);
      expect(await why(both.uri("/pong"))).toBe("error: there is no such service here");
      expect(await why(both.uri("/gone"))).toContain('"gone" is not there now');
      expect(await why("ws://localhost/pong")).toBe(`error: this is ${way.scheme}, and not ws`);
      expect(await why("unix://pong")).toContain(`this is ${way.scheme}`);
      expect(await why(`${way.scheme}://nosuch.invalid:1/pong`)).toBe(
        'error: no address is known for the host "nosuch.invalid"',
      );
      expect(await why(`${way.scheme}://127.0.0.1:1/pong`)).toContain("nobody listens there");
      expect(await why("nonsense")).toStartWith("error: a URI is SCHEME://");
      expect(await why(`${way.scheme}://host/pong`)).toContain("needs a port");
      expect(await countersOf({ command: both.leader })).toMatchObject({ lookups_failed: 8 });
      await both.leader.complains(`${way.scheme}: process ${process.pid} (user `);
    });

    test("is one message of a URI, and nothing else", async () => {
      await using both = await stage(["--allow", "pong"]);
      const long = "error: a lookup is one message, of at most 1024 bytes";
      using announced = await connectedUnix(both.here, way);
      announced.write(header(1025));
      expect(await announced.whole()).toBe(long);
      using more = await connectedUnix(both.here, way);
      more.write(Buffer.concat([frame("tcp://a:1/b"), Buffer.from("x")]));
      expect(await more.whole()).toBe(long);
    });

    test("gives up one that does not answer", async () => {
      using silent = Bun.listen({
        hostname: "127.0.0.1",
        port: 0,
        socket: { data: () => undefined },
      });
      using scratch = new Scratch();
      await using leader = await startLeader(way, scratch.path, ["--dial-timeout", "1"]);
      const why = await whyNot(scratch.path, way, `${way.scheme}://127.0.0.1:${silent.port}/pong`);
      expect(why).toMatch(/^error: .*no answer .*within 1000 ms$/);
      silent.stop(true);
      await leader.end();
    });

    test("of an asker who goes is dropped", async () => {
      const gone = Promise.withResolvers<void>();
      const come = Promise.withResolvers<void>();
      using silent = Bun.listen({
        hostname: "127.0.0.1",
        port: 0,
        socket: { data: () => undefined, open: () => come.resolve(), close: () => gone.resolve() },
      });
      using scratch = new Scratch();
      await using leader = await startLeader(way, scratch.path, ["--dial-timeout", "300"]);
      using peer = await lookUp(scratch.path, way, `${way.scheme}://127.0.0.1:${silent.port}/pong`);
      await within("a visitor", come.promise);
      peer.close();
      await within("its end", gone.promise);
      silent.stop(true);
      await leader.end();
    });
  });
}

function connectedUnix(rundir: string, way: Way): Promise<StreamPeer> {
  return StreamPeer.unix(`${rundir}/${way.scheme}`);
}

/** Says nothing at all, not even a TLS hello. */
async function connectedRaw(port: number) {
  const socket = connectSocket({ host: "127.0.0.1", port });
  const opened = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  socket.on("connect", opened.resolve).on("close", () => over.resolve());
  socket.on("error", () => undefined).resume();
  await within("a connection", opened.promise);
  return { over: over.promise, [Symbol.dispose]: () => void socket.destroy() };
}
