/** What a user reads when something is wrong: which service, which path, and what to do about it. */

import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { Context, IpcError, inspect, list, runDirectory } from "../../src/index.ts";
import { busy } from "../../src/ipc/context.ts";
import type { CodeName } from "../../src/native/errors.ts";
import { codes, errorOf } from "../../src/native/errors.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { within } from "../kit/until.ts";

leaveNoTrace();

const onLinux = process.platform === "linux";
const isRoot = process.geteuid!() === 0;
const rundirBefore = process.env["EARSHOT_RUNDIR"];

afterEach(() => {
  if (rundirBefore === undefined) delete process.env["EARSHOT_RUNDIR"];
  else process.env["EARSHOT_RUNDIR"] = rundirBefore;
});

function thrown(call: () => unknown): IpcError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(IpcError);
    return error as IpcError;
  }
  throw new Error("it did not throw");
}

/** What every error of this kind shows, in its text and in its members. */
function expectError(
  call: () => unknown,
  code: string,
  about: { service?: string; path?: string; words: readonly string[] },
): IpcError {
  const error = thrown(call);
  expect(error.code).toBe(code as IpcError["code"]);
  expect(error.name).toBe("IpcError");
  expect(error.message).toStartWith(`${code}: `);
  const { service, path } = about;
  if (service !== undefined) expect(error.message).toContain(JSON.stringify(service));
  expect(error.service).toBe(service);
  if (path !== undefined) expect(error.message).toContain(path);
  for (const word of about.words) expect(error.message).toContain(word);
  expect(error.message).not.toContain("undefined");
  return error;
}

/** A run directory that is good, and a context that looks there. */
class Place implements Disposable {
  readonly scratch = new Scratch();
  readonly path = this.scratch.join("run");
  readonly context = new Context({ rundir: this.path });

  constructor() {
    mkdirSync(this.path, { mode: 0o700 });
  }

  [Symbol.dispose](): void {
    this.context.close();
    this.scratch[Symbol.dispose]();
  }
}

describe("connecting", () => {
  test("nobody serves it", () => {
    using place = new Place();
    const { path } = place;
    const about = { service: "pong", path, words: ["nobody serves", "start it first"] };
    const error = expectError(() => place.context.connect("pong"), "ENOENT", about);
    expect(error).toMatchObject({ path, syscall: "connect" });
    expect(error.errno).toBeLessThan(0);
    expectError(() => inspect("pong", { rundir: path }), "ENOENT", about);
  });

  test("there is no run directory", () => {
    using scratch = new Scratch();
    const path = scratch.join("missing");
    using context = new Context({ rundir: path });
    const words = [
      "nobody serves",
      "there is no run directory",
      "start the service",
      "EARSHOT_RUNDIR",
    ];
    expectError(() => context.connect("pong"), "ENOENT", { service: "pong", path, words });
  });

  test("its owner is gone", async () => {
    using place = new Place();
    const script = `
      import { Context } from ${JSON.stringify(`${import.meta.dir}/../../src/index.ts`)};
      new Context().serve("pong");
      process.kill(process.pid, "SIGKILL");
      await Bun.sleep(60_000);`;
    const child = Bun.spawn({
      cmd: [process.execPath, "-e", script],
      env: { ...process.env, EARSHOT_RUNDIR: place.path },
      // A pipe that nobody reads stays open until it is collected.
      stdout: "ignore",
    });
    await within("its end", child.exited);
    expectError(() => place.context.connect("pong"), "ECONNREFUSED", {
      service: "pong",
      path: place.path,
      words: ["is gone", "start it again"],
    });
  });

  test("it has no room", () => {
    const error = expectError(
      () => {
        throw busy("pong");
      },
      "EBUSY",
      { service: "pong", words: ["no room", "try again"] },
    );
    expect(error.errno).toBe(0);
  });
});

