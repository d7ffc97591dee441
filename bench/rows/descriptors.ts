/**
 * The rows `descriptors` and `descriptors-1`: open files handed from one process to another with
 * `send`, as fast as they go. The receiver reads a byte of each, and closes it. Option: how many go
 * along with each message.
 */

import { closeSync, openSync, readSync, unlinkSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { type Connection, connect, type Descriptor, type Message, serve } from "../../src/index.ts";
import { now, plans, ready, report } from "./control.ts";
import { Pattern } from "./pattern.ts";
import { readRole } from "./role.ts";

const fileCount = 256;
const batchMessages = 32; // a clock is read once a batch
const tallyBytes = 16;
const end = new Uint8Array(0);

const role = readRole();
const name = basename(role.path);
const together = Number(role.options[0]);
// More than a full socket holds, so that neither side ever meets the bound.
const own = { rundir: dirname(role.path), descriptors: { max: together, held: 1 << 16 } };

/** What a receiver finds who reads all files of one message, so that it shows in which order they came. */
function sumOf(bytes: readonly number[]): number {
  return bytes.reduce((sum, byte, index) => sum + (index + 1) * byte, 0);
}

class Tally {
  readonly #byte = new Uint8Array(1);
  #descriptors = 0;
  #sum = 0;

  add(descriptors: readonly Descriptor[]): void {
    let place = 0;
    for (const descriptor of descriptors) {
      place += 1;
      if (readSync(descriptor.number, this.#byte, 0, 1, 0) !== 1) throw new Error("no byte");
      this.#sum += place * this.#byte[0]!;
      descriptor.close();
    }
    this.#descriptors += place;
  }

  finish(): Uint8Array {
    const answer = new Uint8Array(tallyBytes);
    const view = new DataView(answer.buffer);
    view.setFloat64(0, this.#descriptors);
    view.setFloat64(8, this.#sum);
    this.#descriptors = 0;
    this.#sum = 0;
    return answer;
  }
}

/** Files of one byte each, all different; message k takes along those from k on. */
class Files {
  readonly #sets: number[][];
  readonly #sums: number[];

  constructor(path: string) {
    const files = Array.from({ length: fileCount }, (_, byte) => {
      writeFileSync(path, Uint8Array.of(byte));
      const file = openSync(path, "r");
      unlinkSync(path);
      return file;
    });
    const bytesAt = (k: number) => files.map((_, index) => (k + index) % fileCount);
    this.#sets = files.map((_, k) => bytesAt(k).slice(0, together));
    this.#sums = this.#sets.map(sumOf);
    this.#sets = this.#sets.map((bytes) => bytes.map((byte) => files[byte]!));
  }

  of(k: number): readonly number[] {
    return this.#sets[k % fileCount]!;
  }

  sum(messages: number): number {
    return this.#sums.reduce((sum, one, k) => sum + one * Math.ceil((messages - k) / fileCount), 0);
  }

  close(): void {
    for (const [first] of this.#sets) closeSync(first!);
  }
}

function receive(connection: Connection, message: Message, tally: Tally): void {
  if (message.length === 0) connection.send(tally.finish());
  else tally.add(message.descriptors);
}

async function drive(): Promise<void> {
  const files = new Files(`${role.path}.file`);
  let drained = Promise.withResolvers<void>();
  const receiver = await connect(name, {
    ...own,
    queueBytesHigh: 0,
    drain: () => drained.resolve(),
  });
  ready();
  for (const plan of plans()) {
    const pattern = Pattern.of(plan.bytes);
    const begin = now();
    let messages = 0;
    while (now() - begin < plan.nanoseconds) {
      for (let index = 0; index < batchMessages; index += 1) {
        const descriptors = files.of(messages);
        if (!receiver.send(pattern.payload(messages), { descriptors })) {
          await drained.promise;
          drained = Promise.withResolvers();
        }
        messages += 1;
      }
    }
    const { bytes } = await receiver.request(end);
    const nanoseconds = now() - begin;
    const found = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const right = bytes.length === tallyBytes && found.getFloat64(0) === messages * together;
    if (!right || found.getFloat64(8) !== files.sum(messages)) {
      throw new Error("the receiver found something else than was sent");
    }
    report(nanoseconds, messages * together, []);
  }
  await receiver.close();
  files.close();
}

if (role.name === "serve") {
  const tally = new Tally();
  const service = await serve(
    name,
    {
      message: (connection, message) => receive(connection, message, tally),
      close: () => service.close(),
    },
    own,
  );
  ready();
} else {
  await drive();
}
