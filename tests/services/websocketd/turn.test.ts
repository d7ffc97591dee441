/** How much one WebSocket may say before all others are heard. */

import { expect, test } from "bun:test";
import { Turn } from "../../../src/services/websocketd/turn.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";

leaveNoTrace();

/** How many messages of so many bytes one turn has. */
function messagesOf(bytes: number): number {
  const turn = new Turn(() => undefined);
  let messages = 1;
  while (!turn.count(bytes)) messages += 1;
  expect(turn.isOver).toBe(true);
  // What was read already and is counted all the same is no second end.
  expect(turn.count(bytes)).toBe(false);
  return messages;
}

test("a turn is over after many messages, or fewer that are long", () => {
  expect(messagesOf(1)).toBe(256);
  expect(messagesOf(64)).toBe(256);
  expect(messagesOf(16 * 1024)).toBe(16);
  expect(messagesOf(8 * 1024 * 1024)).toBe(1);
});

test("the next begins when the others were heard", async () => {
  let changes = 0;
  const turn = new Turn(() => {
    changes += 1;
  });
  while (!turn.count(64 * 1024));
  expect(changes).toBe(1);
  await new Promise(setImmediate);
  expect(turn.isOver).toBe(false);
  expect(changes).toBe(2);
  for (let count = 1; count < 4; count++) expect(turn.count(64 * 1024)).toBe(false);
  expect(turn.count(64 * 1024)).toBe(true);
});
