/** `service NAME`: starts one of the services and serves until a signal ends it. */

import { readFileSync } from "node:fs";
import { isatty } from "node:tty";
import { loadKeys } from "../crypto/key-file.ts";
import type { Allow } from "../ipc/context-options.ts";
import { u32Max } from "../ipc/numbers.ts";
import type { ServiceSeal } from "../ipc/seal.ts";
import { pollerKinds } from "../native/layout.ts";
import { loadService, serviceNames } from "../services/catalog.ts";
import type { Option, Options } from "../services/option.ts";
import { choice, count, flag, repeated, text, UsageError } from "../services/option.ts";
import type { Running, Startable } from "../services/startable.ts";
import { announce } from "./announce.ts";
import { commonOptions, readArguments, readWords } from "./arguments.ts";
import { CommandError, help, run, status } from "./command.ts";
import { printable, tell } from "./output.ts";
import { Report } from "./report.ts";
import { Succession } from "./succession.ts";

const users: Option<Allow> = {
  placeholder: "UIDS",
  help: 'who may connect, if the run directory lets them in: "anyone", or user numbers, as in 0,1000',
  read(given) {
    if (given === "anyone") return "anyone";
    const users = given.split(",");
    if (users.every((user) => /^[0-9]{1,10}$/.test(user) && Number(user) <= u32Max)) {
      return { users: users.map(Number) };
    }
    throw new UsageError(
      `"${given}" is neither "anyone" nor user numbers (0 to ${u32Max}) with commas between`,
    );
  },
};

const options = {
  list: flag("show what can be started"),
  name: text("OTHER", "serve under another name than NAME"),
  rundir: text("DIR", "the run directory (default: EARSHOT_RUNDIR, RUNDIR, then the user's own)"),
  shared: flag("accept a run directory that others use too"),
  users,
  "message-max": count("BYTES", "the longest message (default 16 MiB)"),
  "queue-max": count("BYTES", "what may wait for a peer that does not read (default 64 MiB)"),
  "connections-max": count("COUNT", "how many may be connected (default 65536)"),
  memory: flag("offer shared memory as well, through which local clients are served far faster"),
  keys: text(
    "FILE",
    "seal what is sent, with the keys in FILE (of keys save), for those of --allow-key",
  ),
  "allow-key": repeated(text("KEY", "with --keys: the public key of one who may connect")),
  takeover: flag("take it over from the process that runs it, without a call that fails"),
  finish: count(
    "SECONDS",
    "how long connections may go on here when another process has taken it over (default: until they end)",
  ),
  launchd: text(
    "SOCKET",
    "serve on the socket that launchd has under that name in its property list",
  ),
  poller: choice("KIND", Object.keys(pollerKinds), "how to wait"),
  ...commonOptions,
} as const;

/** For a service that no other process goes on with. */
const finishUnused = { finish: "nobody takes it over while it has connections" };

/** For a service that serves other than its name. */
const sealUnused = {
  keys: "it seals nothing itself; start what it carries, or leads to, with --keys",
  "allow-key": "it seals nothing itself; start what it carries, or leads to, with --keys",
};

/** Not to be spoken of for one that cannot go on with a socket; said all the same, they have an answer of their own. */
const handingOver: ReadonlySet<string> = new Set(["takeover", "launchd"]);

const about = `
Starts the service NAME, and says where it listens when it does. SIGINT, SIGTERM or a closed
terminal end it: it gives up its name, sends what it had taken, and exits; a second one ends it at
once. One that has not started yet gives that up. At SIGHUP a service that has rules in a file reads them again instead, unless its terminal has
gone. What goes wrong with a peer is told on stderr; the others are served all the same. SIGUSR2 has
it tell its counters there, as a line of JSON.`;

const aboutHandingOver = `

With --takeover it goes on with the socket of the process that runs it, which accepts no more,
hands over or finishes its connections, and exits. If nobody runs it, it starts as usual.

Started by systemd it serves on the socket it is passed (LISTEN_FDS; of several the one called NAME),
and tells when it is ready, when it stops, and which process goes on after a takeover (NOTIFY_SOCKET;
the unit needs Type=notify and NotifyAccess=all).`;

