/** What the system has dropped of the datagrams for a socket since its buffer was full. Only Linux tells. */

import { readFileSync, readlinkSync } from "node:fs";

/** proc_net_udp(5): where in a line the socket's inode stands, and how many were dropped. */
const inodeColumn = 9;
const dropsColumn = 12;

/** 0 as well where the system does not tell. */
export function droppedBySystem(descriptor: number): number {
  try {
    const socket = readlinkSync(`/proc/self/fd/${descriptor}`);
    const lines = ["udp", "udp6"].flatMap((kind) => linesOf(`/proc/self/net/${kind}`));
    const found = lines.find((columns) => socket === `socket:[${columns[inodeColumn]}]`);
    return Number(found?.[dropsColumn] ?? 0);
  } catch {
    return 0;
  }
}

function linesOf(path: string): string[][] {
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.map((line) => line.trim().split(/\s+/));
}