describe("serving", () => {
  test("somebody serves it already: who", () => {
    using place = new Place();
    place.context.serve("pong");
    using other = new Context({ rundir: place.path });
    for (const context of [place.context, other]) {
      expectError(() => context.serve("pong"), "EADDRINUSE", {
        service: "pong",
        path: place.path,
        words: [`by process ${process.pid}`, "choose another name"],
      });
    }
  });

  test("something else is in its place", () => {
    using place = new Place();
    writeFileSync(`${place.path}/pong`, "");
    expectError(() => place.context.serve("pong"), "EEXIST", {
      service: "pong",
      path: place.path,
      words: ["not a socket", "left alone", "move it away"],
    });
  });

  test("a file of somebody's own is where its lock would be, and stays as it is", () => {
    using place = new Place();
    const lock = `${place.path}/yarn.lock`;
    writeFileSync(lock, "# yarn lockfile v1\n");
    expectError(() => place.context.serve("yarn"), "EEXIST", {
      service: "yarn",
      path: place.path,
      words: ["lock", "process id", "left alone", "move it away"],
    });
    // Nor is it taken away where the name is not free either.
    writeFileSync(`${place.path}/yarn`, "");
    expectError(() => place.context.serve("yarn"), "EEXIST", { service: "yarn", words: ["lock"] });
    expect(readFileSync(lock, "utf8")).toBe("# yarn lockfile v1\n");
  });

  test("something else is in its lock's place", () => {
    using place = new Place();
    mkdirSync(`${place.path}/pong.lock`);
    expectError(() => place.context.serve("pong"), "EEXIST", {
      service: "pong",
      path: place.path,
      words: ["lock", "left alone", "move it away"],
    });
  });

  test("the path is too long: by how much", () => {
    using scratch = new Scratch();
    const path = scratch.join("d".repeat(60));
    using context = new Context({ rundir: path });
    const service = "n".repeat(64);
    expectError(() => context.serve(service), "ENAMETOOLONG", {
      service,
      path,
      words: [
        `${path.length + 1 + service.length} bytes`,
        "shorter run directory",
        "EARSHOT_RUNDIR",
      ],
    });
  });

  test("the directory cannot be made", () => {
    using scratch = new Scratch();
    const path = scratch.join("a/b");
    using context = new Context({ rundir: path });
    const error = thrown(() => context.serve("pong"));
    expect(error).toMatchObject({ code: "ENOENT", service: "pong", path });
    for (const word of [path, "cannot be made", "make that first"]) {
      expect(error.message).toContain(word);
    }
  });
});

describe("names", () => {
  const rules: [string, string][] = [
    ["", "empty"],
    ["n".repeat(65), "longer than 64 bytes"],
    ["../pong", "starts with a dot"],
    ["a/b", "other than letters, digits, '.', '_' and '-'"],
    ["pong.lock", "ends in .lock"],
  ];
  for (const [name, words] of rules) {
    test(`${JSON.stringify(name)}: the rule that it breaks`, () => {
      using place = new Place();
      const about = { service: name, words: ["is not a name", words] };
      expectError(() => place.context.serve(name), "ENAME", about);
      expectError(() => place.context.connect(name), "ENAME", about);
      expectError(() => inspect(name, { rundir: place.path }), "ENAME", about);
    });
  }

  test("one that would play tricks on a terminal is shown and not printed", () => {
    using place = new Place();
    const { message } = thrown(() => place.context.connect("\u001b[2J\u009b\0"));
    expect(message).toContain('"\\u001b[2J\\u009b\\u0000"');
    expect([...message].every((character) => character >= " ")).toBe(true);
  });
});

