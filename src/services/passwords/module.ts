/**
 * What a zygote is made of for the service `passwords`: it has read the initial keys and values, and what answers requests
 * has run. Each clone answers one client, with a copy of them of its own, and ends with it.
 *
 *     descriptors of a clone    requests, answers, life
 *     its exit                  why it has ended: `exits`
 */

import type { Connection } from "../../ipc/connection.ts";
import { Pipes, pipe } from "../../ipc/pipes.ts";
import { harden } from "../../native/harden.ts";
import type { CloneStart } from "../../zygote/service-module.ts";
import { answerAll } from "./copy.ts";
import type { Request } from "./format.ts";
import { requestBytesMax, requestParts, sealKeyBytes } from "./format.ts";
import type { CloneSettings, ZygoteSettings } from "./settings.ts";
import { exits, settingsName } from "./settings.ts";
import { loadState } from "./state-file.ts";
import type { Entries } from "./store.ts";
import { Store } from "./store.ts";

/** So that what answers a request has run often enough to be compiled. */
const rounds = 20;
/** Together they take up less than a pipe holds. */
const askedAtOnce = 200;
const rehearsalBytesMax = 4096;

let initial: Entries = new Map();

export function warm(): void {
  // What a clone is born with cannot be had from a dump either.
  harden();
  const { state, bytesMax } = JSON.parse(process.env[settingsName]!) as ZygoteSettings;
  delete process.env[settingsName];
  if (state !== undefined) initial = loadState(state, bytesMax);
  rehearse();
}

export function serve(_owner: Connection, start: CloneStart): void {
  harden();
  const { idleMs, bytesMax } = start.arguments as CloneSettings;
  const [requests, answers, life] = start.descriptors;
  const pipes = new Pipes(requests!, answers!, {
    frameBytesMax: requestBytesMax,
    timeout: idleMs,
    life,
  });
  process.exit(exits[answerAll(pipes, new Store(bytesMax, initial))]);
}

/** Answers requests that nobody has asked, with nothing of the initial state. */
function rehearse(): void {
  const key = Buffer.from("key");
  const value = Buffer.from("value");
  const sealKey = new Uint8Array(sealKeyBytes);
  for (let round = 0; round < rounds; round++) {
    rehearsal([
      { kind: "set", key, value },
      ...many({ kind: "get", key }),
      { kind: "seal", sealKey },
      ...many({ kind: "get", key, sealKey }),
      { kind: "has", key },
      { kind: "keyset" },
      { kind: "delete", key },
      { kind: "disconnect" },
    ]);
  }
}

function many(request: Request): Request[] {
  return Array.from({ length: askedAtOnce }, () => request);
}

/** All of them are in one pipe before the first is answered, and all answers in the other. */
function rehearsal(requests: readonly Request[]): void {
  const [from, asking] = pipe();
  const [answered, to] = pipe();
  const options = { frameBytesMax: requestBytesMax };
  using asker = new Pipes(answered, asking, options);
  for (const request of requests) asker.send(...requestParts(request));
  answerAll(new Pipes(from, to, options), new Store(rehearsalBytesMax));
}
