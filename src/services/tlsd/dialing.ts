/** How tlsd reaches a service elsewhere: finds the host, dials, sees who is there, and greets. */

import { isIP } from "node:net";
import type { SecureContext, TLSSocket } from "node:tls";
import { connect } from "node:tls";
import { Answer, answerStep } from "../../ipc/lookup.ts";
import type { Uri } from "../../ipc/uri.ts";
import { atFirstOf } from "../daemon/host.ts";
import { NoWay } from "../daemon/way.ts";
import { faultOf, protocol, version } from "./protocol.ts";

/** A socket to the service of a URI, greeted if it names one; paused, so that not a byte of it has been read. */
export function dialTls(
  { host, port, service }: Uri,
  context: SecureContext,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<TLSSocket> {
  return atFirstOf(
    host,
    signal,
    (number) =>
      new Dialing({ number, host, port: port!, service }, context, timeoutMs, signal).found,
  );
}

type Target = {
  readonly number: string;
  /** Whose certificate it has to be. */
  readonly host: string;
  readonly port: number;
  readonly service: string | undefined;
};

class Dialing {
  readonly #target: Target;
  readonly #socket: TLSSocket;
  readonly #signal: AbortSignal;
  readonly #late: ReturnType<typeof setTimeout>;
  readonly #answer = new Answer();
  #heard = 0;
  readonly #found = Promise.withResolvers<TLSSocket>();

  constructor(
    target: Target,
    secureContext: SecureContext,
    timeoutMs: number,
    signal: AbortSignal,
  ) {
    const { number, host, port } = target;
    this.#target = target;
    this.#signal = signal;
    const isNumber = isIP(host) !== 0;
    this.#socket = connect({
      host: number,
      port,
      secureContext,
      minVersion: version,
      ALPNProtocols: [protocol],
      // A number is no name to ask for (RFC 6066, section 3), and is looked for in the certificate all the same.
      ...(isNumber ? {} : { servername: host }),
      allowHalfOpen: true,
    } as Parameters<typeof connect>[0] & object);
    this.#late = setTimeout(() => this.#fail(`no answer within ${timeoutMs} ms`), timeoutMs);
    signal.addEventListener("abort", this.#abort);
    this.#socket
      .once("secureConnect", () => this.#greet())
      .on("error", this.#broken)
      .once("close", this.#ended)
      .once("end", this.#ended);
  }

  get found(): Promise<TLSSocket> {
    return this.#found.promise;
  }

  #greet(): void {
    const { service } = this.#target;
    if (!this.#socket.authorized) this.#broken(this.#socket.authorizationError);
    else if (this.#socket.alpnProtocol !== protocol) {
      this.#fail(`it does not speak "${protocol}" (ALPN)`);
    } else if (service === undefined) this.#succeed();
    else {
      this.#socket.on("data", this.#hear);
      this.#socket.write(service);
    }
  }

  readonly #hear = (bytes: Uint8Array): void => {
    const head = bytes.subarray(0, Math.max(answerStep - this.#heard, 0));
    const rest = bytes.subarray(head.length);
    this.#heard += bytes.length;
    if (head.length === 0 || !this.#answer.hear(head)) {
      this.#answer.hear(rest);
      // It never ends, or means nothing to us.
      if (this.#answer.isTooLong) this.#ended();
      return;
    }
    this.#succeed();
    // What follows is the service's, and for the client.
    if (rest.length > 0) this.#socket.unshift(rest);
  };

  readonly #ended = (): void => {
    if (this.#heard > 0) this.#settle(() => this.#found.reject(new NoWay(this.#answer.error)));
    // Where a certificate is refused, not every server says so.
    else this.#fail(`${this.#answer.error}; is our certificate one that it accepts?`);
  };

  readonly #broken = (error: unknown): void => this.#fail(faultOf(error));

  readonly #abort = (): void => {
    this.#settle(() => this.#found.reject(this.#signal.reason));
  };

  #fail(why: string): void {
    const { number, port } = this.#target;
    this.#settle(() => this.#found.reject(new NoWay(`${number} port ${port}: ${why}`)));
  }

  #succeed(): void {
    const socket = this.#socket;
    socket.pause();
    socket.off("data", this.#hear).off("close", this.#ended).off("end", this.#ended);
    this.#unhand();
    this.#found.resolve(socket);
  }

  #settle(tell: () => void): void {
    this.#unhand();
    this.#socket.off("data", this.#hear);
    this.#socket.destroy();
    tell();
  }

  #unhand(): void {
    clearTimeout(this.#late);
    this.#signal.removeEventListener("abort", this.#abort);
  }
}
