/** Who may be led where: the first rule that fits, and what holds where none does. */

import { describe, expect, test } from "bun:test";
import { NetworkError } from "../../../src/ipc/network.ts";
import { parseUri } from "../../../src/ipc/uri.ts";
import type { Direction } from "../../../src/services/ipcd/directive.ts";
import { Policy } from "../../../src/services/ipcd/policy.ts";
import { parseRules } from "../../../src/services/ipcd/rules-file.ts";

const policy = (...lines: string[]) => new Policy(parseRules("f", lines.join("\n")));

function judge(rules: Policy, direction: Direction, service: string, uri: string, isOwn = true) {
  return rules.judge({ direction, service, uri: parseUri(uri), isOwn });
}

describe("a rule", () => {
  const rules = policy(
    "deny out pong tcp://10.*",
    "allow out pong",
    "deny out *",
    "allow in pong tcp://192.168.*",
  );

  test.each([
    ["out", "pong", "tcp://10.0.0.1:1/x", false, 0],
    ["out", "pong", "tcp://11.0.0.1:1/x", true, 1],
    ["out", "audio", "tcp://11.0.0.1:1/x", false, 2],
    ["in", "pong", "tcp://192.168.1.1:1", true, 3],
    ["in", "pong", "tcp://192.169.1.1:1", true, undefined],
    ["in", "audio", "tcp://192.168.1.1:1", true, undefined],
  ] as const)("%s %s %s: allowed %p, by %p", (direction, service, uri, allowed, place) => {
    expect(judge(rules, direction, service, uri)).toMatchObject({ allowed, place });
  });

  test("that has decided is named", () => {
    expect(judge(rules, "out", "audio", "unix://a").because).toBe("f:3");
  });

  test("holds for other users as well", () => {
    expect(judge(rules, "out", "pong", "unix://a", false).allowed).toBe(true);
  });
});

describe("where no rule fits", () => {
  test("one's own lookups are allowed, and nobody else's", () => {
    expect(judge(policy(), "out", "pong", "unix://a", true).allowed).toBe(true);
    expect(judge(policy(), "out", "pong", "unix://a", false)).toEqual({
      allowed: false,
      place: undefined,
      because: "no rule allows it, and other users need one",
    });
  });

  test("remotes are allowed, as their daemon lets in only what was named to it", () => {
    expect(judge(policy(), "in", "pong", "tcp://a:1", false)).toEqual({
      allowed: true,
      place: undefined,
      because: "no rule forbids it",
    });
  });
});

describe("a service is found", () => {
  const network = "pong tcp://host:1/pong; audio tcp://host:2/audio";
  const find = (lines: string[], service: string, variable = network) => {
    const found = policy(...lines).find(service, variable);
    return found === undefined ? undefined : [found.uri.text, ...found.redirects];
  };

  test.each([
    ["where the variable says", [], "pong", ["tcp://host:1/pong"]],
    ["nowhere if it does not", [], "other", undefined],
    ["by another name", ["redirect pong audio"], "pong", ["tcp://host:2/audio", 0]],
    ["here, by a name that is not listed", ["redirect pong here"], "pong", ["unix://here", 0]],
    ["at a URI", ["redirect other tls://a:1"], "other", ["tls://a:1", 0]],
    [
      "at another URI",
      ["redirect x y", "redirect tcp://host:1/pong unix://p"],
      "pong",
      ["unix://p", 1],
    ],
    [
      "by both",
      ["redirect pong audio", "redirect tcp://host:2/audio here"],
      "pong",
      ["unix://here", 0, 1],
    ],
    [
      "by the first of two",
      ["redirect pong audio", "redirect pong here"],
      "pong",
      ["tcp://host:2/audio", 0],
    ],
    [
      "by one step, and not in circles",
      ["redirect pong audio", "redirect audio pong"],
      "pong",
      ["tcp://host:2/audio", 0],
    ],
  ] as const)("%s", (_, lines, service, expected) => {
    expect(find([...lines], service)).toEqual(expected as string[] | undefined);
  });

  test("only if all of the variable is understood, whatever redirects say", () => {
    expect(() => find(["redirect pong here"], "pong", "audio")).toThrow(NetworkError);
  });
});
