/** httpd: services of this machine, asked by programs that speak HTTP, and by some that only pretend to. */

import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import type { Connection, ServeHandlers } from "../../src/index.ts";
import { canCount, residentBytes } from "../kit/census.ts";
import { earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { DaemonStage, Patient } from "../kit/daemon-stage.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern, Random } from "../kit/random.ts";
import { RawClient } from "../kit/raw-client.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

class Stage extends DaemonStage {
  static async open(...words: string[]): Promise<Stage> {
    return await new Stage().start("httpd", "--listen", "127.0.0.1:0", ...words);
  }

  /** What curl shows of the response, headers first. */
  async curl(path: string, ...words: string[]) {
    const ended = await run(["curl", "-sS", "-i", "--path-as-is", ...words, this.url + path]);
    const shown = ended.stdout.replace(/^HTTP\/1.1 100 .*\r\n\r\n/, "");
    const [head = "", ...body] = shown.split("\r\n\r\n");
    return {
      status: Number(/^HTTP\/1.1 (\d+)/.exec(head)?.[1]),
      headers: new Headers(
        head
          .split("\r\n")
          .slice(1)
          .map((line) => line.split(/: */, 2) as [string, string]),
      ),
      body: body.join("\r\n\r\n"),
    };
  }

  async raw(options: { reads?: boolean; keeps?: boolean } = {}): Promise<RawClient> {
    return await RawClient.connect(this.port, options);
  }

  async post(name: string, body: string | Uint8Array): Promise<Response> {
    // A connection of its own, which is not kept: what is open at the end of a test would be a trace.
    return await fetch(this.url + name, { method: "POST", body: body as string, keepalive: false });
  }

  async text(name: string, body: string): Promise<string> {
    return await (await this.post(name, body)).text();
  }

  /** Resolves when bodies and answers take up so many bytes. */
  async holds(bytes: number): Promise<void> {
    let held: number | undefined;
    await until(
      () => `it holds ${bytes} bytes, and not ${held}`,
      async () => {
        held = (await this.counters())["bytes_held"];
        return held === bytes;
      },
    );
  }

  async listensNoMore(): Promise<void> {
    const { port } = this;
    await until("it accepts nobody any more", async () => {
      try {
        (await RawClient.connect(port)).close();
        return false;
      } catch {
        return true;
      }
    });
  }
}

const head = (path: string, ...lines: string[]) =>
  `POST ${path} HTTP/1.1\r\n${["Host: here", ...lines].join("\r\n")}\r\n\r\n`;
const codeOf = (body: string): string =>
  (JSON.parse(body) as { error: { code: string } }).error.code;

describe("the command line", () => {
  test("without --listen is a usage error", async () => {
    using scratch = new Scratch();
    const ended = await run(earshot("service", "httpd"), { rundir: scratch.join("run") });
    expect(ended).toMatchObject({ code: 2, stdout: "" });
    expect(ended.stderr).toStartWith("service: --listen HOST:PORT is missing\n");
  });

  test.each([
    [["--listen", "here"], '--listen: "here" is no HOST:PORT'],
    [["--idle", "256"], "--idle: 256 is not from 1 to 255"],
    [["--pool", "0"], "--pool: 0 is not from 1 to 4096"],
    [["--allow", "../pong"], '--allow: "../pong" is no name of a service'],
    [
      ["--listen", "[::1]:0", "--users", "anyone"],
      "--users means nothing to httpd: it serves nobody",
    ],
    [["--connections-max", "5"], "--connections-max means nothing to httpd: use --requests-max"],
    [["--finish", "5"], "--finish means nothing to httpd: "],
    [
      ["--listen", "[::1]:0", "--fresh", "--ordered", "pong"],
      "with --fresh each request has a connection",
    ],
  ])("%j is one too", async (words, complaint) => {
    const ended = await run(earshot("service", "httpd", ...words));
    expect(ended).toMatchObject({ code: 2, stdout: "" });
    expect(ended.stderr).toStartWith(`service: ${complaint}`);
  });

  test("is explained by --help, with the limits and what they are", async () => {
    const { code, stdout } = await run(earshot("service", "httpd", "--help"));
    expect(code).toBe(0);
    for (const part of ["--listen HOST:PORT", "--allow NAME", "(default 1024)", "?stream"]) {
      expect(stdout).toContain(part);
    }
    for (const unused of ["--users", "--connections-max", "--finish"]) {
      expect(stdout).not.toContain(unused);
    }
  });

  test("starts as usual with --takeover, and finds its address taken where it runs", async () => {
    await using stage = await Stage.open("--takeover");
    expect(stage.daemon.stdout).toContain("starting as usual\n");
    const words = ["httpd", "--takeover", "--listen", `127.0.0.1:${stage.port}`];
    const ended = await run(earshot("service", ...words), { rundir: stage.scratch.path });
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain("somebody listens there already\n");
  });

  test("says why it cannot listen", async () => {
    await using stage = await Stage.open();
    const words = ["httpd", "--listen", `127.0.0.1:${stage.port}`];
    const ended = await run(earshot("service", ...words), { rundir: stage.scratch.path });
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toBe(
      `service: cannot listen at 127.0.0.1:${stage.port}: somebody listens there already\n`,
    );
  });

  test.each([
    ["nosuch.invalid:80", '"nosuch.invalid" leads to no address (ENOTFOUND)'],
    ["192.0.2.1:80", "cannot listen at 192.0.2.1:80: it is no address of this machine"],
  ])("says what is wrong with %s", async (listen, complaint) => {
    using scratch = new Scratch();
    const words = ["httpd", "--listen", listen];
    const ended = await run(earshot("service", ...words), { rundir: scratch.path });
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toStartWith(`service: ${complaint}`);
  });

  test("may name an IPv6 address, or a name", async () => {
    for (const [listen, url] of [
      ["[::1]:0", "http://[::1]:"],
      ["localhost:0", "http://"],
    ] as const) {
      await using stage = await new DaemonStage().start("httpd", "--listen", listen);
      expect(stage.url).toStartWith(url);
      const ended = await run(["curl", "-sS", "-g", stage.url]);
      expect(ended).toMatchObject({ stdout: '{"services":[]}', stderr: "" });
    }
  });
});

describe("a request", () => {
  test("is a message, and its answer the response", async () => {
    await using stage = await Stage.open("--allow", "pong");
    await stage.pong();
    const { status, headers, body } = await stage.curl("pong", "-d", "hello");
    expect({ status, body }).toEqual({ status: 200, body: "hello" });
    expect(headers.get("content-type")).toBe("application/octet-stream");
    expect(headers.get("access-control-allow-origin")).toBeNull();
    expect(await stage.curl("pong", "-X", "POST")).toMatchObject({ status: 200, body: "" });
  });

  test.each([
    ["of a known length", []],
    ["in chunks", ["-H", "Transfer-Encoding: chunked"]],
  ])("of many bytes, %s, comes back as it was", async (_, words) => {
    await using stage = await Stage.open("--allow", "pong");
    await stage.pong();
    for (const length of [1, 65_536, 65_537, 5_000_000]) {
      const file = stage.scratch.join("body");
      const bytes = pattern(length);
      await Bun.write(file, bytes);
      const ended = await run([
        "curl",
        "-sS",
        ...words,
        "--data-binary",
        `@${file}`,
        `${stage.url}pong`,
      ]);
      expect(Buffer.compare(ended.bytes, bytes)).toBe(0);
    }
  });

  test("of a page of another origin is refused", async () => {
    await using stage = await Stage.open("--allow", "pong");
    const service = await stage.pong();
    for (const origin of ["https://example.com", "null", "http://127.0.0.1:1"]) {
      const refused = await stage.curl("pong", "-d", "hello", "-H", `Origin: ${origin}`);
      expect({ status: refused.status, code: codeOf(refused.body) }).toEqual({
        status: 403,
        code: "foreign_origin",
      });
    }
    expect(service.statistics().connectionsAccepted).toBe(0);
    const own = `Origin: ${stage.url.slice(0, -1)}`;
    expect(await stage.curl("pong", "-d", "hello", "-H", own)).toMatchObject({ body: "hello" });
  });

  test.each([
    ["a name that somebody has lead here", [], "evil.example", "http://evil.example", 403],
    ["itself before what leads here", [], "a@localhost:1", "http://localhost:1", 403],
    ["another port", [], "localhost:1", "http://localhost:2", 403],
    ["localhost", [], "localhost:1", "http://localhost:1", 200],
    ["a number of IPv6", [], "[::1]:1", "http://[::1]:1", 200],
    ["one that is named", ["https://a.example"], "b.example", "https://a.example", 200],
    ["one beside it", ["https://a.example"], "localhost:1", "http://localhost:1", 403],
  ])("of a page of %s", async (_, given, host, origin, status) => {
    const words = given.flatMap((one) => ["--origin", one]);
    await using stage = await Stage.open("--allow", "pong", ...words);
    await stage.pong();
    const lines = ["-H", `Host: ${host}`, "-H", `Origin: ${origin}`];
    expect((await stage.curl("pong", "-d", "hello", ...lines)).status).toBe(status);
  });

  test("may come after another on the same connection", async () => {
    await using stage = await Stage.open("--allow", "pong");
    await stage.pong();
    using client = await stage.raw();
    for (const text of ["first", "other"]) {
      client.write(`${head("/pong", "Content-Length: 5")}${text}`);
      await client.receives(`\r\n\r\n${text}`);
    }
  });

  test("is one of many at once, each with its own answer", async () => {
    await using stage = await Stage.open("--allow", "pong", "--pool", "4");
    await stage.pong();
    const bodies = Array.from({ length: 300 }, (_, index) => `body ${index}`);
    expect(await Promise.all(bodies.map((body) => stage.text("pong", body)))).toEqual(bodies);
    expect(await stage.counters()).toMatchObject({ requests: 300, answers_2xx: 300, refused: 0 });
  });

  test("that takes long holds up no other", async () => {
    await using stage = await Stage.open("--allow", "patient", "--pool", "2");
    const patient = new Patient();
    await stage.serve("patient", {
      message: (connection, message) => {
        if (message.text() === "slow") void patient.handlers.message!(connection, message);
        else connection.send(message.bytes);
      },
    });
    const slow = stage.text("patient", "slow");
    await patient.isAsked("slow");
    for (let index = 0; index < 20; index++) {
      expect(await stage.text("patient", `${index}`)).toBe(`${index}`);
    }
    patient.answer("slow");
    expect(await slow).toBe("slow");
  });
});

describe("what there is", () => {
  test("is listed at /, and only what is allowed", async () => {
    await using stage = await Stage.open("--allow", "pong", "--allow", "hello");
    await stage.pong("secret");
    const { status, headers, body } = await stage.curl("");
    expect({ status, body: JSON.parse(body) }).toEqual({
      status: 200,
      body: { services: ["pong", "hello"] },
    });
    expect(headers.get("content-type")).toStartWith("application/json");
    expect(await stage.curl("", "-I")).toMatchObject({ status: 200, body: "" });
  });

  test.each([
    ["a name that somebody has lead here", [], "evil.example", 403],
    ["a name before what leads here", [], "evil.example@127.0.0.1", 403],
    ["a number with more behind it", [], "127.0.0.1\\.evil.example", 403],
    ["localhost", [], "localhost:1", 200],
    ["a number", [], "[::1]:1", 200],
    ["the name of an --origin", ["--origin", "https://a.example"], "a.example", 200],
  ])("is told to who calls it by %s, or not", async (_, words, host, status) => {
    await using stage = await Stage.open("--allow", "pong", ...words);
    await stage.pong();
    // For some paths another status would tell that there is such a service.
    for (const path of status === 200 ? [""] : ["", "pong", "nosuch"]) {
      const answer = await stage.curl(path, "-H", `Host: ${host}`);
      expect([path, answer.status]).toEqual([path, status]);
      if (status === 403) expect(codeOf(answer.body)).toBe("foreign_host");
    }
    // A program may have found it by any name, and says nothing of an origin.
    const asked = await stage.curl("pong", "-d", "hello", "-H", `Host: ${host}`);
    expect(asked).toMatchObject({ status: 200, body: "hello" });
  });

  test("and nothing else can be told from what is not there", async () => {
    await using stage = await Stage.open("--allow", "pong");
    await stage.pong("secret");
    const answers = await Promise.all(
      ["secret", "nosuch"].map((name) => stage.curl(name, "-d", "hello")),
    );
    expect(answers.map(({ status }) => status)).toEqual([404, 404]);
    expect(answers[0]!.body.replace("secret", "nosuch")).toBe(answers[1]!.body);
    expect(codeOf(answers[0]!.body)).toBe("not_found");
  });

  test.each([
    ["pong", "GET", "POST, OPTIONS"],
    ["pong", "PUT", "POST, OPTIONS"],
    ["", "DELETE", "GET, HEAD, OPTIONS"],
    ["", "POST", "GET, HEAD, OPTIONS"],
  ])("/%s does not take %s, and says what it takes", async (path, method, allow) => {
    await using stage = await Stage.open("--allow", "pong");
    const refused = await stage.curl(path, "-X", method);
    expect(refused.status).toBe(405);
    expect(refused.headers.get("allow")).toBe(allow);
    expect(codeOf(refused.body)).toBe("method_not_allowed");
    const asked = await stage.curl(path, "-X", "OPTIONS");
    expect(asked.status).toBe(204);
    expect(asked.headers.get("allow")).toBe(allow);
  });

  test.each([
    "/../pong",
    "/a/../pong",
    "/./pong",
    "/%2e%2e/pong",
    "/..%2fpong",
    "/pong%2f",
    "/%70ong",
    "/pong/",
    "//pong",
    "/pong/more",
    "/.hidden",
    "/pong%00",
    "/pong?",
    "/pong?streams",
    "/pong?stream=1",
  ])("%s is no path", async (path) => {
    await using stage = await Stage.open("--allow", "pong");
    await stage.pong();
    using client = await stage.raw();
    client.write(`${head(path, "Content-Length: 5")}hello`);
    await client.receives('{"error":{"code":"bad_path",');
    expect(client.received).toStartWith("HTTP/1.1 400 ");
  });
});

describe("a body over the limit", () => {
  test("is refused by its announced length, before any of it is there", async () => {
    await using stage = await Stage.open("--allow", "pong", "--message-max", "100000");
    await stage.pong();
    using client = await stage.raw();
    client.write(head("/pong", "Content-Length: 100001"));
    await client.receives('{"error":{"code":"body_too_long",');
    expect(client.received).toStartWith("HTTP/1.1 413 ");
    await client.gone();
  });

  test("is refused as soon as there is more of it than that", async () => {
    await using stage = await Stage.open("--allow", "pong", "--message-max", "100000");
    await stage.pong();
    using client = await stage.raw();
    client.write(head("/pong", "Transfer-Encoding: chunked"));
    const chunk = `4000\r\n${"x".repeat(0x4000)}\r\n`;
    client.write(chunk.repeat(7));
    await client.receives('{"error":{"code":"body_too_long",');
    await client.gone();
  });

  test("is one byte longer than what is answered", async () => {
    await using stage = await Stage.open("--allow", "pong", "--message-max", "100000");
    await stage.pong();
    expect((await (await stage.post("pong", pattern(100_000))).bytes()).length).toBe(100_000);
    expect((await stage.post("pong", pattern(100_001))).status).toBe(413);
  });

  test("counts for all bodies together", async () => {
    await using stage = await Stage.open("--allow", "pong", "--held-max", "200000");
    await stage.pong();
    using first = await stage.raw();
    first.write(head("/pong", "Transfer-Encoding: chunked"));
    first.write(`20000\r\n${"x".repeat(0x20000)}\r\n`);
    // With less of it there it might be the first that finds no room.
    await stage.holds(0x20000);
    const refused = await stage.post("pong", pattern(100_000));
    expect(refused.status).toBe(503);
    expect(codeOf(await refused.text())).toBe("too_much_held");
    first.write("0\r\n\r\n");
    await until("the first is answered", () => first.receivedBytes > 0x20000);
    expect((await stage.post("pong", pattern(100_000))).status).toBe(200);
  });
});

describe("an answer", () => {
  test("that finds no room beside what is held is refused, and the next one is not", async () => {
    const bytes = 9_000_000;
    await using stage = await Stage.open("--allow", "big", "--held-max", `${1.5 * bytes}`);
    await stage.serve("big", {
      message: (connection) => void connection.send(pattern(bytes)),
    });
    using first = await stage.raw({ reads: false });
    first.write(`${head("/big", "Content-Length: 5")}hello`);
    await stage.holds(bytes);
    const refused = await stage.post("big", "hello");
    expect(refused.status).toBe(503);
    expect(codeOf(await refused.text())).toBe("too_much_held");
    first.read();
    await until("the first has all", () => first.receivedBytes > bytes);
    await stage.holds(0);
    expect((await (await stage.post("big", "hello")).bytes()).length).toBe(bytes);
  });
});

describe("a service", () => {
  test("that is not running is looked for again with each request", async () => {
    await using stage = await Stage.open("--allow", "pong");
    for (let round = 0; round < 2; round++) {
      const refused = await stage.curl("pong", "-d", "hello");
      expect(refused.status).toBe(503);
      expect(refused.headers.get("retry-after")).toBe("1");
      expect(codeOf(refused.body)).toBe("service_not_running");
      const service = await stage.pong();
      expect((await stage.curl("pong", "-d", "hello")).body).toBe("hello");
      await service.close();
    }
  });

  test("whose process dies in the middle of a request is told of, and found again", async () => {
    await using stage = await Stage.open("--allow", "pong");
    const options = { rundir: stage.scratch.path };
    await using first = await startService(["pong"], options);
    expect(await stage.text("pong", "before")).toBe("before");
    first.signal("SIGSTOP");
    const asked = stage.post("pong", "hello");
    await until("it is being asked", async () => (await stage.counters())["requests"] === 2);
    await first.end("SIGKILL");
    const response = await asked;
    expect(response.status).toBe(502);
    expect(codeOf(await response.text())).toBe("service_reset");
    await using _ = await startService(["pong"], options);
    expect(await stage.text("pong", "after")).toBe("after");
  });

  test("that closes the connection of one request ends no other", async () => {
    await using stage = await Stage.open("--allow", "fragile");
    await stage.serve("fragile", {
      message: (connection, message) => {
        if (message.text() === "break") void connection.close({ now: true });
        else connection.send(message.bytes);
      },
    });
    const bodies = Array.from({ length: 60 }, (_, index) => (index % 3 === 0 ? "break" : "fine"));
    const responses = await Promise.all(bodies.map((body) => stage.post("fragile", body)));
    expect(responses.map(({ status }) => status)).toEqual(
      bodies.map((body) => (body === "break" ? 502 : 200)),
    );
    await Promise.all(responses.map((response) => response.bytes()));
  });

  test("that takes too long is not waited for, and its late answer is nobody's", async () => {
    await using stage = await Stage.open("--allow", "patient", "--timeout", "1", "--pool", "1");
    const patient = new Patient();
    await stage.serve("patient", {
      message: (connection, message) => {
        if (message.text() === "late") void patient.handlers.message!(connection, message);
        else connection.send(message.bytes);
      },
    });
    const response = await stage.post("patient", "late");
    expect(response.status).toBe(504);
    expect(codeOf(await response.text())).toBe("timeout");
    patient.answer("late");
    for (let index = 0; index < 5; index++) {
      expect(await stage.text("patient", `${index}`)).toBe(`${index}`);
    }
    expect(await stage.counters()).toMatchObject({ timeouts: 1, answers_5xx: 1, answers_2xx: 5 });
  });

  test("may take longer than a remote may be silent", async () => {
    await using stage = await Stage.open("--allow", "patient", "--idle", "1");
    const patient = new Patient();
    await stage.serve("patient", patient.handlers);
    using idle = await stage.raw();
    const response = stage.text("patient", "hello");
    await patient.isAsked("hello");
    await idle.gone();
    patient.answer("hello");
    expect(await response).toBe("hello");
  });

  test("that answers twice is told of, and its second answers are nobody's", async () => {
    await using stage = await Stage.open("--allow", "twice");
    await stage.serve("twice", {
      message: (connection, message) => {
        connection.send(message.bytes);
        connection.send("once more");
      },
    });
    for (let index = 0; index < 20; index++) {
      expect(await stage.text("twice", `${index}`)).toBe(`${index}`);
    }
    await stage.daemon.complains('HTTP: "twice" sent what no request had asked for');
    expect((await stage.counters())["unasked"]).toBeGreaterThan(0);
  });

  test("that greets is found out by it, and nobody gets what is another's from then on", async () => {
    await using stage = await Stage.open("--allow", "greeter");
    await stage.serve("greeter", {
      open: (connection) => void connection.send("hello"),
      message: (connection, message) => void connection.send(message.bytes),
    });
    expect(await stage.text("greeter", "first")).toBe("hello");
    await stage.daemon.complains('HTTP: "greeter" sent what no request had asked for: from now on');
    const texts = Array.from({ length: 20 }, (_, index) => `${index}`);
    const answers = await Promise.all(texts.map((text) => stage.text("greeter", text)));
    expect(new Set(answers)).toEqual(new Set(["hello"]));
    expect(stage.daemon.stderr.match(/from now on/g)).toHaveLength(1);
  });

  test("that answers twice and late is found out, and nobody gets what is another's from then on", async () => {
    await using stage = await Stage.open("--allow", "twice", "--pool", "4");
    const patient = new Patient();
    await stage.serve("twice", patient.handlers);
    // Two connections, each of which has answered, and will answer once more.
    const both = ["a", "b"].map((text) => stage.text("twice", text));
    for (const text of ["a", "b"]) await patient.isAsked(text);
    for (const text of ["a", "b"]) patient.answer(text);
    expect(await Promise.all(both)).toEqual(["a", "b"]);
    // One of the two is in use again.
    const third = stage.post("twice", "c");
    await patient.isAsked("c");
    const of = (text: string) => patient.asked.find((one) => one.text === text)!.connection;
    const [busy, idle] = of("c") === of("a") ? ["a", "b"] : ["b", "a"];
    expect(of("c")).toBe(of(busy!));
    patient.answer(idle!, "late");
    await stage.daemon.complains("from now on each request has a connection of its own");
    await until("the one in use was closed", () => !of("c").open);
    patient.answer(busy!, "late");
    const refused = await third;
    expect(refused.status).toBe(502);
    expect(codeOf(await refused.text())).toBe("service_reset");
    for (const text of ["d", "e", "f"]) {
      const answer = stage.text("twice", text);
      await patient.isAsked(text);
      patient.answer(text);
      expect(await answer).toBe(text);
      patient.answer(text, "late");
    }
    expect((await stage.counters())["unasked"]).toBeGreaterThan(0);
  });

  test("sees a connection for each request with --fresh, and few without", async () => {
    for (const [words, least, most] of [
      [["--fresh"], 10, 10],
      // One is back a turn after its answer, which may be after the next request.
      [[], 1, 5],
    ] as const) {
      await using stage = await Stage.open("--allow", "pong", ...words);
      let connections = 0;
      await stage.serve("pong", {
        open: () => {
          connections += 1;
        },
        message: (connection, message) => void connection.send(message.bytes),
      });
      for (let index = 0; index < 10; index++) await stage.text("pong", "hello");
      expect(connections).toBeGreaterThanOrEqual(least);
      expect(connections).toBeLessThanOrEqual(most);
    }
  });
});

/** One that does to each message what chance says, and never answers what it was not asked. */
class Capricious {
  readonly #random: Random;
  readonly #last = new WeakMap<Connection, Promise<unknown>>();
  readonly handlers: ServeHandlers = {
    message: (connection, message) => this.#treat(connection, message.text()),
  };

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  #treat(connection: Connection, text: string): void {
    const fate = this.#random.below(40);
    const late = Bun.sleep(fate < 15 ? this.#random.below(20) : 0);
    if (fate === 0) void connection.close({ now: true });
    // What comes behind one that is never answered has no answer either: they are in order.
    const before = this.#last.get(connection) ?? Promise.resolve();
    const answered = before.then(async () => {
      await late;
      if (fate === 1) await new Promise(() => undefined);
      if (connection.open) connection.send(text);
    });
    this.#last.set(connection, answered);
  }
}

test.each([["--allow"], ["--ordered"]])(
  "no remote of a service of %s gets another's answer, whatever becomes of those",
  async (option) => {
    const words = [option, "capricious", "--pool", "3", "--timeout", "1"];
    await using stage = await Stage.open(...words);
    await stage.serve("capricious", new Capricious(7).handlers);
    const bodies = Array.from({ length: 150 }, (_, index) => `body ${index}`);
    const told: Record<number, number> = {};
    const ask = async (body: string) => {
      const response = await stage.post("capricious", body);
      const text = await response.text();
      told[response.status] = (told[response.status] ?? 0) + 1;
      if (response.status === 200) expect(text).toBe(body);
      else expect(["service_reset", "timeout"]).toContain(codeOf(text));
    };
    // A few at once: an end, or a silence, is that of all on the connection.
    for (let at = 0; at < bodies.length; at += 5) {
      await Promise.all(bodies.slice(at, at + 5).map(ask));
    }
    for (const status of [200, 502, 504]) expect(told[status]).toBeGreaterThan(0);
    expect(await stage.counters()).toMatchObject({ requests: bodies.length, unasked: 0 });
  },
);

describe("a service that answers in order", () => {
  test("is asked over few connections, and each has its own answer", async () => {
    await using stage = await Stage.open("--ordered", "pong");
    let connections = 0;
    await stage.serve("pong", {
      open: () => {
        connections += 1;
      },
      message: (connection, message) => void connection.send(message.bytes),
    });
    const bodies = Array.from({ length: 60 }, (_, index) => `body ${index}`);
    expect(await Promise.all(bodies.map((body) => stage.text("pong", body)))).toEqual(bodies);
    expect(connections).toBe(1);
  });

  test("has those behind one that was given up wait for their own time", async () => {
    await using stage = await Stage.open("--ordered", "patient", "--timeout", "4");
    const patient = new Patient();
    await stage.serve("patient", patient.handlers);
    const first = stage.post("patient", "first");
    await patient.isAsked("first");
    // It has so much longer than the first, however long that is looked for.
    await Bun.sleep(3000);
    const behind = stage.text("patient", "behind");
    await patient.isAsked("behind");
    expect((await first).status).toBe(504);
    await (await first).text();
    // What comes now goes elsewhere.
    const after = stage.text("patient", "after");
    await patient.isAsked("after");
    patient.answer("after");
    expect(await after).toBe("after");
    for (const text of ["first", "behind"]) patient.answer(text);
    expect(await behind).toBe("behind");
    const of = (text: string) => patient.asked.find((one) => one.text === text)!.connection;
    expect(of("behind")).toBe(of("first"));
    expect(of("after")).not.toBe(of("first"));
    await until("the one that was stuck is closed", () => !of("first").open);
  });

  test("and sends what nobody waits for has a connection for each request from then on", async () => {
    await using stage = await Stage.open("--ordered", "twice");
    const connections = new Set<Connection>();
    await stage.serve("twice", {
      message: (connection, message) => {
        connections.add(connection);
        connection.send(message.bytes);
        connection.send("once more");
      },
    });
    expect(await stage.text("twice", "first")).toBe("first");
    await stage.daemon.complains('HTTP: "twice" sent what no request had asked for: from now on');
    const texts = Array.from({ length: 10 }, (_, index) => `${index}`);
    expect(await Promise.all(texts.map((text) => stage.text("twice", text)))).toEqual(texts);
    expect(connections.size).toBe(1 + texts.length);
    expect(stage.daemon.stderr.match(/from now on/g)).toHaveLength(1);
  });

  test("and dies is told of to all who wait, and found again", async () => {
    await using stage = await Stage.open("--ordered", "pong");
    const options = { rundir: stage.scratch.path };
    await using first = await startService(["pong"], options);
    first.signal("SIGSTOP");
    const asked = ["a", "b", "c"].map((text) => stage.post("pong", text));
    await until("they are being asked", async () => (await stage.counters())["requests"] === 3);
    await first.end("SIGKILL");
    for (const response of await Promise.all(asked)) {
      expect(response.status).toBe(502);
      expect(codeOf(await response.text())).toBe("service_reset");
    }
    expect(
      (await stage.post("pong", "none").then((refused) => refused.json())) as object,
    ).toMatchObject({
      error: { code: "service_not_running" },
    });
    await using _ = await startService(["pong"], options);
    expect(await stage.text("pong", "after")).toBe("after");
  });
});

describe("too many", () => {
  test("requests at once are refused, and those that were begun go on", async () => {
    await using stage = await Stage.open("--allow", "patient", "--requests-max", "2");
    const patient = new Patient();
    await stage.serve("patient", patient.handlers);
    const begun = ["one", "two"].map((text) => stage.text("patient", text));
    await patient.isAsked("one");
    await patient.isAsked("two");
    const refused = await stage.post("patient", "three");
    expect(refused.status).toBe(503);
    expect(codeOf(await refused.text())).toBe("too_many_requests");
    for (const text of ["one", "two"]) patient.answer(text);
    expect(await Promise.all(begun)).toEqual(["one", "two"]);
    const third = stage.text("patient", "four");
    await patient.isAsked("four");
    patient.answer("four");
    expect(await third).toBe("four");
  });

  test("for the pool wait no longer for their turn than for an answer", async () => {
    const words = ["--pool", "1", "--timeout", "1"];
    await using stage = await Stage.open("--allow", "patient", ...words);
    await stage.serve("patient", {});
    const responses = await Promise.all(["one", "two"].map((text) => stage.post("patient", text)));
    expect(responses.map(({ status }) => status)).toEqual([504, 504]);
    await Promise.all(responses.map((response) => response.bytes()));
  });

  test("for the pool wait for their turn", async () => {
    await using stage = await Stage.open("--allow", "patient", "--pool", "1");
    const patient = new Patient();
    await stage.serve("patient", patient.handlers);
    const texts = ["one", "two", "three"];
    const asked = texts.map((text) => stage.text("patient", text));
    for (let count = 1; count <= texts.length; count++) {
      await until("one more is asked", () => patient.asked.length === count);
      patient.answer(patient.asked.at(-1)!.text);
    }
    expect(await Promise.all(asked)).toEqual(texts);
  });
});

test("connections that wait for another request go when no descriptor is left", async () => {
  using scratch = new Scratch();
  const options = { rundir: scratch.path, shell: 'ulimit -n 64; exec "$@"' };
  await using _ = await startService(["pong"], { rundir: scratch.path });
  const words = ["httpd", "--listen", "127.0.0.1:0", "--allow", "pong", "--idle", "255", "--fresh"];
  await using daemon = await startService(words, options);
  const port = Number(/:(\d+)\//.exec(daemon.stdout)![1]);
  using crowd = new DisposableStack();
  const ask = async () => {
    const client = crowd.use(await RawClient.connect(port));
    client.write(`${head("/pong", "Content-Length: 5")}hello`);
    await until("it is answered", () => /\r\n\r\n./.test(client.received));
    return client;
  };
  const first = await ask();
  await until("one is refused", async () => {
    const { received } = await ask();
    return received.includes('{"error":{"code":"no_descriptors",');
  });
  await first.gone();
  expect((await ask()).received).toStartWith("HTTP/1.1 200 ");
});

test.if(canCount)(
  "a request for which no descriptor is left is told so, and later ones are answered",
  async () => {
    using scratch = new Scratch();
    const options = { rundir: scratch.path, shell: 'ulimit -n 64; exec "$@"' };
    await using _ = await startService(["pong"], { rundir: scratch.path });
    const words = ["httpd", "--listen", "127.0.0.1:0", "--allow", "pong", "--fresh"];
    await using daemon = await startService(words, options);
    const port = Number(/:(\d+)\//.exec(daemon.stdout)![1]);
    using first = await RawClient.connect(port);
    first.write(`${head("/pong", "Content-Length: 5")}first`);
    await first.receives("\r\n\r\nfirst");
    using crowd = new DisposableStack();
    for (let count = 0; count < 80; count++) crowd.use(await RawClient.connect(port));
    const open = () => readdirSync(`/proc/${daemon.pid}/fd`).length;
    await until("none is left", () => open() === 64);
    first.write(`${head("/pong", "Content-Length: 5")}hello`);
    await first.receives('{"error":{"code":"no_descriptors",');
    crowd.dispose();
    await until("somebody is answered", async () => {
      using later = await RawClient.connect(port);
      later.write(`${head("/pong", "Content-Length: 5")}hello`);
      await later.receives("\r\n\r\n");
      return later.received.startsWith("HTTP/1.1 200 ");
    });
  },
);

// What a process has mapped is told there.
test.if(process.platform === "linux")(
  "what a request needs is loaded before any comes, when no descriptor may be left for it",
  async () => {
    await using stage = await Stage.open("--allow", "pong");
    const mapped = readFileSync(`/proc/${stage.daemon.pid}/maps`, "utf8");
    expect(mapped).toContain("libearshot-ipc");
  },
);

describe("a hostile client", () => {
  const chunked = head("/pong", "Transfer-Encoding: chunked");
  const hostile: Record<string, string> = {
    garbage: "\u0000\u0001\u0002 hello\r\n\r\n",
    "a message of ours": "\u0000\u0000\u0000\u0005hello\r\n\r\n",
    "a chunk without a length": `${chunked}zz\r\nhello\r\n`,
    "two lengths": `${head("/pong", "Content-Length: 5", "Content-Length: 6")}hello!`,
    "a length, and chunks": `${head("/pong", "Content-Length: 5", "Transfer-Encoding: chunked")}0\r\n\r\n`,
    "a header without end": `POST /pong HTTP/1.1\r\nHost: here\r\nX: ${"x".repeat(100_000)}`,
    silence: "",
    "half a header": "POST /pong HT",
    "half a body": `${head("/pong", "Content-Length: 50")}hello`,
    "half a chunk": `${chunked}5\r\nhel`,
  };
  const dripping: Record<string, string> = {
    "a header": "POST /pong HTTP/1.1\r\nHost: here\r\nX: ",
    "a small body": head("/pong", "Content-Length: 60000"),
    "a large body": head("/pong", "Content-Length: 1000000"),
    "the length of a chunk": chunked,
  };

  // All in one, since Bun takes its time before it ends an idle connection.
  test("that sends what it should not, or next to nothing, is let go, and the others are served", async () => {
    await using stage = await Stage.open("--allow", "pong", "--idle", "1", "--body-timeout", "1");
    await stage.pong();
    const clients = new Map<string, RawClient>();
    for (const [what, bytes] of [...Object.entries(hostile), ...Object.entries(dripping)]) {
      const client = await stage.raw();
      clients.set(what, client);
      client.write(Buffer.from(bytes, "latin1"));
    }
    const left = () => [...clients].filter(([, { ended }]) => !ended).map(([what]) => what);
    await until(
      () => `all are let go; left are ${left()}`,
      async () => {
        for (const what of Object.keys(dripping)) {
          if (!clients.get(what)!.ended) clients.get(what)!.write("0");
        }
        expect(await stage.text("pong", "meanwhile")).toBe("meanwhile");
        return left().length === 0;
      },
    );
    for (const { received } of clients.values()) expect(received).not.toContain("200 OK");
    expect(stage.daemon.stderr).toBe("");
  });

  test("that sends the next request before it has an answer harms itself at most", async () => {
    await using stage = await Stage.open("--allow", "pong");
    await stage.pong();
    using client = await stage.raw();
    client.write(`${head("/pong", "Content-Length: 5")}hello`.repeat(10));
    const answers = () => client.received.split("\r\n\r\nhello").length - 1;
    await until("all are answered, or it is let go", () => client.ended || answers() === 10);
    expect(await stage.text("pong", "after")).toBe("after");
  });

  test("that does not wait for its answer is not counted as answered", async () => {
    await using stage = await Stage.open("--allow", "patient");
    const patient = new Patient();
    await stage.serve("patient", patient.handlers);
    using client = await stage.raw();
    const ask = (text: string) => `${head("/patient", `Content-Length: ${text.length}`)}${text}`;
    client.write(`${ask("one")}${ask("two")}`);
    await patient.isAsked("one");
    await client.gone();
    patient.answer("one");
    await until("it is counted", async () => (await stage.counters())["broken_off"] === 1);
    expect(await stage.counters()).toMatchObject({ answers_2xx: 0 });
  });

  test("that does not read a large answer is let go, and what was held for it too", async () => {
    const words = ["--idle", "1", "--body-timeout", "1", "--held-max", "20000000"];
    await using stage = await Stage.open("--allow", "pong", ...words);
    await stage.pong();
    using client = await stage.raw({ reads: false });
    const body = pattern(9_000_000);
    client.write(head("/pong", `Content-Length: ${body.length}`));
    client.write(body);
    await until("it is counted", async () => {
      const { timeouts, broken_off: broken } = await stage.counters();
      return timeouts! + broken! > 0;
    });
    expect((await (await stage.post("pong", body)).bytes()).length).toBe(body.length);
  });
});

describe("a stream", () => {
  test("is answered piece by piece, while it is still coming", async () => {
    await using stage = await Stage.open("--allow", "pong");
    await stage.pong();
    using client = await stage.raw();
    client.write(head("/pong?stream", "Transfer-Encoding: chunked"));
    for (const text of ["first", "other", "third"]) {
      client.write(`5\r\n${text}\r\n`);
      await client.receives(`5\r\n${text}\r\n`);
    }
    client.write("0\r\n\r\n");
    await client.receives("\r\n0\r\n\r\n");
    client.write(`${head("/pong", "Content-Length: 3")}and`);
    await client.receives("\r\n\r\nand");
  });

  test("may be longer than a message, and comes back whole", async () => {
    const words = ["--message-max", "10000", "--piece-max", "50000"];
    await using stage = await Stage.open("--allow", "pong", ...words);
    let longest = 0;
    await stage.serve("pong", {
      message: (connection, message) => {
        longest = Math.max(longest, message.length);
        connection.send(message.bytes);
      },
    });
    const file = stage.scratch.join("body");
    const bytes = pattern(3_000_000);
    await Bun.write(file, bytes);
    for (const words of [[], ["-H", "Transfer-Encoding: chunked"]]) {
      const command = ["curl", "-sS", "--data-binary", `@${file}`, ...words];
      const ended = await run([...command, `${stage.url}pong?stream`]);
      expect(Buffer.compare(ended.bytes, bytes)).toBe(0);
    }
    expect(longest).toBe(10_000);
  });

  test("without a body is without answers", async () => {
    await using stage = await Stage.open("--allow", "pong");
    await stage.pong();
    expect(await stage.curl("pong?stream", "-X", "POST")).toMatchObject({ status: 200, body: "" });
    expect(await stage.curl("pong?stream", "-d", "")).toMatchObject({ status: 200, body: "" });
  });

  test("to a service that is not running is refused", async () => {
    await using stage = await Stage.open("--allow", "pong");
    const { status, body } = await stage.curl("pong?stream", "-d", "hello");
    expect({ status, code: codeOf(body) }).toEqual({ status: 503, code: "service_not_running" });
  });

  test("whose client does not read makes it wait, and holds little", async () => {
    await using stage = await Stage.open("--allow", "pong");
    await using _ = await startService(["pong"], { rundir: stage.scratch.path });
    const bytes = 128 * 1024 * 1024;
    const before = residentBytes(stage.daemon.pid);
    using client = await stage.raw({ reads: false, keeps: false });
    client.write(head("/pong?stream", `Content-Length: ${bytes}`));
    client.write(new Uint8Array(bytes));
    let [last, times] = [0, 0];
    await until("it is taken no further", () => {
      times = client.unwrittenBytes === last ? times + 1 : 0;
      last = client.unwrittenBytes;
      return times > 100;
    });
    expect(client.unwrittenBytes).toBeGreaterThan(bytes / 2);
    expect(residentBytes(stage.daemon.pid) - before).toBeLessThan(bytes / 2);
    client.read();
    await until("all comes back", () => client.receivedBytes > bytes);
  });

  test("ends its connection when its client goes, or breaks it", async () => {
    await using stage = await Stage.open("--allow", "patient", "--streams-max", "1");
    const patient = new Patient();
    const service = await stage.serve("patient", patient.handlers);
    for (const [text, how] of [
      ["one", (client: RawClient) => client.close()],
      ["two", (client: RawClient) => client.write("garbage\r\n")],
    ] as const) {
      using client = await stage.raw();
      client.write(head("/patient?stream", "Transfer-Encoding: chunked"));
      client.write(`3\r\n${text}\r\n`);
      await patient.isAsked(text);
      how(client);
      await until("its connection has ended", () => service.connections.size === 0);
    }
    expect(await stage.counters()).toMatchObject({ streams: 2, broken_off: 2 });
  });

  test("is broken off when the service goes away, so that nobody takes it for whole", async () => {
    await using stage = await Stage.open("--allow", "patient");
    const patient = new Patient();
    await stage.serve("patient", patient.handlers);
    using client = await stage.raw();
    client.write(head("/patient?stream", "Transfer-Encoding: chunked"));
    client.write("3\r\none\r\n");
    await patient.isAsked("one");
    patient.answer("one");
    await client.receives("3\r\none\r\n");
    await patient.asked[0]!.connection.close();
    await client.gone();
    expect(client.received).not.toContain("\r\n0\r\n");
    expect(await stage.counters()).toMatchObject({ broken_off: 1 });
  });

  test("that stands still is broken off, and more than are allowed are refused", async () => {
    const words = ["--streams-max", "1", "--timeout", "2"];
    await using stage = await Stage.open("--allow", "pong", ...words);
    await stage.pong();
    using client = await stage.raw();
    client.write(head("/pong?stream", "Transfer-Encoding: chunked"));
    client.write("3\r\none\r\n");
    await client.receives("3\r\none\r\n");
    const { status, body } = await stage.curl("pong?stream", "-d", "hello");
    expect({ status, code: codeOf(body) }).toEqual({ status: 503, code: "too_many_requests" });
    await client.gone();
    expect((await stage.curl("pong?stream", "-d", "hello")).body).toBe("hello");
    expect(await stage.counters()).toMatchObject({ timeouts: 1 });
  });
});

describe("the end", () => {
  test("comes when what was begun is answered", async () => {
    await using stage = await Stage.open("--allow", "patient");
    const patient = new Patient();
    const service = await stage.serve("patient", patient.handlers);
    using _ = await stage.raw();
    const response = stage.text("patient", "hello");
    await patient.isAsked("hello");
    stage.daemon.signal("SIGTERM");
    await stage.listensNoMore();
    patient.answer("hello");
    expect(await response).toBe("hello");
    expect(await stage.daemon.whenEnded()).toMatchObject({ code: 0, signal: null, stderr: "" });
    await until("no connection is left", () => service.connections.size === 0);
  });

  test("comes at once for whoever asks twice", async () => {
    await using stage = await Stage.open("--allow", "patient");
    const patient = new Patient();
    await stage.serve("patient", patient.handlers);
    using client = await stage.raw();
    client.write(`${head("/patient", "Content-Length: 5")}hello`);
    using stream = await stage.raw();
    stream.write(`${head("/patient?stream", "Content-Length: 50")}piece`);
    using _ = await stage.raw();
    await patient.isAsked("hello");
    await patient.isAsked("piece");
    stage.daemon.signal("SIGTERM");
    await stage.listensNoMore();
    expect(await stage.daemon.end()).toMatchObject({ code: 0, signal: null });
    await client.gone();
    await stream.gone();
  });
});
