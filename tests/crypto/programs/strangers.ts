/**
 * Strangers who come to a sealed service and never show who they are: some say nothing, some half a hello, and some what
 * somebody else has said. For each that is sent away another comes. Run by `strangers.test.ts`.
 */

import { answer, settings } from "../../kit/answer.ts";

const { path, said } = settings<{ path: string; said: readonly string[] }>();
const words = said.map((each) => Buffer.from(each, "base64"));
const againMs = 1;
let come = 0;

function comeAgain(number: number): void {
  const again = () => void setTimeout(() => comeAgain(number), againMs);
  const word = words[number % words.length]!;
  Bun.connect({
    unix: path,
    socket: {
      open: (socket) => {
        come += 1;
        if (word.length > 0) socket.write(word);
      },
      data: () => undefined,
      close: again,
    },
  }).catch(again);
}

await answer({
  flood(count: number): void {
    for (let number = 0; number < count; number++) comeAgain(number);
  },
  /** How many have come so far. */
  come: () => come,
});
