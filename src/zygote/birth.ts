/**
 * What happens in a clone before its module's `serve`, and when its connection has ended.
 *
 *     forked on request    particulars are read ─▶ limits, certificate ─▶ loop, connection ─▶ serve
 *     forked ahead         loop, connection ─▶ particulars come as a message ─▶ serve
 *                                                 └─ with limits: loop ends ─▶ limits, certificate ─▶ loop, connection ─▶ serve
 *
 * Some limits are those of a thread, and a loop has one: it is not there while they are applied.
 */

import { connect } from "../ipc/connect.ts";
import type { Connection } from "../ipc/connection.ts";
import { Descriptor } from "../ipc/descriptor.ts";
import { endLoop, loop } from "../ipc/loop.ts";
import { constants } from "../native/layout.ts";
import { applyLimits, otherThreads, readCertificate } from "../native/zygote.ts";
import { renewIdentity } from "./identity.ts";
import { isLimited } from "./limits.ts";
import type { Particulars } from "./particulars.ts";
import {
  decodeParticulars,
  encodeParticulars,
  readParticulars,
  writeFrame,
} from "./particulars.ts";
import type { ServiceModule } from "./service-module.ts";
import { trial } from "./trial.ts";

export type Birth = {
  module: ServiceModule;
  /** Its end of the connection. */
  connection: number;
  /** Made before it is known what for, and has time to be ready for whatever it is. */
  ahead: boolean;
  graceMs: number;
  /** Called with the code to end with. */
  leave(code: number): void;
};

/** Resolves when `serve` has returned; the process goes on until the connection has ended. */
export async function live({ module, connection, ahead, graceMs, leave }: Birth): Promise<void> {
  const begun = ahead ? await beginAhead(connection) : await begin(connection);
  // The owner has changed its mind, or is gone.
  if (begun === undefined) return leave(0);
  const { link, particulars, descriptors } = begun;
  const served = Promise.withResolvers<void>();
  void link.ended.then(async () => {
    // Who serves may have something to put in order, and has a while for it.
    await Promise.race([served.promise, Bun.sleep(graceMs)]);
    leave(0);
  });
  if (particulars.trial) {
    await trial(link);
  } else {
    await module.serve(link, {
      descriptors: descriptors.map((number) => new Descriptor(number)),
      arguments: particulars.arguments,
    });
  }
  served.resolve();
}

type Begun = { particulars: Particulars; descriptors: number[]; link: Connection };

/** Hears what it is for, becomes that, and says so. Undefined if that is not to be, or nobody is there any more. */
async function begin(connection: number): Promise<Begun | undefined> {
  const found = readParticulars(connection);
  if (found === undefined) return undefined;
  if (!certify(connection, found.particulars)) return undefined;
  return { ...found, link: await open(connection) };
}

/** The same when all is there but what it is for. */
async function beginAhead(connection: number): Promise<Begun | undefined> {
  const link = await open(connection);
  const arrival = link[Symbol.asyncIterator]().next();
  // Bun's loop has nothing to do meanwhile, and by way of it the news would be later.
  loop().poll(Infinity);
  const { value: message } = await arrival;
  if (message === undefined) return undefined;
  const particulars = decodeParticulars(message.bytes);
  const descriptors = message.descriptors.map((descriptor) => descriptor.take());
  if (!isLimited(particulars.limits)) {
    if (particulars.certified) link.send(applyLimits(particulars.limits));
    return { particulars, descriptors, link };
  }
  const socket = link.detach();
  if (socket === undefined) return undefined;
  await link.ended;
  await beAlone();
  const number = socket.take();
  if (!certify(number, particulars)) return undefined;
  return { particulars, descriptors, link: await open(number) };
}

/** False if it cannot be what it is to be, or nobody is there to be told. */
function certify(connection: number, { certified, limits }: Particulars): boolean {
  if (!certified) return true;
  const certificate = applyLimits(limits);
  const isFine = readCertificate(certificate).code === 0;
  return writeFrame(connection, certificate) && isFine;
}

function open(connection: number): Promise<Connection> {
  return connect("owner", {
    descriptor: connection,
    descriptors: { max: constants.descriptors_max },
  });
}

/** Ends the loop, and waits until its thread is gone. */
async function beAlone(): Promise<void> {
  endLoop();
  while (otherThreads().length > 0) await Bun.sleep(1);
}

/**
 * Enough for the code to be there that each clone needs first, by either way. After many more it would have been compiled
 * for speed, and its clones write to more pages.
 */
const rehearsals = 4;

/**
 * Does what a clone does first, so that what this needs is compiled before the fork, and once for all clones. Leaves the
 * process without the thread of a context.
 */
export async function rehearse(rounds = rehearsals): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    renewIdentity(process.pid);
    await rehearseOnce(round % 2 === 1);
    endLoop();
  }
  // What a context leaves to Bun's loop is done when that has come round.
  await Bun.sleep(1);
}

/** Has a clone that was made ahead come by pages of its own where it will write. Its loop is there from then on. */
export async function rehearseAhead(): Promise<void> {
  await rehearseOnce(true);
}

async function rehearseOnce(ahead: boolean): Promise<void> {
  const [own, other] = loop().context.pair();
  const left = Promise.withResolvers<void>();
  const owner = await connect("rehearsal", { descriptor: other });
  owner.send(particularsOfNothing());
  // It is read while nothing else goes on.
  loop().context.flush();
  void live({
    module: echo,
    connection: own.take(),
    ahead,
    graceMs: 0,
    leave: () => left.resolve(),
  });
  await owner.request("who is there?");
  await owner.close();
  await left.promise;
}

function particularsOfNothing(): Uint8Array {
  return encodeParticulars({ limits: {}, arguments: undefined, trial: false, certified: false });
}

const echo: ServiceModule = {
  async serve(connection) {
    for await (const message of connection) connection.send(message.bytes);
  },
};
