/** Where services are found, which names they can have, and what is found there in which state. */

import { afterEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import type { Found } from "../../src/index.ts";
import { Context, IpcError, inspect, list, runDirectory } from "../../src/index.ts";
import { constants } from "../../src/native/layout.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Pair, texts } from "../kit/pair.ts";
import { Scratch } from "../kit/scratch.ts";
import { within } from "../kit/until.ts";
import names from "../vectors/names.json" with { type: "json" };
import vectors from "../vectors/run-directory.json" with { type: "json" };

leaveNoTrace();

const uid = process.geteuid!();
const isRoot = uid === 0;
const variables = ["EARSHOT_RUNDIR", "RUNDIR", "XDG_RUNTIME_DIR"] as const;
const before = variables.map((name) => [name, process.env[name]] as const);

/** Has the environment hold these variables and no others of ours. */
function setEnvironment(environment: Partial<Record<string, string>>): void {
  for (const name of variables) {
    const value = environment[name];
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

afterEach(() => setEnvironment(Object.fromEntries(before)));

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(IpcError);
    return (error as IpcError).code;
  }
  return "";
}

/** Serves a name in a process that is then killed, so that its socket stays behind. Returns that process. */
async function leaveBehind(rundir: string, name: string): Promise<number> {
  const script = `
    import { Context } from ${JSON.stringify(`${import.meta.dir}/../../src/index.ts`)};
    new Context().serve(${JSON.stringify(name)});
    process.kill(process.pid, "SIGKILL");
    await Bun.sleep(60_000);`;
  const child = Bun.spawn({
    cmd: [process.execPath, "-e", script],
    env: { ...process.env, EARSHOT_RUNDIR: rundir },
    // A pipe that nobody reads stays open until it is collected.
    stdout: "ignore",
  });
  await within("its end", child.exited);
  expect(child.signalCode).toBe("SIGKILL");
  return child.pid;
}

test("the vectors are those that this was written for", () => {
  expect(vectors.version).toBe(1);
  expect(names.version).toBe(1);
});

describe("where it is", () => {
  for (const place of vectors.places) {
    test(place.what, () => {
      setEnvironment(place.environment);
      const { option } = place as { option?: string };
      expect(runDirectory(option)).toBe(place.path.replace("{uid}", String(uid)));
    });
  }

  test("an empty option counts as none", () => {
    setEnvironment({ RUNDIR: "/libipc" });
    expect(runDirectory("")).toBe("/libipc");
  });

  test("a relative option is taken from the working directory", () => {
    expect(runDirectory("here")).toBe(`${process.cwd()}/here`);
    expect(runDirectory("./a/../b/")).toBe(`${process.cwd()}/b`);
  });

  test("a path longer than any is an error", () => {
    const long = `/${"d".repeat(5000)}`;
    expect(codeOf(() => runDirectory(long))).toBe("ENAMETOOLONG");
    setEnvironment({ EARSHOT_RUNDIR: long });
    expect(codeOf(() => runDirectory())).toBe("ENAMETOOLONG");
  });

  test("a context looks where its option says, and a call where its own does", () => {
    using scratch = new Scratch();
    mkdirSync(scratch.join("one"), { mode: 0o700 });
    mkdirSync(scratch.join("two"), { mode: 0o700 });
    setEnvironment({ EARSHOT_RUNDIR: scratch.join("three") });
    using one = new Context({ rundir: scratch.join("one") });
    expect(one.path("pong")).toBe(scratch.join("one/pong"));
    expect(one.path("pong", scratch.join("two"))).toBe(scratch.join("two/pong"));
    one.serve("pong");
    one.serve("pong", { rundir: scratch.join("two") });
    using other = new Context();
    expect(other.path("pong")).toBe(scratch.join("three/pong"));
    other.serve("pong");
    for (const place of ["one", "two", "three"]) {
      expect(list({ rundir: scratch.join(place) }).map(({ name }) => name)).toEqual(["pong"]);
    }
  });

  test("it is made when a service starts, closed to others, and only then", () => {
    using scratch = new Scratch();
    const rundir = scratch.join("made");
    using context = new Context({ rundir });
    expect(list({ rundir })).toEqual([]);
    expect(codeOf(() => context.connect("pong"))).toBe("ENOENT");
    expect(codeOf(() => inspect("pong", { rundir }))).toBe("ENOENT");
    expect(existsSync(rundir)).toBe(false);
    context.serve("pong");
    expect(list({ rundir })).toHaveLength(1);
  });
});

describe("whom it is safe from", () => {
  for (const { mode, shared, fault } of vectors.trust) {
    const says = fault === null ? "good" : `refused as ${fault}`;
    test(`mode ${mode}${shared ? ", shared" : ""}: ${says}`, () => {
      using scratch = new Scratch();
      const rundir = scratch.join("run");
      mkdirSync(rundir);
      chmodSync(rundir, Number.parseInt(mode, 8));
      using context = new Context({ rundir });
      const options = { rundir, shared };
      const code = fault === null ? "" : "EPERM";
      expect(codeOf(() => list(options))).toBe(code);
      expect(codeOf(() => inspect("pong", options))).toBe(code === "" ? "ENOENT" : code);
      expect(codeOf(() => context.connect("pong", options))).toBe(code === "" ? "ENOENT" : code);
      expect(codeOf(() => context.serve("pong", options))).toBe(code);
      expect(scratch.entries("run").includes("pong")).toBe(code === "");
    });
  }

  test("a link is refused, whatever it leads to, and nothing is made behind it", () => {
    using scratch = new Scratch();
    mkdirSync(scratch.join("real"), { mode: 0o700 });
    symlinkSync(scratch.join("real"), scratch.join("link"));
    symlinkSync(scratch.join("nowhere"), scratch.join("dangling"));
    for (const ending of ["link", "link/", "dangling"]) {
      const rundir = scratch.join(ending);
      setEnvironment({ EARSHOT_RUNDIR: rundir });
      using context = new Context();
      expect(codeOf(() => list())).toBe("ELOOP");
      expect(codeOf(() => context.serve("pong"))).toBe("ELOOP");
      expect(codeOf(() => context.connect("pong"))).toBe("ELOOP");
    }
    expect(scratch.entries()).toEqual(["dangling", "link", "real"]);
    expect(scratch.entries("real")).toEqual([]);
  });

  test("a file in its place is refused, and stays", () => {
    using scratch = new Scratch();
    const rundir = scratch.join("file");
    writeFileSync(rundir, "kept");
    using context = new Context({ rundir });
    expect(codeOf(() => list({ rundir }))).toBe("ENOTDIR");
    expect(codeOf(() => context.serve("pong"))).toBe("ENOTDIR");
    expect(readFileSync(rundir, "utf8")).toBe("kept");
  });

  test.skipIf(!isRoot)("another user's is refused, and root's is not where it is shared", () => {
    using scratch = new Scratch();
    const rundir = scratch.join("theirs");
    mkdirSync(rundir, { mode: 0o700 });
    chownSync(rundir, 12345, 12345);
    using context = new Context({ rundir });
    for (const shared of [false, true]) {
      expect(codeOf(() => list({ rundir, shared }))).toBe("EPERM");
      expect(codeOf(() => context.serve("pong", { shared }))).toBe("EPERM");
    }
    expect(scratch.entries("theirs")).toEqual([]);
  });
});

describe("names", () => {
  test("the longest is as long as both sides think", () => {
    expect(names.name_bytes_max).toBe(constants.name_bytes_max);
  });

  for (const name of names.good) {
    test(`${JSON.stringify(name)} is one`, () => {
      using scratch = new Scratch();
      const rundir = scratch.path;
      using context = new Context({ rundir });
      context.serve(name);
      context.schedule(context.connect(name), "hello");
      expect(texts(context, 1)).toEqual(["hello"]);
      expect(inspect(name, { rundir }).path).toBe(scratch.join(name));
      expect(list({ rundir }).map((found) => found.name)).toEqual([name]);
    });
  }

  for (const { name, fault } of names.bad) {
    test(`${JSON.stringify(name)} is none: ${fault}`, () => {
      using scratch = new Scratch();
      const rundir = scratch.join("run");
      mkdirSync(rundir, { mode: 0o700 });
      using context = new Context({ rundir });
      for (const call of [
        () => context.serve(name),
        () => context.connect(name),
        () => context.tryConnect(name),
        () => inspect(name, { rundir }),
      ]) {
        expect(codeOf(call)).toBe("ENAME");
      }
      expect(scratch.entries()).toEqual(["run"]);
      expect(scratch.entries("run")).toEqual([]);
    });
  }

  test("a path that is too long for a socket, with a name that is not", () => {
    using scratch = new Scratch();
    const rundir = scratch.join("d".repeat(60));
    using context = new Context({ rundir });
    const name = "n".repeat(64);
    expect(codeOf(() => context.serve(name))).toBe("ENAMETOOLONG");
    expect(scratch.entries()).toEqual([]);
    context.serve("short");
    expect(codeOf(() => context.serve(name))).toBe("ENAMETOOLONG");
    expect(codeOf(() => context.connect(name))).toBe("ENAMETOOLONG");
    expect(codeOf(() => inspect(name, { rundir }))).toBe("ENAMETOOLONG");
    expect(list({ rundir }).map((found) => found.name)).toEqual(["short"]);
  });
});

describe("what is found", () => {
  test("a live service: its owner, its user, its path; and it notices nothing", () => {
    using pair = new Pair();
    const rundir = pair.scratch.path;
    const expected: Found = {
      name: "self",
      state: "live",
      pid: process.pid,
      uid,
      path: pair.scratch.join("self"),
      memory: false,
    };
    expect(inspect("self", { rundir })).toEqual(expected);
    expect(list({ rundir })).toEqual([expected]);
    expect(pair.context.wait(0)).toEqual([]);
    expect(pair.context.statistics(pair.service).connectionsAccepted).toBe(1);
  });

  test("a stale one: its socket is there and its owner is gone, until somebody serves it again", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    await leaveBehind(rundir, "left");
    const path = scratch.join("left");
    const stale: Found = { name: "left", state: "stale", pid: 0, uid, path, memory: false };
    expect(inspect("left", { rundir })).toEqual(stale);
    expect(list({ rundir })).toEqual([stale]);
    using context = new Context({ rundir });
    expect(codeOf(() => context.connect("left"))).toBe("ECONNREFUSED");
    expect(scratch.entries()).toContain("left");
    const service = context.serve("left");
    expect(inspect("left", { rundir })).toMatchObject({ state: "live", pid: process.pid });
    context.closeHandle(service);
    expect(list({ rundir })).toEqual([]);
  });

  test("a foreign one: a socket that somebody serves without a lock", () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const foreign = Bun.listen({
      unix: scratch.join("foreign"),
      socket: { data: () => undefined },
    });
    expect(inspect("foreign", { rundir })).toMatchObject({
      name: "foreign",
      state: "foreign",
      uid,
    });
    expect(list({ rundir }).map(({ state }) => state)).toEqual(["foreign"]);
    using context = new Context({ rundir });
    expect(codeOf(() => context.serve("foreign"))).toBe("EADDRINUSE");
    expect(scratch.entries()).toContain("foreign");
    foreign.stop(true);
  });

  test("nothing: ENOENT, and an empty list", () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    expect(codeOf(() => inspect("nobody", { rundir }))).toBe("ENOENT");
    expect(list({ rundir })).toEqual([]);
  });

  test("what is no socket is no service, and is left alone", () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    writeFileSync(scratch.join("file"), "kept");
    mkdirSync(scratch.join("folder"));
    symlinkSync(scratch.join("file"), scratch.join("link"));
    using context = new Context({ rundir });
    for (const name of ["file", "folder", "link"]) {
      expect(codeOf(() => inspect(name, { rundir }))).toBe("EEXIST");
      expect(codeOf(() => context.serve(name))).toBe("EEXIST");
    }
    expect(list({ rundir })).toEqual([]);
    expect(readFileSync(scratch.join("file"), "utf8")).toBe("kept");
    for (const name of ["file", "folder", "link"]) expect(scratch.entries()).toContain(name);
  });

  test("a socket whose name is none is no service", () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    using context = new Context({ rundir });
    context.serve("pong");
    renameSync(scratch.join("pong"), scratch.join(".hidden"));
    expect(list({ rundir })).toEqual([]);
  });

  test("many, by name, each in its state", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    using context = new Context({ rundir });
    for (const name of ["b", "a", "Z", "10", "9"]) context.serve(name);
    await leaveBehind(rundir, "m");
    writeFileSync(scratch.join("c"), "");
    expect(list({ rundir }).map(({ name, state }) => `${name} ${state}`)).toEqual([
      "10 live",
      "9 live",
      "Z live",
      "a live",
      "b live",
      "m stale",
    ]);
    context.closeAll();
    expect(list({ rundir }).map(({ name }) => name)).toEqual(["m"]);
  });
});
