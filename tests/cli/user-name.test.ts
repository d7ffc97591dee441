/** Names of users, as far as they are at hand. */

import { expect, test } from "bun:test";
import { userName } from "../../src/cli/user-name.ts";

test("root has one, and a number that nobody has does not", () => {
  expect(userName(0)).toBe("root");
  expect(userName(4_000_000_000)).toBeUndefined();
});
