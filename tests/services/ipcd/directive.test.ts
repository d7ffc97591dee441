/** Rules and redirects, as they are written. */

import { describe, expect, test } from "bun:test";
import { DirectiveError, parseRedirect, parseRule } from "../../../src/services/ipcd/directive.ts";

function complaint(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(DirectiveError);
    return (error as Error).message;
  }
  return "";
}

describe("a rule", () => {
  test("has a direction, a service and a URI", () => {
    const rule = parseRule("deny", " in  chat.*\ttcp://10.* ", "here");
    expect(rule).toMatchObject({ action: "deny", direction: "in", origin: "here" });
    expect([rule.service.text, rule.uri.text]).toEqual(["chat.*", "tcp://10.*"]);
  });

  test("without a URI is for all", () => {
    expect(parseRule("allow", "out pong", "here").uri.text).toBe("*");
  });

  test.each([
    ["", '"" is no rule: in or out'],
    ["pong", '"pong" is no rule: in or out'],
    ["both pong", '"both pong" is no rule: in or out'],
    ["out", '"out" is no rule: in or out'],
    ["out pong tcp://a:1 more", '"out pong tcp://a:1 more" is no rule: in or out'],
    ["out po/ng", '"po/ng" is no pattern of a service name'],
    ["out pong tcp:/host", '"tcp:/host" is no pattern of a URI'],
    ["out pong host", '"host" is no pattern of a URI'],
    ["out pong tcp://ho;st*", '"tcp://ho;st*" is no pattern of a URI'],
    [`out pong ${"*".repeat(1025)}`, `"${"*".repeat(1025)}" is no pattern of a URI`],
  ])("%j is none", (text, why) => {
    expect(complaint(() => parseRule("allow", text, "here"))).toStartWith(why);
  });
});

describe("a redirect", () => {
  test.each([
    ["pong ping"],
    ["pong tcp://host:1/pong"],
    ["tcp://old:1/a tcp://new:2/b"],
    ["tcp://old:1/a pong"],
  ])("%j", (text) => {
    const [from, to] = text.split(" ");
    expect(parseRedirect(text, "here")).toEqual({ from: from!, to: to!, origin: "here" });
  });

  test.each([
    ["", "two URIs or service names, the old one first"],
    ["pong", "two URIs or service names, the old one first"],
    ["a b c", "two URIs or service names, the old one first"],
    ["pong pong", '"pong" is redirected to itself'],
    ["pong .ping", '".ping" is neither a URI nor a name: it starts with a dot'],
    ["pong tcp://host", '"tcp://host": tcp needs a port'],
    ["tcp:host pong", '"tcp:host": a URI is SCHEME://HOST:PORT/NAME'],
  ])("%j is none", (text, why) => {
    expect(complaint(() => parseRedirect(text, "here"))).toContain(why);
  });
});
