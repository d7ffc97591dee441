/**
 * Who may be led where. The first rule that fits decides; those of the command line stand before those of the file, so
 * that whoever starts ipcd can overrule it.
 *
 * Where no rule fits:
 *
 * - `out` is allowed to the user whose ipcd it is, and to root. They could go there without ipcd, and a client has to
 *   name the place itself. Other users, who can only connect where `--users` lets them, would be led under another's
 *   name, so they need a rule.
 * - `in` is allowed: a daemon lets remotes reach what was named to it by `--allow`, and nothing else, so somebody has
 *   decided it. `deny in *` behind one's own rules turns that round.
 *
 * Rules see the service that was asked for, and the URI that it has come to after redirects. A redirect is followed
 * once for the name and once for the URI, so that none leads in a circle.
 */

import { parseNetwork } from "../../ipc/network.ts";
import { localUri, type Uri } from "../../ipc/uri.ts";
import type { Direction, Redirect, Rule } from "./directive.ts";
import { isUri, placeUri } from "./directive.ts";
import type { Rules } from "./rules-file.ts";

export type Question = {
  readonly direction: Direction;
  readonly service: string;
  readonly uri: Uri;
  /** The user who asks is ipcd's own, or root. */
  readonly isOwn: boolean;
};

export type Verdict = {
  readonly allowed: boolean;
  /** The place, from 0, of the rule that has decided; undefined if none fitted. */
  readonly place: number | undefined;
  /** What has decided, in words. */
  readonly because: string;
};

/** Where a lookup comes to, and by which redirects. */
export type Destination = { readonly uri: Uri; readonly redirects: readonly number[] };

export class Policy {
  readonly #rules: readonly Rule[];
  readonly #redirects: readonly Redirect[];

  constructor({ rules, redirects }: Rules) {
    this.#rules = rules;
    this.#redirects = redirects;
  }

  judge({ direction, service, uri, isOwn }: Question): Verdict {
    const place = this.#rules.findIndex(
      (rule) =>
        rule.direction === direction && rule.service.matches(service) && rule.uri.matches(uri.text),
    );
    const rule = this.#rules[place];
    if (rule !== undefined) {
      return { allowed: rule.action === "allow", place, because: rule.origin };
    }
    const allowed = direction === "in" || isOwn;
    const because = allowed ? "no rule forbids it" : "no rule allows it, and other users need one";
    return { allowed, place: undefined, because };
  }

  /**
   * Where `service` is. Undefined if neither the client's variable nor a redirect names it. Throws a NetworkError if
   * the variable cannot be understood.
   */
  find(service: string, variable: string): Destination | undefined {
    const network = parseNetwork(variable);
    const renamed = this.#redirect(service);
    const name = renamed?.to ?? service;
    const listed = isUri(name) ? placeUri(name) : network.get(name);
    const uri = listed ?? (renamed === undefined ? undefined : localUri(name));
    if (uri === undefined) return undefined;
    const moved = this.#redirect(uri.text);
    const redirects = [renamed?.place, moved?.place].filter((place) => place !== undefined);
    return { uri: moved === undefined ? uri : placeUri(moved.to), redirects };
  }

  #redirect(from: string): { to: string; place: number } | undefined {
    const place = this.#redirects.findIndex((redirect) => redirect.from === from);
    return place < 0 ? undefined : { to: this.#redirects[place]!.to, place };
  }
}
