/**
 * Services reached over a network: by tcpd, websocketd and httpd, by what one would take instead, and
 * without anything between. Bridge and service run on the server's processor, who calls on the
 * driver's, as they would if that were another machine.
 */

import { writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { serviceNames } from "../../src/services/catalog.ts";
import type { Effort, Efforts } from "../effort.ts";
import type { Figure } from "../figure.ts";
import type { Skipped } from "../measure.ts";
import { program } from "../native.ts";
import { PairRow } from "../pair.ts";
import { findTool } from "../peers.ts";
import type { Kind, Placement, Row, Seat } from "../row.ts";
import { MeteredRow } from "./metered-row.ts";
import { bunProgram, serviceProgram } from "./programs.ts";
import { compare, type SuiteResult } from "./suite.ts";
import { measureTakeovers } from "./takeover.ts";

interface Bridge {
  /** The row is called after it. */
  name: string;
  kind: Kind;
  /** Why it cannot be measured here. */
  missing: string | null;
  /** Leads from a port to what listens at a path. */
  command: (port: number, path: string) => string[];
}

const small = 64;
const large = 65536;
/** What tcpd moves by one call, for those that can be told to. */
const bufferBytes = 128 * 1024;

/** As they come. tcpd has one thread that moves bytes, and so have the others. */
const bridges: readonly Bridge[] = [
  daemon("tcpd", "--no-lookups", "--service"),
  socat("socat"),
  haproxy("haproxy"),
];

/** With tcpd's buffers, and all that they have for moving bytes. */
const tunedBridges: readonly Bridge[] = [
  socat("socat-tuned", "-b", String(bufferBytes)),
  haproxy("haproxy-tuned", `  tune.bufsize ${bufferBytes}`, "  option splice-auto"),
];

export async function runBridge(efforts: Efforts, seats: readonly Seat[]): Promise<SuiteResult> {
  const result: SuiteResult = { suite: "bridge", results: [], figures: [], skipped: [] };
  const run = async (bytes: number, effort: Effort, rows: readonly Row[]) => {
    const part = await compare({ suite: "bridge", rows, bytes: [bytes], effort }, seats);
    result.results.push(...part.results);
    result.skipped.push(...part.skipped);
  };
  const choose = (candidates: readonly Candidate[]) => choosePresent(candidates, result.skipped);
  await run(small, efforts.bridge, choose(tcpRows(bridges, "rtt", "floor_rtt", "sleep")));
  const streaming = tcpRows([...bridges, ...tunedBridges], "stream", "floor_stream");
  const streams = choose(streaming).map((row) => new MeteredRow(row));
  await run(large, efforts.bridge, streams);
  result.figures.push(...seats.flatMap(({ placement }) => costsAt(placement, streams)));
  await run(small, efforts.bridge, choose(webRows("rtt", "websocket.ts")));
  await run(small, efforts.pipelined, choose(webRows("stream", "websocket-stream.ts")));
  await run(small, efforts.http, choose(httpRows()));
  await measureTakeovers(efforts.takeovers, seats, result);
  return result;
}

/** Of all that a stream takes, what the bridge does: the rest is the same for all of them. */
function costsAt(placement: Placement, rows: readonly MeteredRow[]): Figure[] {
  return rows.flatMap((row) => {
    const value = row.costAt(placement);
    if (value === null) return [];
    const note = "processor time of the bridge alone";
    return [{ suite: "bridge", id: `${row.id}-cost, ${placement}`, value, unit: "ms/GB", note }];
  });
}

interface Candidate {
  row: PairRow;
  missing: string | null;
}

function choosePresent(candidates: readonly Candidate[], skipped: Skipped[]): PairRow[] {
  for (const { row, missing } of candidates) {
    if (missing !== null) skipped.push({ id: row.id, reason: missing });
  }
  return candidates.filter(({ missing }) => missing === null).map(({ row }) => row);
}

/** The same two programs, with the one that drives at a port, and a bridge between or none. */
function tcpRows(
  between: readonly Bridge[],
  what: string,
  name: string,
  ...options: string[]
): Candidate[] {
  const run = (role: string, place: string) => [program(name), role, place, ...options];
  const port = new Port();
  const direct = new PairRow({
    id: `direct-tcp-${what}`,
    kind: "floor",
    server: () => run("serve", `tcp:${port.choose()}`),
    driver: () => run("drive", `tcp:${port.chosen}`),
  });
  return [
    { row: direct, missing: null },
    ...between.map((bridge) => {
      const { row, missing } = bridgeRow(bridge, what, {
        server: (path) => run("serve", path),
        driver: (_path, at) => run("drive", `tcp:${at}`),
      });
      return { row, missing };
    }),
  ];
}

function webRows(what: string, driver: string): Candidate[] {
  const drive = (path: string, port: number) => [
    ...bunProgram(driver),
    "drive",
    path,
    String(port),
  ];
  return [
    bridgeRow(daemon("websocketd", "--allow"), what, { ...pong, driver: drive }),
    bareRow(`bun-serve-ws-${what}`, "websocket", drive),
  ];
}

function httpRows(): Candidate[] {
  const wrk = findTool("wrk");
  const drive = (path: string, port: number) => {
    return [...bunProgram("wrk.ts"), "drive", path, wrk ?? "", String(port)];
  };
  const rows = [
    bridgeRow(daemon("httpd", "--allow"), "", { ...pong, driver: drive }),
    bridgeRow(daemon("httpd", "--ordered"), "ordered", { ...pong, driver: drive }),
    bareRow("bun-serve-http", "http", drive),
  ];
  const missing = wrk === null ? "there is no wrk on this machine" : null;
  return rows.map((candidate) => ({ ...candidate, missing: candidate.missing ?? missing }));
}

interface Ends {
  server: (path: string) => string[];
  greeting?: string;
  driver: (path: string, port: number) => string[];
}

const pong = {
  server: (path: string) => serviceProgram("pong", "--rundir", dirname(path)),
  greeting: "pong: listening on ",
};

function bridgeRow(bridge: Bridge, what: string, { driver, ...ends }: Ends): Candidate {
  const port = new Port();
  const row = new PairRow({
    ...ends,
    id: what === "" ? bridge.name : `${bridge.name}-${what}`,
    kind: bridge.kind,
    bridge: (path) => bridge.command(port.choose(), path),
    driver: (path) => driver(path, port.chosen),
  });
  return { row, missing: bridge.missing };
}

/** A Bun.serve that answers by itself. */
function bareRow(id: string, kind: string, driver: Ends["driver"]): Candidate {
  const port = new Port();
  const row = new PairRow({
    id,
    kind: "peer",
    server: (path) => [...bunProgram("bun-serve.ts"), "serve", path, kind, String(port.choose())],
    driver: (path) => driver(path, port.chosen),
  });
  return { row, missing: null };
}

/** One of the daemons here; the last option names the service. */
function daemon(name: string, ...options: string[]): Bridge {
  return {
    name,
    kind: "earshot",
    missing: serviceNames.includes(name) ? null : `there is no ${name} to start`,
    command: (port, path) => {
      const common = ["--rundir", dirname(path), "--listen", `127.0.0.1:${port}`];
      return serviceProgram(name, ...common, ...options, "pong");
    },
  };
}

function socat(name: string, ...options: string[]): Bridge {
  return tool("socat", name, (socat, port, path) => {
    const listen = `TCP-LISTEN:${port},bind=127.0.0.1,reuseaddr,nodelay`;
    return [socat, ...options, listen, `UNIX-CONNECT:${path}`];
  });
}

/** It has no options for what it does, but a file: `ofAll` is for all of it, `ofEach` for what it connects. */
function haproxy(name: string, ofAll: string = "", ofEach: string = ""): Bridge {
  return tool("haproxy", name, (haproxy, port, path) => {
    const file = `${path}.cfg`;
    writeFileSync(file, haproxyConfiguration(port, path, ofAll, ofEach));
    return [haproxy, "-db", "-q", "-f", file];
  });
}

function haproxyConfiguration(port: number, path: string, ofAll: string, ofEach: string): string {
  return [
    "global",
    "  nbthread 1",
    ofAll,
    "  maxconn 64",
    "defaults",
    "  mode tcp",
    ofEach,
    "  timeout connect 10s",
    "  timeout client 1h",
    "  timeout server 1h",
    "listen bridge",
    `  bind 127.0.0.1:${port}`,
    `  server service unix@${path}`,
    "",
  ].join("\n");
}

function tool(
  program: string,
  name: string,
  command: (tool: string, port: number, path: string) => string[],
) {
  const found = findTool(program);
  const missing = found === null ? `there is no ${program} on this machine` : null;
  const bridge: Bridge = {
    name,
    kind: "peer",
    missing,
    command: (port, path) => command(found ?? "", port, path),
  };
  return bridge;
}

/** A port that was free a moment ago: who listens there is told it, and does not tell it. */
class Port {
  chosen = 0;

  choose(): number {
    const listener = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: () => undefined },
    });
    this.chosen = listener.port;
    listener.stop(true);
    return this.chosen;
  }
}