const aboutReadiness = `

Started by systemd it tells when it is ready and when it stops (NOTIFY_SOCKET; the unit needs
Type=notify).`;

const command = {
  name: "service",
  usage: "NAME [OPTIONS…] | --list | --help",
  about: about + aboutHandingOver,
  options,
};

await run(command, main);

async function main(given: readonly string[]): Promise<number> {
  // Until its name is known, the service's own options are not.
  const [name] = readWords(given, options);
  const service = name === undefined ? undefined : await find(name);
  const all = { ...options, ...service?.options };
  const unused = {
    ...(service !== undefined &&
      service.handsOver === undefined && { ...finishUnused, ...sealUnused }),
    ...service?.unused,
  };
  const { words, values } = readArguments<typeof options & Options>(given, all);
  if (values.help === true) tell(1, helpOf(service, without(all, unused)));
  else if (values.list === true) await list();
  else if (name === undefined || service === undefined) throw new UsageError("which one?");
  else if (words.length > 1) throw new UsageError(`one at a time; "${words[1]}" is one too many`);
  else {
    refuseUnused(name, values, unused);
    await serve(name, service, values);
  }
  return status.done;
}

function helpOf(service: Startable | undefined, shown: Options): string {
  if (service === undefined || service.handsOver !== undefined) {
    return help({ ...command, options: shown });
  }
  const left = Object.entries(shown).filter(([option]) => !handingOver.has(option));
  return help({ ...command, about: about + aboutReadiness, options: Object.fromEntries(left) });
}

type Unused = NonNullable<Startable["unused"]>;

function without(all: Options, unused: Unused): Options {
  return Object.fromEntries(Object.entries(all).filter(([option]) => !(option in unused)));
}

/** What would be ignored was meant to do something. */
function refuseUnused(name: string, values: Readonly<Record<string, unknown>>, unused: Unused) {
  for (const [option, instead] of Object.entries(unused)) {
    const value = values[option];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue;
    throw new UsageError(`--${option} means nothing to ${name}: ${instead}`);
  }
}

async function find(name: string): Promise<Startable> {
  const service = await loadService(name);
  if (service !== undefined) return service;
  throw new CommandError(`there is no "${name}" to start; there are: ${serviceNames.join(", ")}`);
}

async function list(): Promise<void> {
  const width = Math.max(...serviceNames.map((name) => name.length));
  for (const name of serviceNames) {
    const { summary } = await find(name);
    tell(1, `${name.padEnd(width)}  ${summary}\n`);
  }
}

type Given = ReturnType<typeof readArguments<typeof options & Options>>["values"];

async function serve(name: string, service: Startable, values: Given): Promise<void> {
  // All that this process serves shares one context, which takes its poller from here.
  if (values.poller !== undefined) process.env["EARSHOT_POLLER"] = values.poller;
  const stop = new StopSignals();
  const served = values.name ?? service.name ?? name;
  const report = new Report(served);
  const succession = new Succession(served, service, {
    rundir: values.rundir,
    shared: values.shared,
    allow: values.users,
    messageBytesMax: values["message-max"],
    queueBytesMax: values["queue-max"],
    connectionsMax: values["connections-max"],
    memory: values.memory,
    seal: sealOf(values),
  });
  for (const option of ["memory", "keys"] as const) {
    if (values[option] === undefined || values.takeover === undefined) continue;
    throw new UsageError(
      `--${option} and --takeover do not go together: stop the one that runs, then start it`,
    );
  }
  succession.inherit(values.launchd);
  const { handlers: reports, complain } = report;
  const { signal } = stop;
  const running = await stop.unlessBefore(async () => {
    if (values.takeover === true) await succession.ask(signal);
    return await succession.start((options) =>
      service.start({ name: served, options, reports, complain, signal }, values),
    );
  });
  if (running === undefined) {
    announce(served, { STOPPING: 1 });
    return;
  }
  // Before it is told that it listens: from then on somebody may ask, and unheard that signal ends a process.
  process.on("SIGUSR2", () => {
    const counts = JSON.stringify(running.counters?.() ?? {});
    tell(2, `${running.name}: counters ${counts}\n`);
  });
  if (running.reload !== undefined) stop.onHangup(reloader(running));
  const tookOver = await succession.settle(running);
  const state = `listening on ${printable(running.path)}`;
  tell(1, `${running.name}: ${state}\n`);
  const main = tookOver ? { MAINPID: process.pid } : {};
  announce(running.name, { ...main, READY: 1, STATUS: state });
  const finished = succession.taken(running).then(() => succession.finished(values.finish));
  await Promise.race([stop.first, finished]);
  // The service itself goes on where somebody else has it.
  if (!succession.over) announce(running.name, { STOPPING: 1 });
  // The name goes first: whoever is just taking it over keeps it then, and is not called off.
  const closed = close(running, stop.second);
  await succession.close();
  await closed;
  report.close();
}

