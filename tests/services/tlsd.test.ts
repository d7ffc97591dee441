/** tlsd as a process: all that tcpd does, and that both sides know who is there. */

import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, writeFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { createServer } from "node:tls";
import { readIdentity, untimely } from "../../src/services/tlsd/credentials.ts";
import { Authority, selfSigned } from "../kit/certificates.ts";
import { earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { frame } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import type { Place } from "../kit/stream-peer.ts";
import { StreamPeer } from "../kit/stream-peer.ts";
import { until } from "../kit/until.ts";
import { carriesServices } from "./daemon/carrying.ts";
import type { Daemon, Way } from "./daemon/stage.ts";
import { countersOf, lookUp, startDaemon, startLeader, whyNot } from "./daemon/stage.ts";

const files = new Scratch();
// Before it is looked at what is left.
afterAll(() => files[Symbol.dispose]());
leaveNoTrace();
leaveNoCommand();

const authority = new Authority(files.path);
const server = authority.issue("server");
const ours = { ca: authority.text, servername: "localhost" };
const pairOf = ({ cert, key }: typeof server) => ["--cert", cert, "--key", key];
const clientPairOf = ({ cert, key }: typeof server) => ["--client-cert", cert, "--client-key", key];

const way: Way = {
  daemon: "tlsd",
  scheme: "tls",
  listening: pairOf(server),
  leading: ["--ca", authority.cert],
  visit: (place, options) => StreamPeer.tls(place, ours, options),
};
/** The same, with nothing that it is given. */
const bare: Way = { ...way, listening: [], leading: [] };

carriesServices(way);

async function textOf(path: string): Promise<string> {
  return await Bun.file(path).text();
}

async function withCertificate({ cert, key }: typeof server): Promise<ConnectionOptions> {
  return { ...ours, cert: await textOf(cert), key: await textOf(key) };
}

/** `openssl s_client`, which says a name, and what it says of the connection. */
async function sClient(place: Place, words: readonly string[], input = "pong") {
  const command = ["openssl", "s_client", "-connect", `${place.host}:${place.port}`, ...words];
  const child = Bun.spawn({ cmd: command, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  await child.stdin.write(input);
  await child.stdin.flush();
  const [stdout, stderr] = [child.stdout.text(), child.stderr.text()];
  // It goes on reading until its own input ends.
  await Promise.race([child.exited, Bun.sleep(700)]);
  await child.stdin.end();
  await child.exited;
  return { stdout: await stdout, stderr: await stderr, code: child.exitCode };
}

describe("openssl s_client", () => {
  test("sees TLS 1.3, the protocol, a certificate that is good, and ok", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await startService(["pong"], { rundir });
    const daemon = await startDaemon(way, rundir, ["--allow", "pong"]);
    await using command = daemon.command;
    const words = ["-CAfile", authority.cert, "-verify_hostname", "localhost"];
    const { stdout } = await sClient(daemon.place, [...words, "-alpn", "h2,earshot"]);
    expect(stdout).toContain("New, TLSv1.3");
    expect(stdout).toContain("ALPN protocol: earshot");
    expect(stdout).toContain("Verification: OK");
    expect(stdout).toContain("subject=CN = server");
    expect(stdout).toContain("ok");
    await command.end();
  });

  test.each([
    [["-tls1_2", "-alpn", "earshot"], "alert protocol version", "TLS 1.3"],
    [["-alpn", "h2"], "alert no application protocol", 'does not speak "earshot"'],
  ])("with %j gets an alert, which is counted", async (words, alert, complaint) => {
    using scratch = new Scratch();
    const daemon = await startDaemon(way, scratch.path, ["--allow", "pong"]);
    await using command = daemon.command;
    const { stderr, code } = await sClient(daemon.place, words);
    expect(code).not.toBe(0);
    expect(stderr).toContain(alert);
    await command.complains(complaint);
    expect(await countersOf(daemon)).toMatchObject({ remotes: 1, remotes_refused: 1 });
    await command.end();
  });

  test("that offers no protocol is told to", async () => {
    using scratch = new Scratch();
    const daemon = await startDaemon(way, scratch.path, ["--allow", "pong"]);
    await using command = daemon.command;
    const { stdout } = await sClient(daemon.place, []);
    expect(stdout).toContain('error: offer the protocol "earshot" (ALPN)');
    expect(await countersOf(daemon)).toMatchObject({ remotes: 1, remotes_refused: 1 });
    await command.end();
  });
});

test("what is no TLS at all, and who never finishes, is refused and counted", async () => {
  using scratch = new Scratch();
  const daemon = await startDaemon(way, scratch.path, ["--allow", "pong", "--handshake", "1"]);
  await using command = daemon.command;
  using garbage = await StreamPeer.tcp(daemon.place);
  garbage.write("GET / HTTP/1.1\r\n\r\n".repeat(10));
  await garbage.whole();
  using silent = await StreamPeer.tcp(daemon.place);
  expect(await silent.whole()).toBe("");
  using half = await StreamPeer.tcp(daemon.place);
  half.write(Uint8Array.of(0x16, 0x03, 0x01, 0x01, 0x00));
  expect(await half.whole()).toBe("");
  expect(await countersOf(daemon)).toMatchObject({ remotes: 3, remotes_refused: 3 });
  await command.end();
});

describe("a server's certificate", () => {
  const other = new Authority(files.path, "other");
  test.each([
    ["expired", () => authority.issue("expired", { days: -1 }), "its certificate has expired"],
    [
      "for another host",
      () => authority.issue("elsewhere", { names: "DNS:elsewhere.example,IP:192.0.2.1" }),
      "its certificate is for another host",
    ],
    ["its own", () => selfSigned(files.path, "self"), "of no authority that is trusted here"],
    ["of another authority", () => other.issue("foreign"), "of no authority that is trusted here"],
  ])("that is %s is refused, in plain words", async (_, make, why) => {
    using there = new Scratch();
    using here = new Scratch();
    const daemon = await startDaemon({ ...way, listening: pairOf(make()) }, there.path, [
      ...["--allow", "pong"],
    ]);
    await using command = daemon.command;
    await using leader = await startLeader(way, here.path);
    for (const host of ["localhost", "127.0.0.1"]) {
      const answer = await whyNot(here.path, way, `tls://${host}:${daemon.port}/pong`);
      expect(answer).toStartWith("error: ");
      expect(answer).toContain(why);
    }
    await leader.end();
    await command.end();
  });

  test("has to be of an authority of the system's without --ca", async () => {
    using there = new Scratch();
    using here = new Scratch();
    const daemon = await startDaemon(way, there.path, ["--allow", "pong"]);
    await using command = daemon.command;
    await using leader = await startLeader(bare, here.path);
    const answer = await whyNot(here.path, way, `tls://localhost:${daemon.port}/pong`);
    expect(answer).toContain("its certificate is of no authority that is trusted here");
    await leader.end();
    await command.end();
  });

  test("may be for a number", async () => {
    using there = new Scratch();
    using here = new Scratch();
    await using pong = await startService(["pong"], { rundir: there.path });
    const daemon = await startDaemon(way, there.path, ["--allow", "pong"]);
    await using command = daemon.command;
    await using leader = await startLeader(way, here.path);
    using peer = await lookUp(here.path, way, `tls://127.0.0.1:${daemon.port}/pong`);
    peer.write("");
    await peer.hears("ok");
    await leader.end();
    await command.end();
    await pong.end();
  });
});

describe("a server", () => {
  test.each([
    ["that offers no protocol", {}, 'it does not speak "earshot" (ALPN)'],
    ["of another protocol", { ALPNProtocols: ["h2"] }, 'it does not speak "earshot" (ALPN)'],
    ["of TLS 1.2", { maxVersion: "TLSv1.2" as const }, "it does not speak TLS 1.3"],
  ])("%s is none", async (_, options, why) => {
    using scratch = new Scratch();
    const { cert, key } = server;
    const pair = { cert: await textOf(cert), key: await textOf(key) };
    const listener = createServer({ ...pair, ...options }, (socket) => {
      socket.on("error", () => undefined).end("ok");
    });
    listener.on("tlsClientError", () => undefined);
    const listening = Promise.withResolvers<void>();
    listener.listen(0, "127.0.0.1", () => listening.resolve());
    await listening.promise;
    const { port } = listener.address() as { port: number };
    await using leader = await startLeader(way, scratch.path);
    expect(await whyNot(scratch.path, way, `tls://localhost:${port}/pong`)).toContain(why);
    await leader.end();
    listener.close();
  });

  test("that speaks no TLS is none", async () => {
    using scratch = new Scratch();
    using plain = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.end("error: what?") },
    });
    await using leader = await startLeader(way, scratch.path);
    expect(await whyNot(scratch.path, way, `tls://localhost:${plain.port}/pong`)).toContain(
      "it does not speak TLS",
    );
    plain.stop(true);
    await leader.end();
  });
});

