/**
 * What leads to a service besides its socket: shared memory. This file says what is asked of it; what does it lies above
 * (`src/memory/transport.ts`), and is brought here by `src/transports.ts`, so that no arrow runs upward. It is loaded
 * when it is first asked for.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { IpcError } from "../native/errors.ts";
import type { Channel } from "./channel.ts";
import type { ConnectOptions } from "./connect.ts";
import type { Deadline } from "./deadline.ts";
import { textOf } from "./numbers.ts";
import type { RunDirectoryOptions } from "./run-directory.ts";
import { memoryEnding, runDirectory } from "./run-directory.ts";
import type { ServeOptions, Trouble } from "./service.ts";
import type { Statistics } from "./statistics.ts";

/** Both rings, or each: what the client writes is `up`. In bytes. */
export type RingOption = number | { up?: number | undefined; down?: number | undefined };

/** A service's part in it. */
export type Offer = {
  /** Accepts no more, and gives up its name. What was accepted goes on. */
  stop(): void;
  /** What has come by it, all together; the last figures once it has stopped. */
  statistics(): Statistics;
};

/** Who has made an offer. */
export type Offerer = {
  /** Whether there are as many connections as are allowed. */
  isFull(): boolean;
  accept(channel: Channel): void;
  /** Somebody was refused. */
  trouble(trouble: Trouble): void;
};

export type Transport = {
  reach(name: string, options: ConnectOptions, deadline: Deadline): Promise<Channel>;
  offer(name: string, options: ServeOptions, offerer: Offerer): Promise<Offer>;
};

let load: (() => Promise<Transport>) | undefined;

/** Says where the transport through memory is. */
export function provideMemory(loadIt: () => Promise<Transport>): void {
  load = loadIt;
}

/** Throws ENOTSUP in a program that was built without it. */
export function memory(): Promise<Transport> {
  if (load !== undefined) return load();
  throw new IpcError("ENOTSUP", "ENOTSUP: this program was built without memory sockets");
}

/** Whether it looks as if `name` were served through memory; costs a look into the run directory. */
export function isInMemory(name: string, { rundir }: RunDirectoryOptions): boolean {
  if (load === undefined) return false;
  const directory = runDirectory(rundir === undefined ? undefined : textOf("rundir", rundir));
  return existsSync(join(directory, textOf("name", name) + memoryEnding));
}
