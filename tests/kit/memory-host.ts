/** A service by hand that clients reach through memory: it answers a hello as it is told, with what memory it is told. */

import { closeSync } from "node:fs";
import type { Connection, Service } from "../../src/index.ts";
import { serve } from "../../src/index.ts";
import { Ring, RingReader, RingWriter } from "../../src/memory/ring.ts";
import { Segment } from "../../src/native/shared-memory.ts";

export type Answer = { text: string; descriptors: readonly number[]; then?: string };

export class MemoryHost implements AsyncDisposable {
  readonly #service: Service;
  readonly #segments: Segment[] = [];
  /** The last client. */
  link: Connection | undefined;

  private constructor(service: Service) {
    this.#service = service;
  }

  /** `answer` is asked with each hello. It gives descriptors away. */
  static async serve(
    name: string,
    rundir: string,
    answer: (host: MemoryHost, hello: string) => Answer | undefined,
  ): Promise<MemoryHost> {
    const host: MemoryHost = new MemoryHost(
      await serve(
        `${name}.memory`,
        {
          message(link, message) {
            if (host.link === link) return;
            host.link = link;
            const said = answer(host, message.text());
            if (said === undefined) return;
            const { text, descriptors, then } = said;
            link.send(text, descriptors.length === 0 ? {} : { descriptors });
            for (const descriptor of descriptors) closeSync(descriptor);
            if (then !== undefined) link.send(then);
          },
        },
        { rundir, descriptors: { max: 1 } },
      ),
    );
    return host;
  }

  /** Two rings as they should be, mapped here: what the client writes is read by `reader`. */
  rings(ringBytes = 65_536): Answer & { reader: RingReader; writer: RingWriter } {
    const descriptors = [Segment.create(ringBytes), Segment.create(ringBytes)];
    const mapped = descriptors.map((one) => new Segment(one, ringBytes));
    this.#segments.push(...mapped);
    const [up, down] = mapped.map(({ memory }) => new Ring(memory)) as [Ring, Ring];
    const text = JSON.stringify({ memory: 1, rings: { up: ringBytes, down: ringBytes } });
    return { text, descriptors, reader: new RingReader(up), writer: new RingWriter(down) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service.close({ now: true });
    for (const segment of this.#segments) segment.close();
  }
}
