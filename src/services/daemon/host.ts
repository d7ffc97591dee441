/** The numbers of a host, and which of them somebody answers at. */

import { lookup } from "node:dns/promises";
import { NoWay, whyNot } from "./way.ts";

/** In the order in which they are to be tried. Rejects with NoWay if there are none. */
export async function numbersOf(host: string): Promise<readonly string[]> {
  try {
    const found = await lookup(host, { all: true });
    if (found.length > 0) return found.map(({ address }) => address);
  } catch {
    // What went wrong is that there is no such name, or nobody to ask for it: the same to who asks.
  }
  throw new NoWay(`no address is known for the host "${host}"`);
}

/** What `dial` finds at the first of them where it finds something. Rejects with what was wrong with each. */
export async function atFirstOf<Found>(
  host: string,
  signal: AbortSignal,
  dial: (number: string) => Promise<Found>,
): Promise<Found> {
  const failures: string[] = [];
  for (const number of await numbersOf(host)) {
    signal.throwIfAborted();
    try {
      return await dial(number);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(whyNot(error));
    }
  }
  throw new NoWay(failures.join("; "));
}
