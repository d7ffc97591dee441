/**
 * Which web pages may reach services through a daemon. A browser says where the page comes from, in `Origin`; a program that is no
 * browser says nothing, or what it likes, so this protects people who visit a page and nobody else.
 *
 * Without `--origin` it is the daemon's own page: `Origin` and `Host` are the same. A stranger's page can have a name of
 * its own lead to this machine, and then the two are the same as well ("DNS rebinding"); so the host must also be one
 * that nobody else can have: a number, `localhost`, or what was given to `--listen`.
 *
 * What such a page of a stranger reads with GET, of where it takes itself to be from, comes without `Origin`; so what is
 * told by GET is told only to who calls us by a name of that kind (`knows`), or by that of an `--origin`.
 */

import { isIP } from "node:net";
import type { Option } from "../option.ts";
import { UsageError } from "../option.ts";

export const origin: Option<string> = {
  placeholder: "ORIGIN",
  help: "web pages that may connect, as in https://example.com (default: the daemon's own)",
  read(given) {
    const found = URL.canParse(given) ? new URL(given) : undefined;
    if (found !== undefined && /^https?:$/.test(found.protocol) && isBare(found, given)) {
      return found.origin;
    }
    throw new UsageError(
      `"${given}" is no origin, such as https://example.com or http://host:8080`,
    );
  },
};

/** Whether it has nothing but scheme, host and port. */
function isBare({ origin, username, password }: URL, given: string): boolean {
  const rest = given.slice(origin.length);
  return (
    username === "" && password === "" && (rest === "" || rest === "/" || !/[/?#@]/.test(rest))
  );
}

/**
 * What a `Host` leads to: a host and maybe a port (RFC 9110, 7.2). Undefined for anything else, such as a name before an
 * `@`, which a URL may have and which others may take for the host.
 */
function urlAt(host: string, protocol: string): URL | undefined {
  if (!/^(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]*)?$/i.test(host)) return undefined;
  const url = `${protocol}//${host}`;
  return URL.canParse(url) ? new URL(url) : undefined;
}

export class Origins {
  readonly #given: ReadonlySet<string>;
  readonly #host: string;

  /** `host` is where the daemon listens, which it may be reached by as well. */
  constructor(given: readonly string[], host: string) {
    this.#given = new Set(given);
    this.#host = host.toLowerCase();
  }

  /** Whether a page from `origin` may come to `host`, which is what the header of that name says. */
  allows(origin: string, host: string | null): boolean {
    if (this.#given.size > 0) return this.#given.has(origin);
    if (host === null || !URL.canParse(origin)) return false;
    const from = new URL(origin);
    return urlAt(host, from.protocol)?.origin === from.origin && this.#isOwn(from.hostname);
  }

  /**
   * Whether a page could not have made up that name for us: `host` is what the header says, and null where there is
   * none, as no browser does.
   */
  knows(host: string | null): boolean {
    if (host === null) return true;
    const hostname = urlAt(host, "http:")?.hostname;
    if (hostname === undefined) return false;
    if (this.#isOwn(hostname)) return true;
    return [...this.#given].some((one) => new URL(one).hostname === hostname);
  }

  #isOwn(hostname: string): boolean {
    const bare = hostname.replace(/^\[|\]$/g, "");
    return isIP(bare) !== 0 || bare === "localhost" || bare === this.#host;
  }
}
