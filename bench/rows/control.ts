/**
 * How the benchmark steers a driver: it writes one line "BYTES MILLISECONDS" for each round, and
 * reads one line of JSON with what came of it. Between rounds the driver sleeps in that read.
 */

import { readSync, writeSync } from "node:fs";

export interface Plan {
  bytes: number;
  nanoseconds: number;
}

const stdin = 0;
const stdout = 1;
const byte = new Uint8Array(1);

export function ready(): void {
  writeSync(stdout, "ready\n");
}

/** The rounds, one after the other, until the benchmark closes the line. */
export function* plans(): Generator<Plan> {
  for (let line = readLine(); line !== null; line = readLine()) {
    const [bytes = Number.NaN, milliseconds = Number.NaN] = line.split(" ").map(Number);
    yield { bytes, nanoseconds: milliseconds * 1e6 };
  }
}

/** Byte by byte, so that nothing is taken that a later read should find. */
function readLine(): string | null {
  let line = "";
  while (readSync(stdin, byte) === 1) {
    const character = String.fromCharCode(byte[0]!);
    if (character === "\n") return line;
    line += character;
  }
  return null;
}

export function report(nanoseconds: number, count: number, samples: readonly number[]): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify({ nanoseconds, count, samples })}\n`);
  let written = 0;
  while (written < bytes.length) {
    written += writeSync(stdout, bytes, written, bytes.length - written);
  }
}

/** A clock in nanoseconds, of Bun or of Node. */
export const now: () => number =
  typeof Bun === "undefined" ? () => performance.now() * 1e6 : Bun.nanoseconds;
