/**
 * The rows `memory-loan` and `memory-loan-hot`: a message that is written where it is sent from and read where it lies, and
 * a short answer. What is timed is from its commit to the answer in hand; it is filled before that. The server answers with
 * what it finds at both ends. When it is told that the answer is there it compares all of the message, and says so, while the
 * next one is filled: so nothing else is done in a timed trip, even on one processor.
 *
 * Between two trips the driver writes a megabyte, and the server reads one, however short the message is: the rest of it is
 * memory of their own. So their caches are in the same state, and what is compared is the length of messages alone. With the
 * option `hot` there is nothing but the message.
 */

import { basename, dirname } from "node:path";
import { ClientSocket, type ServerConnection, ServerSocket } from "../../src/memory/index.ts";
import { ready } from "./control.ts";
import { Loan } from "./loan.ts";
import { sumOfEnds } from "./pattern.ts";
import { readRole } from "./role.ts";
import { driveLoans } from "./round-trips.ts";

const role = readRole();
const name = basename(role.path);
/** Two of the longest fit, so that one can be filled while the other is compared. */
const options = {
  rundir: dirname(role.path),
  ring: 4 * 1024 * 1024,
  spin: Number(role.options[0]),
};
const isHot = role.options[1] === "hot";
const megabyte = 1024 * 1024;
const word = new Uint8Array(4);
const answer = new DataView(new ArrayBuffer(4));

/** What is written or read beside messages of one length. It moves on as they do in the ring. */
class Beside {
  readonly #memory: Uint8Array;
  readonly #loan: Loan;
  #at = 0;

  constructor(messageBytes: number) {
    this.#loan = new Loan(isHot ? 0 : megabyte - messageBytes, 0);
    this.#memory = new Uint8Array(this.#loan.bytes === 0 ? 0 : options.ring);
    for (let at = 0; at < this.#memory.length; at += megabyte) this.write();
  }

  write(): void {
    if (this.#loan.bytes > 0) this.#loan.fill(this.#next());
  }

  read(): void {
    if (this.#loan.bytes > 0) this.#loan.compare(this.#next());
  }

  #next(): Uint8Array {
    const at = this.#at;
    this.#at = (at + megabyte) % options.ring;
    return this.#memory.subarray(at, at + this.#loan.bytes);
  }
}

const allBesides = new Map<number, Beside>();

function beside(messageBytes: number): Beside {
  const made = allBesides.get(messageBytes) ?? new Beside(messageBytes);
  allBesides.set(messageBytes, made);
  return made;
}

function serve(socket: ServerConnection): void {
  let count = 0;
  for (let message = socket.read(); message; message = socket.read()) {
    answer.setUint32(0, sumOfEnds(message));
    socket.write(answer);
    // The payloads begin anew with each round, which the driver says by a message of one byte.
    if (message.length === 1) count = 0;
    else {
      const hold = socket.hold();
      socket.read();
      new Loan(message.length, count).compare(message);
      hold.release();
      beside(message.length).read();
      count += 1;
      socket.write(word);
    }
  }
}

if (role.name === "serve") {
  const server = new ServerSocket();
  const { promise, resolve } = Promise.withResolvers<ServerConnection>();
  server.onConnection = resolve;
  await server.listen(name, options);
  ready();
  serve(await promise);
  await server.close();
} else {
  const client = new ClientSocket();
  await client.connect(name, options);
  const read = () => {
    const found = client.read();
    if (!found) throw new Error("the server is gone");
    return new DataView(found.buffer, found.byteOffset).getUint32(0);
  };
  driveLoans({
    begin() {
      client.write(word.subarray(0, 1));
      read();
    },
    fill(loan) {
      const room = client.reserve(loan.bytes);
      if (room === undefined) throw new Error("there is no room");
      loan.fill(room);
      beside(loan.bytes).write();
    },
    trip() {
      client.commit();
      return read();
    },
    after: () => client.write(word),
    settle: read,
  });
  await client.close();
}
