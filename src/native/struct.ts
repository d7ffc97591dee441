/** One native structure in memory of its own: fields by name, at the offsets of `layout.ts`. */

type Shape = {
  readonly size: number;
  readonly fields: Readonly<Record<string, readonly [offset: number, bytes: number]>>;
};

export class Struct<Layout extends Shape> {
  readonly bytes: Uint8Array;
  readonly #shape: Layout;
  readonly #view: DataView;

  /** Within `bytes` if given, else in memory of its own that begins as zeros. */
  constructor(shape: Layout, bytes: Uint8Array = new Uint8Array(shape.size)) {
    this.#shape = shape;
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, shape.size);
  }

  get(field: keyof Layout["fields"] & string): number {
    const [offset, size] = this.#shape.fields[field]!;
    return size === 4
      ? this.#view.getInt32(offset, true)
      : Number(this.#view.getBigInt64(offset, true));
  }

  set(field: keyof Layout["fields"] & string, value: number): this {
    const [offset, size] = this.#shape.fields[field]!;
    if (size === 4) this.#view.setInt32(offset, value, true);
    else this.#view.setBigInt64(offset, BigInt(Math.trunc(value)), true);
    return this;
  }

  /** The structure that begins inside this one at `field`. */
  within<Inner extends Shape>(field: keyof Layout["fields"] & string, shape: Inner): Struct<Inner> {
    const [offset] = this.#shape.fields[field]!;
    return new Struct(shape, this.bytes.subarray(offset, offset + shape.size));
  }
}
