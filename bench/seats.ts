/**
 * Which processors the two processes of a row run on.
 *
 * Two threads of one core are not two cores: where the machine says which are which, siblings are
 * avoided.
 */

import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Placement, Seat } from "./row.ts";

export interface Seats {
  seats: Seat[];
  /** Why a placement is missing, one sentence each. */
  missing: string[];
}

export function findSeats(): Seats {
  const allowed = allowedProcessors();
  if (allowed === null) {
    const seat: Seat = { placement: "two-cores", server: null, driver: null };
    if (availableParallelism() < 2) return { seats: [], missing: ["there is one processor only"] };
    return { seats: [seat], missing: ["one-core: this system pins no process to a processor"] };
  }
  const first = allowed[0];
  if (first === undefined) throw new Error("no processor is allowed to this process");
  const other =
    allowed.find((cpu) => cpu !== first && !siblings(first).includes(cpu)) ?? allowed[1];
  const together = seat("one-core", first, first);
  if (other === undefined) {
    return { seats: [together], missing: ["two-cores: there is one processor only"] };
  }
  return { seats: [seat("two-cores", first, other), together], missing: [] };
}

function seat(placement: Placement, server: number, driver: number): Seat {
  return { placement, server, driver };
}

/** Null where the system has no such list. */
function allowedProcessors(): number[] | null {
  const status = readOrNull("/proc/self/status");
  const list = status?.match(/^Cpus_allowed_list:\s*(\S+)$/m)?.[1];
  return list === undefined ? null : parseList(list);
}

function siblings(cpu: number): number[] {
  const path = `/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`;
  return parseList(readOrNull(path)?.trim() ?? String(cpu));
}

/** The kernel's form: `0-3,8`. */
function parseList(list: string): number[] {
  return list.split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
