/**
 * Where those come from who speak TLS.
 *
 *     accepted ──TLS handshake──▶ ready, and from then on as over TCP
 *        │             └─ version, ALPN or certificate: an alert, and the end
 *        └─ not done for so long, or one too many: the end, for there is no way yet to say why
 */

import type { AddressInfo, Socket } from "node:net";
import type { Server, TLSSocket } from "node:tls";
import { createServer } from "node:tls";
import type { Connection } from "../../ipc/connection.ts";
import type { InternetAddress } from "../../ipc/internet-address.ts";
import { unmapped } from "../daemon/address.ts";
import { relay, streamOf } from "../daemon/relay.ts";
import type { Bound, Listener, Remote } from "../daemon/remote.ts";
import type { Remotes } from "../daemon/remotes.ts";
import type { Identity } from "./credentials.ts";
import { faultOf, protocol, version } from "./protocol.ts";

export type TlsListenOptions = {
  readonly identity: Identity;
  /** Those of whom remotes have a certificate; with none, none is asked for. */
  readonly clientAuthorities: readonly string[];
  /** Lets those in who show no certificate at all. */
  readonly clientOptional: boolean;
  readonly handshakeMs: number;
};

/** The handshake has a deadline among those of remotes; this one is only to be no earlier. */
const graceMs = 1000;
/** How long one who was refused may take to read why, and how many may at once. */
const lingerMs = 5000;
const lingerersMax = 1000;

export async function listenTls(
  address: InternetAddress,
  remotes: Remotes,
  { identity, clientAuthorities, clientOptional, handshakeMs }: TlsListenOptions,
): Promise<Listener> {
  const asks = clientAuthorities.length > 0;
  const server = createServer({
    ...identity,
    minVersion: version,
    ALPNProtocols: [protocol],
    requestCert: asks,
    rejectUnauthorized: asks && !clientOptional,
    ca: asks ? [...clientAuthorities] : undefined,
    allowHalfOpen: true,
    handshakeTimeout: handshakeMs + graceMs,
  });
  const guests = new Map<Socket, TlsRemote>();
  const lingerers = new Set<TlsRemote>();
  server.on("connection", (socket) => {
    // Bun hands out the one socket that is to be secure.
    const gone = () => void guests.delete(socket);
    const remote = new TlsRemote(socket as TLSSocket, remotes, lingerers, gone);
    guests.set(socket, remote);
    remotes.arrive(remote);
  });
  server.on("tlsClientError", (error, socket) => {
    guests.get(socket)?.failed(error);
    socket.destroy();
  });
  server.on("secureConnection", (socket) => guests.get(socket)?.secured(asks));
  await listening(server, address);
  const { address: host, port } = server.address() as AddressInfo;
  return {
    address: { host, port },
    async close(now) {
      server.close();
      const gone = [...guests.values()].map((remote) => remote.leave(now));
      await Promise.all(gone);
    },
  };
}

async function listening(server: Server, { host, port }: InternetAddress): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ host, port }, resolve);
  await promise;
}

class TlsRemote implements Remote {
  readonly address: InternetAddress;
  readonly destination: InternetAddress;
  readonly #socket: TLSSocket;
  readonly #remotes: Remotes;
  /** It is no guest of the listener any more. */
  readonly #gone: () => void;
  /** Of the same listener, those who were refused and may still read why. */
  readonly #lingerers: Set<TlsRemote>;
  readonly #closed: Promise<void>;
  #isSecure = false;

  constructor(socket: TLSSocket, remotes: Remotes, lingerers: Set<TlsRemote>, gone: () => void) {
    this.#socket = socket;
    this.#lingerers = lingerers;
    this.#remotes = remotes;
    this.#gone = gone;
    this.address = addressOf(socket.remoteAddress, socket.remotePort);
    this.destination = addressOf(socket.localAddress, socket.localPort);
    const closed = Promise.withResolvers<void>();
    this.#closed = closed.promise;
    // Its end follows, and says the same.
    socket.on("error", () => undefined);
    socket.once("close", () => {
      gone();
      remotes.forget(this);
      closed.resolve();
    });
  }

  get open(): boolean {
    return this.#isSecure && !this.#socket.destroyed && this.#socket.writable;
  }

  failed(error: unknown): void {
    this.#remotes.refuse(this, faultOf(error), "tls");
  }

  /** The handshake is done. */
  secured(asksForCertificate: boolean): void {
    if (this.#socket.destroyed) return;
    this.#isSecure = true;
    this.#socket.on("data", this.#hear).once("end", this.#quit);
    const fault = faultIn(this.#socket, asksForCertificate);
    if (fault === undefined) this.#remotes.ready(this);
    else this.#remotes.refuse(this, fault, "tls");
  }

  pause(): void {
    this.#socket.pause();
  }

  send(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  close(): void {
    if (!this.#isSecure) {
      this.#socket.destroy();
      return;
    }
    if (this.#lingerers.size >= lingerersMax) {
      this.#socket.destroySoon();
      return;
    }
    // What still comes is read, for a socket that is closed over it would take back what was sent.
    this.#socket.end();
    this.#socket.resume();
    this.#lingerers.add(this);
    const late = setTimeout(() => this.#socket.destroy(), lingerMs);
    void this.#closed.then(() => {
      clearTimeout(late);
      this.#lingerers.delete(this);
    });
  }

  join(local: Connection): Bound {
    const stream = streamOf(local);
    this.#socket.off("data", this.#hear).off("end", this.#quit);
    this.#gone();
    return relay(this.#socket, stream);
  }

  /** Resolves when it has gone. */
  leave(now: boolean): Promise<void> {
    this.#remotes.forget(this);
    // Who was told something before has it, or will not wait for it.
    if (now || this.#socket.writableLength === 0) this.#socket.destroy();
    else this.#socket.destroySoon();
    return this.#closed;
  }

  readonly #hear = (bytes: Uint8Array): void => this.#remotes.hear(this, bytes);

  /** Who says nothing more before it was led somewhere has nothing to say there. */
  readonly #quit = (): void => {
    this.#remotes.forget(this);
    this.#socket.destroySoon();
  };
}

/** One that has gone already has none. */
function addressOf(host = "::", port = 0): InternetAddress {
  return unmapped({ host, port });
}

/** What is wrong with a remote whose handshake is done. */
function faultIn(socket: TLSSocket, asksForCertificate: boolean): string | undefined {
  // One that offers protocols, and not this one, has had an alert; one that offers none has not.
  if (socket.alpnProtocol !== protocol) return `offer the protocol "${protocol}" (ALPN)`;
  if (!asksForCertificate || socket.authorized) return undefined;
  const shown = Object.keys(socket.getPeerCertificate() ?? {}).length > 0;
  if (!shown) return undefined;
  // A code, whatever the types say of it.
  const why: unknown = socket.authorizationError;
  return faultOf(typeof why === "string" ? { code: why } : why).replace(/^its /, "the ");
}
