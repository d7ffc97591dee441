/**
 * Where a service is that is not served here.
 *
 *     SCHEME://HOST[:PORT][/NAME…]     tcp://example.org:9000/pong    ws://[::1]:8080/chat/pong
 *     unix://NAME                      unix://other
 *
 * The scheme is the name of the daemon that leads there, so any daemon brings its own; `unix` is the run directory and
 * needs none. The path ends in the service's name on the other side, and may be missing where there is only one.
 * Everything that a daemon would have to guess at is refused: user and password, query, fragment, escapes, a number
 * that is no address.
 */

import { isIPv4, isIPv6 } from "node:net";
import { nameRules } from "../native/errors.ts";
import { nameFault } from "./name.ts";

/** A few times as long as any in use. In bytes, which here are characters. */
export const uriBytesMax = 1024;
const schemeBytesMax = 32;
/** RFC 1035, section 2.3.4. */
const hostBytesMax = 253;
const portMax = 65_535;

/** Those that mean nothing without a port, and have one service behind it or its name, and nothing else, as their path. */
const portSchemes: ReadonlySet<string> = new Set(["tcp", "tls", "udp"]);
/** Who asks the lookup itself to lead would wait for its own answer. */
const lookupScheme = "ipc";

export type Uri = {
  /** As it was written. */
  readonly text: string;
  /** `unix`, or the name of the daemon that leads there. */
  readonly scheme: string;
  /** A name or a number, IPv6 without brackets; "" for `unix`. */
  readonly host: string;
  readonly port: number | undefined;
  /** What is between the slashes. */
  readonly path: readonly string[];
  /** The service's name on the other side. */
  readonly service: string | undefined;
};

/** What is wrong with one, in a word that the vectors have too. */
export type UriFault =
  | "uri_too_long"
  | "uri_character"
  | "scheme"
  | "user"
  | "query"
  | "host"
  | "port"
  | "path";

export class UriError extends Error {
  override readonly name = "UriError";
  readonly fault: UriFault;

  constructor(fault: UriFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/** Throws a UriError that says what is wrong, and what would do. */
export function parseUri(text: string): Uri {
  if (text.length > uriBytesMax) {
    throw new UriError("uri_too_long", `a URI is no longer than ${uriBytesMax} bytes`);
  }
  checkCharacters(text);
  const { scheme, rest } = split(text);
  const slash = rest.indexOf("/");
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  if (authority.includes("@")) {
    throw new UriError("user", "a URI names no user or password: who is let in is not said there");
  }
  if (scheme === "unix") return local(text, rest);
  const { host, port } = place(scheme, authority);
  const path = segments(scheme, slash < 0 ? "" : rest.slice(slash + 1));
  return { text, scheme, host, port, path, service: path.at(-1) };
}

/** A service of the run directory as a URI. */
export function localUri(name: string): Uri {
  return parseUri(`unix://${name}`);
}

function checkCharacters(text: string): void {
  const [query] = /[?#]/.exec(text) ?? [];
  if (query !== undefined) {
    throw new UriError("query", `a URI here has no query and no fragment ("${query}")`);
  }
  const [character] = /[^A-Za-z0-9._~:/@[\]+-]/u.exec(text) ?? [];
  if (character === undefined) return;
  throw new UriError("uri_character", `a URI has no ${JSON.stringify(character)} in it`);
}

function split(text: string): { scheme: string; rest: string } {
  const [, scheme, rest] = /^([^:/]*):\/\/(.*)$/.exec(text) ?? [];
  if (scheme === undefined || rest === undefined) {
    throw new UriError("scheme", "a URI is SCHEME://HOST:PORT/NAME, or unix://NAME");
  }
  if (!/^[a-z][a-z0-9-]*$/.test(scheme) || scheme.length > schemeBytesMax) {
    throw new UriError(
      "scheme",
      `"${scheme}" is no scheme: small letters, digits and "-", a letter first, no more than ${schemeBytesMax}`,
    );
  }
  if (scheme === lookupScheme) {
    throw new UriError("scheme", `"${lookupScheme}" is the lookup itself, and leads nowhere`);
  }
  return { scheme, rest };
}

function local(text: string, name: string): Uri {
  const fault = nameFault(name);
  if (fault !== undefined) {
    throw new UriError("host", `"${name}" is not a name in unix://NAME: ${nameRules[fault]}`);
  }
  return { text, scheme: "unix", host: "", port: undefined, path: [], service: name };
}

/** HOST, HOST:PORT or [IPv6]:PORT. */
function place(scheme: string, authority: string): { host: string; port: number | undefined } {
  const found = /^(?:\[([^[\]]*)\]|([^:[\]]*))(?::(.*))?$/.exec(authority);
  if (found === null) {
    throw new UriError("host", `"${authority}" is no HOST:PORT; an IPv6 number stands in brackets`);
  }
  const [, number, name = "", port] = found;
  if (number === undefined) checkName(name);
  else if (!isIPv6(number)) throw new UriError("host", `"${number}" is no IPv6 number`);
  return { host: number ?? name, port: readPort(scheme, port) };
}

function checkName(host: string): void {
  if (host === "") throw new UriError("host", "a URI names a host");
  // What ends in a number is meant as one (WHATWG URL, "ends in a number checker"), and none is guessed at.
  const isNumber = /(^|\.)[0-9]+\.?$/.test(host);
  const labels = host.replace(/\.$/, "").split(".");
  const good = isNumber
    ? isIPv4(host)
    : labels.every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label));
  if (!good || host.length > hostBytesMax) throw new UriError("host", `"${host}" is no host`);
}

function readPort(scheme: string, text: string | undefined): number | undefined {
  if (text === undefined) {
    if (!portSchemes.has(scheme)) return undefined;
    throw new UriError("port", `${scheme} needs a port: ${scheme}://HOST:PORT/NAME`);
  }
  const port = Number(text);
  if (/^[0-9]{1,5}$/.test(text) && port >= 1 && port <= portMax) return port;
  throw new UriError("port", `"${text}" is no port: 1 to ${portMax}`);
}

function segments(scheme: string, text: string): string[] {
  if (text === "") return [];
  const path = text.split("/");
  if (path.length > 1 && portSchemes.has(scheme)) {
    throw new UriError("path", `the path of ${scheme} is one name, not "/${text}"`);
  }
  for (const name of path) {
    const fault = nameFault(name);
    if (fault === undefined) continue;
    throw new UriError("path", `"${name}" in the path is not a name: ${nameRules[fault]}`);
  }
  return path;
}
