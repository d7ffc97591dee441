/** The handshake over a stream: when a name is one. */

import { describe, expect, test } from "bun:test";
import { Exposure } from "../../../src/services/daemon/exposure.ts";
import { ambiguity, Greeting } from "../../../src/services/daemon/greeting.ts";

const bytesOf = (text: string) => Buffer.from(text, "latin1");

describe("a name", () => {
  test.each([
    [["pong"], ["pong"], [{ service: "pong" }]],
    [["pong"], ["p", "o", "n", "g"], ["more", "more", "more", { service: "pong" }]],
    [["pong"], ["po", "", "ng"], ["more", "more", { service: "pong" }]],
    [["pon", "pong"], ["pong"], [{ service: "pong" }]],
    [
      ["pong", "pon"],
      ["po", "n"],
      ["more", { service: "pon" }],
    ],
    [["pong"], ["ponx"], ["refused"]],
    [["pong"], ["pongx"], ["followed"]],
    [["pong", "pongx"], ["pongxy"], ["followed"]],
    [["pong"], ["po", "x"], ["more", "refused"]],
    [["pong"], ["../pong"], ["refused"]],
    [["pong"], ["pong\n"], ["followed"]],
    [["pong"], ["PONG"], ["refused"]],
    [["pong"], ["p\0ng"], ["refused"]],
    [["pong"], ["\xff"], ["refused"]],
    [[], ["pong"], ["refused"]],
  ])("of %j in %j: %j", (allowed, pieces, expected) => {
    const greeting = new Greeting(new Exposure(allowed));
    expect(pieces.map((piece) => greeting.hear(bytesOf(piece)))).toEqual(expected as never);
  });
});

test("names of which one begins another are told of", () => {
  expect(ambiguity(new Exposure(["pong", "audio", "pin"]))).toBeUndefined();
  expect(ambiguity(new Exposure(["pong", "pon"]))).toStartWith('"pon" begins "pong": ');
});
