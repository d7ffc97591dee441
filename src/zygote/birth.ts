/**
 * What happens in a clone before its module's `serve`, and when its connection has ended.
 *
 *     before the fork: a loop, and a connection without a socket
 *     in the clone: the socket ─▶ particulars, as its first message ─▶ serve
 *                                   └─ with limits: the loop ends ─▶ limits, certificate ─▶ loop, connection ─▶ serve
 *
 * Some limits are those of a thread, and a loop may have one: it is not there while they are applied.
 */

import type { ConnectOptions } from "../ipc/connect.ts";
import { attachSocket, connect, unattached } from "../ipc/connect.ts";
import type { Connection } from "../ipc/connection.ts";
import { Descriptor } from "../ipc/descriptor.ts";
import { beginLoop, endLoop, loop } from "../ipc/loop.ts";
import { constants } from "../native/layout.ts";
import { Struct } from "../native/struct.ts";
import { applyLimits, otherThreads, readCertificate } from "../native/zygote.ts";
import { ZygoteCertificate } from "../native/zygote-layout.ts";
import { renewIdentity } from "./identity.ts";
import { isLimited } from "./limits.ts";
import type { Particulars } from "./particulars.ts";
import {
  decodeParticulars,
  encodeParticulars,
  particularsBytesMax,
  writeFrame,
} from "./particulars.ts";
import type { ServiceModule } from "./service-module.ts";
import { trial } from "./trial.ts";

const connecting: ConnectOptions = { descriptors: { max: constants.descriptors_max } };
/** An owner is trusted with what it may tell. */
const heard: ConnectOptions = { ...connecting, messageBytesMax: particularsBytesMax };

/** What a clone has when it begins, but for its socket. There is no thread to it. */
export type Unborn = {
  connection: Connection;
  /** What its loop will be woken by: both ends. */
  bell: readonly [number, number];
};

export async function unborn(): Promise<Unborn> {
  return { bell: await beginLoop(), connection: unattached("owner", connecting) };
}

export type Birth = {
  module: ServiceModule;
  /** Without a socket. */
  connection: Connection;
  /** Its end of the connection. */
  socket: number;
  /** It says that it is ready before it is told what for. */
  ahead: boolean;
  graceMs: number;
  /** Called with the code to end with. */
  leave(code: number): void;
};

/** Resolves when `serve` has returned; the process goes on until the connection has ended. */
export async function live(birth: Birth): Promise<void> {
  const { module, connection, graceMs, leave } = birth;
  attachSocket(connection, birth.socket, heard);
  if (birth.ahead) sayReady(connection);
  const begun = await begin(connection);
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

/** By what nobody takes for a certificate. */
function sayReady(connection: Connection): void {
  connection.send("");
  loop().context.flush();
}

type Begun = { particulars: Particulars; descriptors: number[]; link: Connection };

/** Hears what it is for, becomes that, and says so. Undefined if that is not to be, or nobody is there any more. */
async function begin(link: Connection): Promise<Begun | undefined> {
  const arrival = link[Symbol.asyncIterator]().next();
  // Bun's loop has nothing to do meanwhile, and by way of it the news would be later.
  loop().poll(Infinity);
  const { value: message } = await arrival;
  if (message === undefined) return undefined;
  const particulars = decodeParticulars(message.bytes);
  const descriptors = message.descriptors.map((descriptor) => descriptor.take());
  if (isLimited(particulars.limits)) return await limit(link, particulars, descriptors);
  if (particulars.certified) {
    // Its owner has changed its mind.
    if (!link.open) return undefined;
    link.send(unlimited);
    // He goes on while it is served.
    loop().context.flush();
  }
  return { particulars, descriptors, link };
}

/** The certificate of one that has nothing to give up. */
const unlimited = new Struct(ZygoteCertificate).bytes;

async function limit(
  first: Connection,
  particulars: Particulars,
  descriptors: number[],
): Promise<Begun | undefined> {
  const { uid, gid, noNetwork } = particulars.limits;
  const isSomebodyElse = uid !== undefined || gid !== undefined;
  if (!loop().context.hasThread && !isSomebodyElse) {
    const certificate = applyLimits(particulars.limits);
    first.send(certificate);
    loop().context.flush();
    return readCertificate(certificate).code === 0
      ? { particulars, descriptors, link: first }
      : undefined;
  }
  const socket = first.detach();
  if (socket === undefined) return undefined;
  await first.ended;
  endLoop();
  if (noNetwork === true) await beAlone();
  const certificate = applyLimits(particulars.limits);
  const number = socket.take();
  const isFine = readCertificate(certificate).code === 0;
  if (!writeFrame(number, certificate) || !isFine) return undefined;
  const { connection: link } = await unborn();
  attachSocket(link, number, heard);
  return { particulars, descriptors, link };
}

/** A thread that has ended is there for a moment more. */
const threadEndsMs = 1000;

/** Only a process without threads can have a network of its own without the rights of root. */
async function beAlone(): Promise<void> {
  const until = Bun.nanoseconds() + threadEndsMs * 1e6;
  while (otherThreads().length > 0 && Bun.nanoseconds() < until) await Bun.sleep(1);
}

/**
 * Enough for the code to be there that each clone needs first. After many more it would have been compiled for speed, and
 * its clones write to more pages.
 */
const rehearsals = 4;

/**
 * Does what a clone does first, so that what this needs is compiled before the fork, and once for all clones. Leaves the
 * process without a loop, and so without the thread of one. Throws what the module does.
 */
export async function rehearse(module: ServiceModule, rounds = rehearsals): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    renewIdentity(process.pid);
    await rehearseOnce(module);
    endLoop();
  }
  // What a context leaves to Bun's loop is done when that has come round.
  await Bun.sleep(1);
}

/** Has a clone that was made ahead come by pages of its own where it will write. */
export async function rehearseOnce(module: ServiceModule): Promise<void> {
  const { connection } = await unborn();
  const [own, other] = loop().context.pair();
  const left = Promise.withResolvers<void>();
  const owner = await connect("rehearsal", { descriptor: other });
  owner.send(particularsOfNothing());
  // It is read while nothing else goes on.
  loop().context.flush();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  void live({
    module: module.rehearse === undefined ? echo : module,
    connection,
    socket: own.take(),
    ahead: false,
    graceMs: 0,
    leave: () => left.resolve(),
  }).catch(failed.reject);
  await Promise.race([failed.promise, (module.rehearse ?? ask)(owner)]);
  await owner.close();
  await Promise.race([failed.promise, left.promise]);
}

function particularsOfNothing(): Uint8Array {
  return encodeParticulars({ limits: {}, arguments: undefined, trial: false, certified: false });
}

async function ask(owner: Connection): Promise<void> {
  await owner.request("who is there?");
}

const echo: Required<Pick<ServiceModule, "serve">> = {
  async serve(connection) {
    for await (const message of connection) connection.send(message.bytes);
  },
};
