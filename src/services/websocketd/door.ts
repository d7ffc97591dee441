/**
 * What a remote has to show before it is let in, and in plain HTTP why it is not: RFC 6455, section 4.2. The name of a
 * service is only ever compared with those that are allowed.
 */

import type { Exposure } from "../daemon/exposure.ts";
import type { Origins } from "../daemon/origins.ts";
import { pathRule, strayName } from "../daemon/target.ts";

/** What goes back to the remote: always binary frames, or text frames where the message is UTF-8. */
export type Speech = "earshot.binary" | "earshot.text";

const speeches: readonly string[] = ["earshot.binary", "earshot.text"] satisfies Speech[];

export type Admission = {
  readonly service: string;
  readonly speech: Speech;
  /** The subprotocol to be confirmed; undefined if the remote asked for none. */
  readonly subprotocol: Speech | undefined;
};

/** A status and a line that says why. */
export type Refusal = {
  readonly status: number;
  readonly why: string;
  readonly headers?: Readonly<Record<string, string>>;
};

export function refuse({ status, why, headers }: Refusal): Response {
  return new Response(`${why}\n`, {
    status,
    headers: {
      "Content-Type": "text/plain; charset=utf-8",
      "X-Content-Type-Options": "nosniff",
      "Cache-Control": "no-store",
      // There is nothing more to say, and a connection that idles costs a descriptor.
      Connection: "close",
      ...headers,
    },
  });
}

/** The same for one that there is and that is not for them: what is here is not for others to know. */
export const noService: Refusal = { status: 404, why: "there is no service of that name here" };

const badPath: Refusal = { status: 400, why: pathRule };

const upgrade = { Upgrade: "websocket", "Sec-WebSocket-Version": "13" };
/** 16 bytes in base64. */
const key = /^[A-Za-z0-9+/]{22}==$/;

export class Door {
  readonly #exposure: Exposure;
  readonly #origins: Origins;

  constructor(exposure: Exposure, origins: Origins) {
    this.#exposure = exposure;
    this.#origins = origins;
  }

  /** At `/NAME` of a service. */
  admit(service: string, request: Request): Admission | Refusal {
    const { url, headers } = request;
    const refusal =
      this.refuseHost(request) ??
      (url.includes("?") ? badPath : undefined) ??
      this.#refuseHandshake(request) ??
      this.#refuseOrigin(headers);
    return refusal ?? admit(service, headers.get("Sec-WebSocket-Protocol"));
  }

  /** At any other path. */
  stray(request: Request): Refusal {
    const foreign = this.refuseHost(request);
    if (foreign !== undefined) return foreign;
    return strayName(request.url, this.#exposure) === undefined ? badPath : noService;
  }

  /** A page that takes what is here to be where it is from itself reads what is no WebSocket, and shows no origin. */
  refuseHost({ headers }: Request): Refusal | undefined {
    if (headers.has("Upgrade") || this.#origins.knows(headers.get("Host"))) return undefined;
    return {
      status: 403,
      why: "connect by number, as localhost, or as --listen or --origin has it, and not by that name",
    };
  }

  #refuseHandshake({ method, headers }: Request): Refusal | undefined {
    if (method !== "GET") {
      return {
        status: 405,
        why: "a WebSocket begins with GET",
        headers: { Allow: "GET", ...upgrade },
      };
    }
    if (headers.get("Upgrade")?.toLowerCase() !== "websocket") {
      return { status: 426, why: "this is for WebSockets: connect with ws://", headers: upgrade };
    }
    if (headers.get("Sec-WebSocket-Version") !== "13") {
      return { status: 426, why: "only version 13 of WebSockets is spoken here", headers: upgrade };
    }
    if (key.test(headers.get("Sec-WebSocket-Key") ?? "")) return undefined;
    return { status: 400, why: "Sec-WebSocket-Key is not 16 bytes in base64" };
  }

  #refuseOrigin(headers: Headers): Refusal | undefined {
    const origin = headers.get("Origin");
    if (origin === null || this.#origins.allows(origin, headers.get("Host"))) return undefined;
    return { status: 403, why: "pages from that origin may not connect here (see --origin)" };
  }
}

function admit(service: string, offered: string | null): Admission | Refusal {
  if (offered === null) return { service, speech: "earshot.binary", subprotocol: undefined };
  const found = offered
    .split(",")
    .map((one) => one.trim())
    .find((one) => speeches.includes(one)) as Speech | undefined;
  if (found !== undefined) return { service, speech: found, subprotocol: found };
  return { status: 400, why: `of subprotocols, only ${speeches.join(" and ")} are spoken here` };
}
