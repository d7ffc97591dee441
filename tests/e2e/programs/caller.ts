/**
 * A client that calls all the time, one call after the other or several at once, and looks at every answer. It says what
 * it has seen, as a line of JSON, when its input ends.
 *
 *     caller.ts keep|reconnect WINDOW
 */

import { type Connection, connect } from "../../../src/index.ts";

const [kind, windowText] = process.argv.slice(2);
const window = Number(windowText);
const wrong: string[] = [];
let calls = 0;
let over = false;

process.stdin.on("end", () => {
  over = true;
});
process.stdin.resume();

/** A window of calls: answers come in the order of the questions, each its own. */
async function call(pong: Connection): Promise<void> {
  const texts = Array.from({ length: window }, (_, index) => `${process.pid} ${calls + index}`);
  const answers = await Promise.all(texts.map((text) => pong.request(text, { timeout: 10_000 })));
  for (const [index, answer] of answers.entries()) {
    if (answer.text() !== texts[index]) wrong.push(`${texts[index]}: ${answer.text()}`);
  }
  calls += window;
}

try {
  if (kind === "keep") {
    await using pong = await connect("pong", {
      message: (_, each) => void wrong.push(`twice: ${each.text()}`),
    });
    console.log("calling");
    while (!over) await call(pong);
  } else {
    console.log("calling");
    while (!over) {
      await using pong = await connect("pong");
      await call(pong);
    }
  }
} catch (error) {
  wrong.push(String(error));
}
console.log(JSON.stringify({ calls, wrong }));
process.exit(0);
