/** What a process holds, counted: descriptors, threads, children, mappings. A test that leaves more than it found fails. */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const hasProc = process.platform === "linux";

/** Open descriptors of a process by what they are, such as `socket` or `anon_inode:[eventpoll]`. */
export function descriptors(pid: number | "self" = "self"): Record<string, number> {
  const folder = hasProc ? `/proc/${pid}/fd` : "/dev/fd";
  const counts: Record<string, number> = {};
  for (const number of readdirSync(folder)) {
    const kind = kindOf(`${folder}/${number}`);
    if (kind !== undefined) counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

function kindOf(path: string): string | undefined {
  if (!hasProc) return "descriptor";
  try {
    return readlinkSync(path).replace(/:\[\d+\]$/, "");
  } catch {
    // The descriptor that the folder itself was read with is gone by now.
    return undefined;
  }
}

/** The numbers of those of this process; one of them is that of the list itself. */
export function openDescriptors(): number[] {
  return readdirSync(hasProc ? "/proc/self/fd" : "/dev/fd").map(Number);
}

export function descriptorCount(pid: number | "self" = "self"): number {
  return Object.values(descriptors(pid)).reduce((sum, count) => sum + count, 0);
}

/** Processes that this one has started and that have not been waited for. */
export function children(): number[] {
  if (!hasProc) return [];
  return readdirSync("/proc/self/task")
    .flatMap((task) => readFileSync(`/proc/self/task/${task}/children`, "utf8").split(" "))
    .filter((text) => text !== "")
    .map(Number);
}

export function threadCount(): number {
  return hasProc ? readdirSync("/proc/self/task").length : 0;
}

/** How much is mapped that is writable and no file's, as the areas of a context are. */
export function mappedBytes(): number {
  if (!hasProc) return 0;
  const ranges = readFileSync("/proc/self/maps", "utf8").matchAll(
    /^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ 00:00 0\s*$/gm,
  );
  return [...ranges].reduce(
    (sum, [, start, end]) => sum + Number.parseInt(end!, 16) - Number.parseInt(start!, 16),
    0,
  );
}

/** Memory of a process that is no file's and is really there; 0 where that cannot be told. */
export function residentBytes(pid: number | "self" = "self"): number {
  if (!hasProc) return 0;
  const [, kib] = /^RssAnon:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))!;
  return Number(kib) * 1024;
}

/** How often the first thread of a process has gone to sleep so far; 0 where that cannot be told. */
export function naps(pid: number): number {
  if (!hasProc) return 0;
  const status = readFileSync(`/proc/${pid}/task/${pid}/status`, "utf8");
  return Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)![1]);
}

/** Whether descriptors, threads and mappings can be counted here. */
export const canCount = hasProc;
