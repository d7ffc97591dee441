/** Very many clients in one process, all connected at once. */

import type { Connection } from "../../../src/index.ts";
import { connect } from "../../../src/index.ts";
import { answer, settings } from "../../kit/answer.ts";

const { rundir } = settings<{ rundir: string }>();
const clients: Connection[] = [];
let asked = 0;

await answer({
  async come(count: number): Promise<number> {
    while (clients.length < count) clients.push(await connect("pong", { rundir }));
    return clients.filter(({ open }) => open).length;
  },
  /** All ask something of their own at once; returns how many got the answer to it. */
  async ask(): Promise<number> {
    asked += 1;
    const answered = clients.map(async (client, number) => {
      const question = `question ${asked} of ${number}`;
      return (await client.request(question)).text() === question;
    });
    return (await Promise.all(answered)).filter((isRight) => isRight).length;
  },
  async leave(): Promise<void> {
    await Promise.all(clients.splice(0).map((client) => client.close()));
  },
});
