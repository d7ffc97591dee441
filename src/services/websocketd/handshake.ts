/** The beginning of a WebSocket to a remote, and in words for the client why there is none. */

import type { Uri } from "../../ipc/uri.ts";
import { formatAddress } from "../daemon/address.ts";
import { NoWay } from "../daemon/way.ts";

export type Handshake = {
  readonly timeoutMs: number;
  /** In PEM; undefined for those that are trusted anyway. */
  readonly authorities: string[] | undefined;
};

/** Where a URI leads, without its path. */
export function placeOf({ host, port }: Uri): string {
  return port === undefined ? host : formatAddress({ host, port });
}

/**
 * A WebSocket that is paused from its first moment on, so that hardly anything comes before it is wanted; `watch` sets
 * the handlers for what comes all the same. It offers no subprotocol: bytes as they are is what websocketd speaks without
 * one, and who knows nothing of earshot may refuse one of ours. Nor does it offer to decompress what might be a bomb.
 */
export async function shakeHands(
  uri: Uri,
  { timeoutMs, authorities }: Handshake,
  signal: AbortSignal,
  watch: (socket: WebSocket) => void,
): Promise<WebSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = new WebSocket(urlOf(uri), {
    perMessageDeflate: false,
    ...(authorities !== undefined && { tls: { ca: authorities } }),
  });
  socket.binaryType = "nodebuffer";
  socket.pause();
  socket.onopen = () => resolve();
  socket.onerror = ({ message, error }) => reject(new NoWay(whyOf(uri, message, error)));
  watch(socket);
  const give = (why: unknown) => {
    reject(why);
    socket.terminate();
  };
  const aborted = () => give(signal.reason);
  signal.addEventListener("abort", aborted);
  const late = setTimeout(() => {
    give(new NoWay(`${placeOf(uri)} did not complete the handshake within ${timeoutMs} ms`));
  }, timeoutMs);
  try {
    signal.throwIfAborted();
    await promise;
    return socket;
  } catch (error) {
    socket.terminate();
    throw error;
  } finally {
    clearTimeout(late);
    signal.removeEventListener("abort", aborted);
    socket.onopen = null;
    // What goes wrong later is told by its close.
    socket.onerror = () => undefined;
  }
}

function urlOf(uri: Uri): string {
  const host = uri.host.includes(":") ? `[${uri.host}]` : uri.host;
  const port = uri.port === undefined ? "" : `:${uri.port}`;
  return `${uri.scheme}://${host}${port}/${uri.path.join("/")}`;
}

const refusals: Readonly<Record<string, string>> = {
  "401": "it asks for a password",
  "403": "it does not let us in",
  "404": "there is no such service there",
  "426": "it speaks another version of WebSockets, or none",
  "429": "it has no room; try again later",
  "503": "the service is not running there, or there is no room; try again later",
};

/** Of what Bun says, which is text for people. */
function whyOf(uri: Uri, said: string, error: unknown): string {
  const place = placeOf(uri);
  const { code = "" } = (error ?? {}) as { code?: string };
  const what = said.replace(/^WebSocket connection to '.*?' failed: /, "");
  const [, status] = /status code: (\d+)/.exec(what) ?? [];
  if (status !== undefined) {
    const why = refusals[status] ?? "what is there is no WebSocket";
    return `${place} answered ${status}: ${why}`;
  }
  if (code === "ENOTFOUND") return `no address is known for the host "${uri.host}"`;
  if (what.startsWith("TLS handshake failed")) {
    const reason = what.replace(/^TLS handshake failed: /, "");
    if (code === "EPROTO") return `${place} does not speak TLS as it should: ${reason}`;
    return `the certificate of ${place} is not to be trusted: ${reason} (${code})`;
  }
  if (what === "Failed to connect") return `${place} cannot be reached (${code || "no reason"})`;
  const detail = code === "" ? what : `${what}, ${code}`;
  return `what answers at ${place} does not speak as a WebSocket (${detail})`;
}
