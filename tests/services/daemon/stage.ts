/** A daemon that carries services, as a process, and remotes who come to it: what tests of tcpd and of tlsd share. */

import { chmodSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { createServer } from "node:net";
import type { Command } from "../../kit/command.ts";
import { startService } from "../../kit/command.ts";
import { frame } from "../../kit/frames.ts";
import type { Place, StreamPeer } from "../../kit/stream-peer.ts";
import { StreamPeer as Peer } from "../../kit/stream-peer.ts";
import { within } from "../../kit/until.ts";

/** One way to carry services. */
export type Way = {
  readonly daemon: "tcpd" | "tlsd";
  readonly scheme: "tcp" | "tls";
  /** What a daemon that listens is given beside the rest. */
  readonly listening: readonly string[];
  /** What one that leads out is given. */
  readonly leading: readonly string[];
  visit(place: Place, options?: { reads?: boolean }): Promise<StreamPeer>;
};

export type Daemon = { command: Command; port: number; place: Place };

/** Listens at a port of its own. */
export async function startDaemon(
  way: Way,
  rundir: string,
  words: readonly string[],
  listen = "127.0.0.1:0",
): Promise<Daemon> {
  const all = [way.daemon, "--listen", listen, ...way.listening, ...words];
  const command = await startService(all, { rundir });
  await command.says("\n");
  const found = /:\/\/(.*):([0-9]+)/.exec(command.stdout)!;
  const port = Number(found[2]);
  return { command, port, place: { host: found[1]!.replace(/[[\]]/g, ""), port } };
}

/** Leads outwards alone. */
export function startLeader(
  way: Way,
  rundir: string,
  words: readonly string[] = [],
): Promise<Command> {
  return startService([way.daemon, ...way.leading, ...words], { rundir });
}

/** Asks a daemon where a URI leads, as ipcd does. */
export async function lookUp(rundir: string, way: Way, uri: string): Promise<StreamPeer> {
  const peer = await Peer.unix(`${rundir}/${way.scheme}`);
  peer.write(frame(uri));
  return peer;
}

/** All that is answered to the URI of a service that there is no way to. */
export async function whyNot(rundir: string, way: Way, uri: string): Promise<string> {
  using peer = await lookUp(rundir, way, uri);
  return await peer.whole();
}

export async function countersOf({
  command,
}: {
  command: Command;
}): Promise<Record<string, number>> {
  const before = command.stderr.length;
  command.signal("SIGUSR2");
  while (true) {
    const said = /counters (\{.*\})\n/.exec(command.stderr.slice(before));
    if (said !== null) return JSON.parse(said[1]!) as Record<string, number>;
    await Bun.sleep(1);
  }
}

/** A service of bare bytes in a run directory, which knows when the other side has no more to say. */
export class BareService implements AsyncDisposable {
  readonly sockets: Socket[] = [];
  readonly #server: Server;

  static async serve(path: string, act: (socket: Socket) => void): Promise<BareService> {
    const service = new BareService(act);
    const { promise, resolve } = Promise.withResolvers<void>();
    service.#server.listen(path, resolve);
    await promise;
    chmodSync(path, 0o600);
    return service;
  }

  private constructor(act: (socket: Socket) => void) {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      this.sockets.push(socket);
      act(socket);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    await within("the end of a service", promise);
  }
}

/** Sends everything back, and the end behind it. (`pipe` would open the outputs of this process to compare with them.) */
export const echo = (socket: Socket): void => {
  socket.on("data", (bytes) => {
    if (!socket.write(bytes)) socket.pause();
  });
  socket.on("drain", () => socket.resume());
  socket.on("end", () => socket.end());
};