describe("a client's certificate", () => {
  const clients = new Authority(files.path, "clients");
  const good = clients.issue("good");
  const expired = clients.issue("late", { days: -1 });
  const foreign = new Authority(files.path, "strange").issue("stranger");

  async function startWith(rundir: string, words: readonly string[] = []): Promise<Daemon> {
    return await startDaemon(way, rundir, [
      ...["--allow", "pong", "--client-ca", clients.cert],
      ...words,
    ]);
  }

  /** What a remote hears that says a name: in TLS 1.3 its own handshake is done before it is looked at. */
  async function visit(place: Place, how: ConnectionOptions) {
    using peer = await StreamPeer.tls(place, how);
    peer.write("pong");
    await until("it is answered", () => peer.ended || peer.length > 0);
    if (!peer.ended && peer.text === "ok") return "ok";
    return (await peer.whole()) || (peer.error?.code ?? "the end");
  }

  test("is wanted with --client-ca", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await startService(["pong"], { rundir });
    const daemon = await startWith(rundir);
    await using command = daemon.command;
    expect(await visit(daemon.place, await withCertificate(good))).toBe("ok");
    expect(await visit(daemon.place, ours)).toMatch(/ALERT_CERTIFICATE_REQUIRED/);
    // For one that is no good Bun has no alert; that is the end as well.
    expect(await visit(daemon.place, await withCertificate(foreign))).toMatch(/the end|ECONNRESET/);
    expect(await visit(daemon.place, await withCertificate(expired))).toMatch(/the end|ECONNRESET/);
    await command.complains("it has no certificate");
    await command.complains("its certificate is of no authority that is trusted here");
    await command.complains("its certificate has expired");
    expect(await countersOf(daemon)).toMatchObject({ remotes: 4, remotes_refused: 3 });
    await command.end();
  });

  test("may be left out with --client-cert-optional, but not be wrong", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await startService(["pong"], { rundir });
    const daemon = await startWith(rundir, ["--client-cert-optional"]);
    await using command = daemon.command;
    expect(await visit(daemon.place, ours)).toBe("ok");
    expect(await visit(daemon.place, await withCertificate(good))).toBe("ok");
    const wrong = "error: the certificate is of no authority that is trusted here";
    expect(await visit(daemon.place, await withCertificate(foreign))).toBe(wrong);
    const late = "error: the certificate has expired";
    expect(await visit(daemon.place, await withCertificate(expired))).toBe(late);
    const own = selfSigned(files.path, "own");
    expect(await visit(daemon.place, await withCertificate(own))).toBe(
      "error: the certificate is signed by itself, and of no authority that is trusted here",
    );
    expect(await countersOf(daemon)).toMatchObject({ remotes: 5, remotes_refused: 3 });
    await command.end();
  });

  test("of the daemon itself that is not valid now is told when it starts", async () => {
    using scratch = new Scratch();
    const listening = pairOf(expired);
    const daemon = await startDaemon({ ...way, listening }, scratch.path, ["--allow", "pong"]);
    await using command = daemon.command;
    await command.complains(`--cert ${expired.cert}: has expired on `);
    await command.end();
  });

  test("has its time", () => {
    const identity = readIdentity(good.cert, good.key);
    const dayMs = 86_400_000;
    expect(untimely(identity)).toBeUndefined();
    expect(untimely(identity, Date.now() - dayMs)).toStartWith("is not valid before ");
    expect(untimely(identity, Date.now() + 3 * dayMs)).toStartWith("has expired on ");
  });

  test("is shown outwards, with --client-cert and --client-key", async () => {
    using there = new Scratch();
    using here = new Scratch();
    await using _ = await startService(["pong"], { rundir: there.path });
    const daemon = await startWith(there.path);
    await using command = daemon.command;
    const uri = `tls://localhost:${daemon.port}/pong`;
    await using none = await startLeader(way, here.path);
    expect(await whyNot(here.path, way, uri)).toContain("it wants a certificate of its clients");
    await none.end();
    await using wrong = await startLeader(way, here.path, clientPairOf(foreign));
    expect(await whyNot(here.path, way, uri)).toMatch(
      /certificate one that it accepts\?|went away$/,
    );
    await wrong.end();
    await using right = await startLeader(way, here.path, clientPairOf(good));
    using peer = await lookUp(here.path, way, uri);
    await peer.hears("ok");
    peer.write(frame("hi"));
    await peer.hears(`ok${Buffer.from(frame("hi")).toString("latin1")}`);
    await right.end();
    await command.end();
  });
});

