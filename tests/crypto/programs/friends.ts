/** Friends of a sealed service, who come all at once. Run by `strangers.test.ts`. */

import { connect } from "../../../src/index.ts";
import { answer, settings } from "../../kit/answer.ts";
import { reached, type Transport } from "../../kit/over.ts";

const { rundir, transport } = settings<{ rundir: string; transport: Transport }>();
const timeout = 60_000;

async function ask(): Promise<string> {
  await using friend = await connect("pong", { rundir, ...reached(transport), timeout });
  return (await friend.request("hello", { timeout })).text();
}

await answer({
  /** Returns what they are told, each of it once. */
  async come(count: number): Promise<string[]> {
    const all = await Promise.allSettled(Array.from({ length: count }, ask));
    const told = all.map((one) => (one.status === "fulfilled" ? one.value : String(one.reason)));
    return [...new Set(told)];
  },
});
