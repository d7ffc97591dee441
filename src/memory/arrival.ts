/** Descriptors that came with a message: closed when it was handed out, unless somebody took them over. */

import type { Descriptor } from "../ipc/descriptor.ts";
import { stale } from "../ipc/message.ts";

export class Arrival {
  readonly #descriptors: readonly Descriptor[];
  #isTaken = false;
  #isOver = false;

  constructor(descriptors: readonly Descriptor[]) {
    this.#descriptors = descriptors;
  }

  readonly take = (): readonly Descriptor[] => {
    if (this.#isOver) throw stale("descriptors of a message are");
    this.#isTaken = true;
    return this.#descriptors;
  };

  over(): void {
    this.#isOver = true;
    if (this.#isTaken) return;
    for (const descriptor of this.#descriptors) descriptor.close();
  }
}
