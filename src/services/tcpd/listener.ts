/** Where those come from who speak bare TCP. Once bound, their bytes pass without JavaScript. */

import type { Connection } from "../../ipc/connection.ts";
import type { InternetAddress } from "../../ipc/internet-address.ts";
import { serve } from "../../ipc/serve.ts";
import { bind } from "../../ipc/switch.ts";
import type { Bound, Listener, Remote } from "../daemon/remote.ts";
import type { Remotes } from "../daemon/remotes.ts";
import { readBytesMax } from "../daemon/remotes.ts";
import { whyNot } from "../daemon/way.ts";
import type { Start } from "../startable.ts";

export async function listenTcp(
  { name, options, reports }: Start,
  address: InternetAddress,
  remotes: Remotes,
  remotesMax: number,
): Promise<Listener> {
  const known = new WeakMap<Connection, TcpRemote>();
  /** Nothing to be done for one that had gone before it was known. */
  const of = (connection: Connection, act: (remote: TcpRemote) => void) => {
    const remote = known.get(connection);
    if (remote !== undefined) act(remote);
  };
  const listener = await serve(
    name,
    {
      open(connection) {
        const remote = new TcpRemote(connection);
        known.set(connection, remote);
        remotes.arrive(remote);
        remotes.ready(remote);
      },
      message: (connection, { bytes }) => of(connection, (remote) => remotes.hear(remote, bytes)),
      close: (connection) => of(connection, (remote) => remotes.forget(remote)),
      trouble: reports.trouble,
      error: (connection, error) =>
        of(connection, (remote) =>
          remotes.refuse(remote, "it failed here", "failed", whyNot(error)),
        ),
    },
    {
      address,
      raw: true,
      messageBytesMax: readBytesMax,
      queueBytesMax: options.queueBytesMax,
      // One more, who is told that there are too many.
      connectionsMax: remotesMax + 1,
    },
  );
  return {
    address: listener.address,
    close: (now) => listener.close({ now }),
  };
}

class TcpRemote implements Remote {
  readonly address: InternetAddress;
  readonly destination: InternetAddress;
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.address = connection.remote;
    this.destination = connection.local;
  }

  get open(): boolean {
    return this.#connection.open;
  }

  pause(): void {
    this.#connection.pause();
  }

  send(bytes: string | Uint8Array): void {
    this.#connection.send(bytes);
  }

  close(): void {
    void this.#connection.close();
  }

  join(local: Connection): Bound {
    return bind(this.#connection, local);
  }
}
