// What takes long to get ready is done once, and cloned in a moment. This program is both: the owner, and what is cloned.

import type { Connection } from "earshot";
import { Zygote } from "earshot/zygote";

const squares = new Map<string, number>();

export function warm() {
  for (let number = 0; number < 100_000; number += 1) squares.set(`${number}`, number ** 2);
}

export async function serve(connection: Connection) {
  for await (const message of connection) {
    const question = message.text();
    connection.send(`${squares.get(question)}`);
    // No other clone ever sees this.
    squares.delete(question);
  }
}

if (import.meta.main) {
  await using zygote = await Zygote.start({ module: import.meta.path });
  for (const name of ["one", "other"]) {
    await using clone = await zygote.clone({ limits: { memory: 256 * 2 ** 20 } });
    const answers = [await clone.connection.request("12"), await clone.connection.request("12")];
    console.log(`${name}: ${answers.map((answer) => answer.text()).join(", ")}`);
  }
}
