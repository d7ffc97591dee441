/** `client NAME` at a terminal, with keys pressed and answers shown. */

import { expect, test } from "bun:test";
import { earshot, leaveNoCommand, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { hasTerminals, Terminal } from "../kit/terminal.ts";

leaveNoTrace();
leaveNoCommand();

if (!hasTerminals) console.warn("terminal.test.ts is left out: this Bun opens no terminals");

const [controlC, controlD] = ["\u0003", "\u0004"];
const isShown = test.if(hasTerminals);

isShown("a line typed is sent, its answer shown, and Ctrl-D ends it with 0", async () => {
  using scratch = new Scratch();
  await using _ = await startService(["hello"], { rundir: scratch.path });
  await using at = new Terminal(earshot("client", "hello"), { EARSHOT_RUNDIR: scratch.path });
  at.type("how are you?\n");
  await at.shows('You said "how are you?"\n');
  at.type("fine, çé\n");
  await at.shows('You said "fine, çé"\n');
  at.type(controlD);
  expect(await at.whenEnded()).toEqual({ code: 0, signal: null });
});

isShown("Ctrl-C ends it without a word", async () => {
  using scratch = new Scratch();
  await using _ = await startService(["hello"], { rundir: scratch.path });
  await using at = new Terminal(earshot("client", "hello"), { EARSHOT_RUNDIR: scratch.path });
  at.type("hello\n");
  await at.shows('You said "hello"\n');
  at.type(controlC);
  expect(await at.whenEnded()).toEqual({ code: null, signal: "SIGINT" });
  expect(at.shown.replace("^C", "")).toBe('hello\nYou said "hello"\n');
});

isShown("a service that goes away is told, though nothing is typed", async () => {
  using scratch = new Scratch();
  await using service = await startService(["hello"], { rundir: scratch.path });
  await using at = new Terminal(earshot("client", "hello"), { EARSHOT_RUNDIR: scratch.path });
  at.type("hello\n");
  await at.shows('You said "hello"\n');
  await service.end();
  await at.shows('client: "hello" is gone (peer_closed)\n');
  expect(await at.whenEnded()).toEqual({ code: 1, signal: null });
});

isShown("Ctrl-C closes a service in order", async () => {
  using scratch = new Scratch();
  await using at = new Terminal(earshot("service", "pong"), { EARSHOT_RUNDIR: scratch.path });
  await at.shows(`pong: listening on ${scratch.path}/pong\n`);
  at.type(controlC);
  expect(await at.whenEnded()).toEqual({ code: 0, signal: null });
  expect(scratch.entries()).toEqual([]);
});

isShown("SIGHUP has ipcd read its rules again, and a closed terminal ends it", async () => {
  using scratch = new Scratch();
  await using at = new Terminal(earshot("service", "ipcd"), { EARSHOT_RUNDIR: scratch.path });
  await at.shows("ipc: listening on ");
  at.signal("SIGHUP");
  await at.shows("ipc: reloaded\n");
  at.hangUp();
  expect(await at.whenEnded()).toEqual({ code: 0, signal: null });
  expect(scratch.entries()).toEqual([]);
});