describe("run directories", () => {
  /** Every call that looks into one is told the same: it is the directory's fault, whatever the service. */
  function expectRefused(path: string, code: string, words: readonly string[]): void {
    process.env["EARSHOT_RUNDIR"] = path;
    using context = new Context();
    const calls: [() => unknown, string | undefined][] = [
      [() => context.serve("pong"), "pong"],
      [() => context.connect("pong"), "pong"],
      [() => inspect("pong"), "pong"],
      [() => list(), undefined],
    ];
    for (const [call, service] of calls) {
      const error = thrown(call);
      expect(error).toMatchObject({ code, service, path });
      for (const word of [`${code}: `, path, ...words]) expect(error.message).toContain(word);
    }
  }

  test("a link", () => {
    using place = new Place();
    const link = place.scratch.join("link");
    symlinkSync(place.path, link);
    expectRefused(link, "ELOOP", ["is a link", "name the directory itself"]);
  });

  test("no directory", () => {
    using scratch = new Scratch();
    writeFileSync(scratch.join("file"), "");
    expectRefused(scratch.join("file"), "ENOTDIR", ["is not a directory", "EARSHOT_RUNDIR"]);
  });

  test("others can write to it: its mode", () => {
    using place = new Place();
    chmodSync(place.path, 0o777);
    expectRefused(place.path, "EPERM", ["written by others", "mode 777", "chmod 0700"]);
  });

  test.skipIf(!isRoot)("it is another user's: whose", () => {
    using place = new Place();
    chownSync(place.path, 12345, 12345);
    expectRefused(place.path, "EPERM", ["belongs to user 12345", "EARSHOT_RUNDIR"]);
  });

  test("it is not named from the root", () => {
    expectRefused("run/here", "EINVAL", ["does not start with a slash", "EARSHOT_RUNDIR"]);
  });

  test("it is longer than any path", () => {
    const long = `/${"d".repeat(5000)}`;
    const error = thrown(() => runDirectory(long));
    expect(error).toMatchObject({ code: "ENAMETOOLONG", path: long });
    expect(error.message).toContain("EARSHOT_RUNDIR");
    expect(error.message).not.toContain(" 0 bytes");
  });

  test("a zero byte in it is shown", () => {
    using context = new Context({ rundir: "/tmp/a\0b" });
    const { code, message } = thrown(() => context.serve("pong"));
    expect(code).toBe("EINVAL");
    expect(message).toContain("/tmp/a\\u0000b");
    expect(message).toContain("choose one without");
  });
});

describe("contexts", () => {
  test("closed, and too much at once", () => {
    using place = new Place();
    place.context.serve("pong");
    const connection = place.context.connect("pong", { messageBytesMax: 1 });
    expectError(() => place.context.write(connection, "xx"), "EMSGSIZE", {
      words: ["messageBytesMax"],
    });
    place.context.close();
    expectError(() => place.context.wait(0), "ECLOSED", { words: ["the context is closed"] });
  });

  test("a poller that is not there", () => {
    const poller = onLinux ? "kqueue" : "epoll";
    expectError(() => new Context({ poller }), "ENOTSUP", { words: ["leave the option out"] });
  });

  test("a descriptor that is none: the system's own number and call", () => {
    using context = new Context({ poller: "poll" });
    const error = thrown(() => context.external(1_000_000));
    expect(error.errno).toBeLessThan(0);
    expect(error.syscall).not.toBe("");
    expect(error.message).toContain("descriptor 1000000 is not open");
  });
});

/** What a caller did wrong by itself, or what only happens inside, has nothing to advise. */
const withoutAdvice: CodeName[] = [
  "ok",
  "invalid_argument",
  "closed",
  "wrong_thread",
  "out_of_memory",
  "malformed",
  "name_invalid",
  "unexpected",
];

test("every text that a user can do something about says what", () => {
  const subject = { service: "pong", path: "/run/earshot" };
  for (const [name, { number }] of Object.entries(codes)) {
    if (withoutAdvice.includes(name as CodeName)) continue;
    const { message } = errorOf(number, { errno: 0, syscall: 0, detail: 0 }, subject);
    expect(message).toMatch(
      /[;:(] ?(\w+ )*(start|stop|move|choose|name|make|try|raise|close|end|wait|leave|remove|have|chmod|messageBytesMax)/,
    );
  }
});