describe("files", () => {
  const starting = async (...words: string[]) => {
    using scratch = new Scratch();
    const ended = await run(earshot("service", "tlsd", ...words), { rundir: scratch.path });
    expect(scratch.entries()).toEqual([]);
    return ended;
  };
  const listen = ["--listen", "127.0.0.1:0"];

  test.each([0o640, 0o604, 0o644, 0o660, 0o601])("a key of mode %o is refused", async (mode) => {
    const key = files.join("open.key");
    copyFileSync(server.key, key);
    chmodSync(key, mode);
    const ended = await starting(...listen, "--cert", server.cert, "--key", key);
    expect(ended).toMatchObject({ code: 2, stdout: "" });
    expect(ended.stderr).toContain(`others can read the key (mode ${mode.toString(8)})`);
    const client = await starting("--client-cert", server.cert, "--client-key", key);
    expect(client.stderr).toContain("others can read the key");
  });

  test("that are missing, empty, or not each other's are refused", async () => {
    const empty = files.join("empty");
    writeFileSync(empty, "");
    chmodSync(empty, 0o600);
    const { key: otherKey } = authority.issue("second");
    const cases: [string[], string][] = [
      [listen, "--listen needs the --cert and --key"],
      [[...listen, "--cert", server.cert], "--cert and --key go together"],
      [["--client-key", server.key], "--client-cert and --client-key go together"],
      [[...listen, ...pairOf({ cert: files.join("nosuch"), key: server.key })], "nosuch"],
      [[...listen, ...pairOf({ cert: server.cert, key: files.join("nosuch") })], "nosuch"],
      [[...listen, ...pairOf({ cert: empty, key: server.key })], "there is no certificate in it"],
      [[...listen, ...pairOf({ cert: server.cert, key: empty })], "there is no key in it"],
      [[...listen, ...pairOf({ cert: server.cert, key: otherKey })], "is not that of"],
      [["--ca", server.key], "there is no certificate in it"],
      [["--client-cert-optional"], "give a --client-ca"],
    ];
    for (const [words, why] of cases) {
      const ended = await starting(...words);
      expect(ended).toMatchObject({ code: 2, stdout: "" });
      expect(ended.stderr).toContain(why);
    }
  });
});
