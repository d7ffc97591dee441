/** A queue. Taking from its front costs no more than adding at its back, and what was taken is kept no longer. */

/** So few that are gone are not worth moving the rest. */
const goneMax = 32;

export class Fifo<Item> {
  /** Those before `#first` are gone. */
  #items: (Item | undefined)[] = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  shift(): Item | undefined {
    const item = this.#items[this.#first];
    if (item === undefined) return undefined;
    this.#items[this.#first] = undefined;
    this.#first += 1;
    // Each is moved once on average: when at least as many are gone as are left.
    if (this.#first > goneMax && this.#first * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }

  /** The one at the front, which stays there. */
  peek(): Item | undefined {
    return this.#items[this.#first];
  }

  /** Takes the first `count`, in their order. */
  take(count: number): Item[] {
    const taken = this.#items.slice(this.#first, this.#first + count) as Item[];
    this.#items = this.#items.slice(this.#first + count);
    this.#first = 0;
    return taken;
  }
}