/** Whom it lets in, if it is sealed. */
function sealOf({ keys, "allow-key": allow }: Given): ServiceSeal | undefined {
  if (keys === undefined && allow.length === 0) return undefined;
  if (keys === undefined) throw new UsageError("--allow-key takes --keys FILE as well");
  if (allow.length === 0)
    throw new UsageError("--keys takes an --allow-key KEY for each who may connect");
  return { keys: loadKeys(keys), allow };
}

/** Who does not read would hold it up; whoever asks twice does not want to wait for them. */
async function close(running: Running, again: Promise<void>): Promise<void> {
  const closed = running.close();
  await Promise.race([closed, again.then(() => running.close({ now: true }))]);
}

/** Reloads, one after the other, and says what came of it: whoever sent the signal sees nothing else. */
function reloader(running: Running): () => void {
  let last = Promise.resolve();
  const reload = async () => {
    try {
      await running.reload?.();
      tell(1, `${running.name}: reloaded\n`);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      tell(2, `${running.name}: not reloaded, all stays as it was: ${printable(text)}\n`);
    }
  };
  return () => {
    last = last.then(reload);
  };
}

/** The signals that end a service; and SIGHUP, which does too, unless there is something better to do with it. */
class StopSignals {
  readonly #first = Promise.withResolvers<void>();
  readonly #abort = new AbortController();
  readonly #second = Promise.withResolvers<void>();
  readonly #terminal = [0, 1, 2].find((descriptor) => isatty(descriptor));
  readonly #outlivesTerminal = isHangupIgnored();
  #count = 0;
  #reload: (() => void) | undefined;

  constructor() {
    process.on("SIGINT", this.#stop);
    process.on("SIGTERM", this.#stop);
    if (!this.#outlivesTerminal) process.on("SIGHUP", this.#hangup);
  }

  get first(): Promise<void> {
    return this.#first.promise;
  }

  get second(): Promise<void> {
    return this.#second.promise;
  }

  /** Aborts at the first. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** What `start` comes to; undefined if that was given up because of the first, or not waited for because of the second. */
  async unlessBefore<Value>(start: () => Promise<Value>): Promise<Value | undefined> {
    const started = start().catch((error: unknown) => {
      if (this.signal.aborted && error === this.signal.reason) return undefined;
      throw error;
    });
    return await Promise.race([started, this.second.then(() => undefined)]);
  }

  /** Has SIGHUP do this, even under `nohup`, for as long as the terminal it was started at is there. */
  onHangup(reload: () => void): void {
    this.#reload = reload;
    if (this.#outlivesTerminal) process.on("SIGHUP", this.#hangup);
  }

  readonly #stop = (): void => {
    this.#count += 1;
    this.#abort.abort();
    (this.#count === 1 ? this.#first : this.#second).resolve();
  };

  readonly #hangup = (): void => {
    // A terminal that was closed is none any more.
    const isGone = this.#terminal !== undefined && !isatty(this.#terminal);
    if (this.#reload === undefined || (isGone && !this.#outlivesTerminal)) this.#stop();
    else this.#reload();
  };
}

/** Whether it was started by `nohup`, or the like, to outlive its terminal. */
function isHangupIgnored(): boolean {
  try {
    const [, ignored] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(
      readFileSync("/proc/self/status", "latin1"),
    )!;
    return (Number.parseInt(ignored!.slice(-1), 16) & 1) === 1;
  } catch {
    // Only Linux tells. What has no terminal, as under `nohup`, is not meant to end with one.
    return ![0, 1, 2].some((descriptor) => isatty(descriptor));
  }
}
