/** All that clients are led to over WebSockets. */

import type { Reach } from "../daemon/lookups.ts";
import { NoWay } from "../daemon/way.ts";
import type { LinkHouse } from "./link.ts";
import { Link } from "./link.ts";

/** How often remotes whose clients wait for them are looked at: a WebSocket does not tell when it has drained. */
const lookMs = 5;

export type OutwardOptions = Omit<LinkHouse, "waits"> & {
  readonly linksMax: number;
  /** 0: never. */
  readonly pingMs: number;
};

export class Outward {
  readonly #options: OutwardOptions;
  readonly #house: LinkHouse;
  readonly #links = new Set<Link>();
  /** Those that shake hands. */
  #coming = 0;
  readonly #waiting = new Set<Link>();
  #looking: ReturnType<typeof setInterval> | undefined;
  readonly #asking: ReturnType<typeof setInterval> | undefined;

  constructor(options: OutwardOptions) {
    this.#options = options;
    this.#house = { ...options, waits: (link) => this.#wait(link) };
    const { pingMs } = options;
    if (pingMs === 0) return;
    this.#asking = setInterval(() => {
      for (const link of this.#links) link.ask();
    }, pingMs);
    this.#asking.unref();
  }

  /** Leads to the URI of a lookup. */
  readonly reach: Reach = async (uri, signal) => {
    if (this.#links.size + this.#coming >= this.#options.linksMax) {
      throw new NoWay("as many are connected as are allowed; try again later");
    }
    this.#coming += 1;
    try {
      const link = await Link.dial(uri, this.#house, signal);
      this.#links.add(link);
      void link.over.then(() => this.#forget(link));
      return { join: (client) => link.join(client), drop: () => link.drop() };
    } finally {
      this.#coming -= 1;
    }
  };

  /** To be called when no more lookups come. */
  async close(now: boolean): Promise<void> {
    clearInterval(this.#asking);
    for (const link of this.#links) {
      if (now) link.drop();
      else link.finish();
    }
    await Promise.all([...this.#links].map((link) => link.over));
  }

  #forget(link: Link): void {
    this.#links.delete(link);
    this.#waiting.delete(link);
  }

  #wait(link: Link): void {
    this.#waiting.add(link);
    this.#looking ??= setInterval(() => this.#look(), lookMs);
  }

  #look(): void {
    for (const link of this.#waiting) if (link.look()) this.#waiting.delete(link);
    if (this.#waiting.size > 0) return;
    clearInterval(this.#looking);
    this.#looking = undefined;
  }
}
