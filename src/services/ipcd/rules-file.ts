/** A file of rules: a directive a line, `#` begins a comment. It is taken whole or not at all. */

import { readFileSync, statSync } from "node:fs";
import type { Redirect, Rule } from "./directive.ts";
import { DirectiveError, parseRedirect, parseRule } from "./directive.ts";

/** All that is read of one; more is no list that anybody keeps by hand. */
export const rulesFileBytesMax = 1024 * 1024;
/** Each lookup looks at every rule. */
export const directivesMax = 4096;

export type Rules = { readonly rules: readonly Rule[]; readonly redirects: readonly Redirect[] };

/** It cannot be taken; the message begins with FILE:LINE. */
export class RulesError extends Error {
  override readonly name = "RulesError";
}

/** Throws a RulesError, or the system's own error if it cannot be read. */
export function readRules(path: string): Rules {
  const found = statSync(path);
  // Reading a pipe could take for ever.
  if (!found.isFile()) throw new RulesError(`${path}: it is not a plain file`);
  if (found.size > rulesFileBytesMax) {
    throw new RulesError(`${path}: ${found.size} bytes; it has up to ${rulesFileBytesMax}`);
  }
  return parseRules(path, readFileSync(path, "utf8"));
}

/** Throws a RulesError for the first line that cannot be understood. */
export function parseRules(path: string, text: string): Rules {
  const rules: Rule[] = [];
  const redirects: Redirect[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const origin = `${path}:${index + 1}`;
    try {
      const directive = parseLine(line, origin);
      if (directive === undefined) continue;
      if ("action" in directive) rules.push(directive);
      else redirects.push(directive);
    } catch (error) {
      if (error instanceof DirectiveError) throw new RulesError(`${origin}: ${error.message}`);
      throw error;
    }
    if (rules.length + redirects.length > directivesMax) {
      throw new RulesError(`${origin}: more than ${directivesMax} directives`);
    }
  }
  return { rules, redirects };
}

function parseLine(line: string, origin: string): Rule | Redirect | undefined {
  const text = line.replace(/#.*/, "").trim();
  if (text === "") return undefined;
  const [, word = "", rest = ""] = /^(\S+)\s*(.*)$/.exec(text) ?? [];
  if (word === "allow" || word === "deny") return parseRule(word, rest, origin);
  if (word === "redirect") return parseRedirect(rest, origin);
  throw new DirectiveError(`"${word}" is none of allow, deny and redirect`);
}
