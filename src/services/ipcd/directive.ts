/**
 * What ipcd is told to do, on its command line and in its file of rules:
 *
 *     allow out SERVICE [URI]       deny in SERVICE [URI]       redirect OLD NEW
 *
 * A rule is for lookups of programs here (`out`), or for remotes that come in by a daemon (`in`); SERVICE and URI are
 * patterns, in which `*` stands for any text, and without a URI it is for all. A redirect puts one URI, or one service
 * name, in the place of another.
 */

import { nameFault } from "../../ipc/name.ts";
import { localUri, parseUri, type Uri, UriError, uriBytesMax } from "../../ipc/uri.ts";
import { nameRules } from "../../native/errors.ts";
import { Pattern } from "./pattern.ts";

export const directions = ["in", "out"] as const;
export type Direction = (typeof directions)[number];
export type Action = "allow" | "deny";

export type Rule = {
  readonly action: Action;
  readonly direction: Direction;
  readonly service: Pattern;
  readonly uri: Pattern;
  /** Where it was given: an option, or FILE:LINE. */
  readonly origin: string;
};

export type Redirect = {
  /** A service name, or a URI as it is written. */
  readonly from: string;
  /** What is looked up instead: another name, or a URI. */
  readonly to: string;
  readonly origin: string;
};

/** It cannot be understood; the message says why, and what would do. */
export class DirectiveError extends Error {
  override readonly name = "DirectiveError";
}

/** Reads what follows `allow` or `deny`. */
export function parseRule(action: Action, text: string, origin: string): Rule {
  const [direction, service, uri = "*", ...rest] = wordsOf(text);
  if (!isDirection(direction) || service === undefined || rest.length > 0) {
    throw new DirectiveError(
      `"${text}" is no rule: in or out, a service, and a URI if it is not for all, as in "out pong tcp://*"`,
    );
  }
  if (!/^[A-Za-z0-9._*-]+$/.test(service)) {
    throw new DirectiveError(
      `"${service}" is no pattern of a service name, such as pong or chat.*`,
    );
  }
  checkUriPattern(uri);
  return {
    action,
    direction,
    service: new Pattern(service),
    uri: new Pattern(uri),
    origin,
  };
}

/** Reads what follows `redirect`. */
export function parseRedirect(text: string, origin: string): Redirect {
  const [from, to, ...rest] = wordsOf(text);
  if (from === undefined || to === undefined || rest.length > 0) {
    throw new DirectiveError(
      `"${text}" is no redirect: two URIs or service names, the old one first`,
    );
  }
  if (from === to) throw new DirectiveError(`"${from}" is redirected to itself`);
  for (const place of [from, to]) checkPlace(place);
  return { from, to, origin };
}

/** What a redirect leads to, as a URI: a name is that of a service here. */
export function placeUri(place: string): Uri {
  return isUri(place) ? parseUri(place) : localUri(place);
}

export function isUri(place: string): boolean {
  return place.includes(":");
}

function wordsOf(text: string): string[] {
  return text.split(/[ \t]+/).filter((word) => word !== "");
}

function isDirection(word: string | undefined): word is Direction {
  return directions.some((direction) => direction === word);
}

function checkUriPattern(uri: string): void {
  const isGood =
    uri.length <= uriBytesMax &&
    /^[A-Za-z0-9._~:/@[\]*-]+$/.test(uri) &&
    // One that no URI can match is a slip, and a rule that does nothing is worse than none.
    (uri.includes("*") || uri.includes("://"));
  if (isGood) return;
  throw new DirectiveError(`"${uri}" is no pattern of a URI, such as tcp://10.* or unix://sound`);
}

function checkPlace(place: string): void {
  if (isUri(place)) {
    try {
      parseUri(place);
    } catch (error) {
      if (error instanceof UriError) throw new DirectiveError(`"${place}": ${error.message}`);
      throw error;
    }
    return;
  }
  const fault = nameFault(place);
  if (fault === undefined) return;
  throw new DirectiveError(`"${place}" is neither a URI nor a name: ${nameRules[fault]}`);
}
