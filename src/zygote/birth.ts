/** What happens in a clone before its module's `serve`, and when its connection has ended. */

import { connect } from "../ipc/connect.ts";
import { Descriptor } from "../ipc/descriptor.ts";
import { endLoop, loop } from "../ipc/loop.ts";
import { constants } from "../native/layout.ts";
import { applyLimits, readCertificate } from "../native/zygote.ts";
import { renewIdentity } from "./identity.ts";
import { encodeParticulars, readParticulars, writeFrame } from "./particulars.ts";
import type { ServiceModule } from "./service-module.ts";
import { trial } from "./trial.ts";

export type Birth = {
  module: ServiceModule;
  /** Its end of the connection. */
  connection: number;
  graceMs: number;
  /** Called with the code to end with. */
  leave(code: number): void;
};

/** Resolves when `serve` has returned; the process goes on until the connection has ended. */
export async function live({ module, connection, graceMs, leave }: Birth): Promise<void> {
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

/** Hears what it is for, becomes that, and says so. Undefined if that is not to be, or nobody is there any more. */
async function begin(connection: number) {
  const found = readParticulars(connection);
  if (found === undefined) return undefined;
  const certificate = applyLimits(found.particulars.limits);
  const isFine = readCertificate(certificate).code === 0;
  if (!writeFrame(connection, certificate) || !isFine) return undefined;
  const link = await connect("owner", {
    descriptor: connection,
    descriptors: { max: constants.descriptors_max },
  });
  return { ...found, link };
}

/**
 * Enough for the code to be there that each clone needs first. After many more it would have been compiled for speed, and
 * its clones write to more pages.
 */
const rehearsals = 3;

/**
 * Does what a clone does first, so that what this needs is compiled before the fork, and once for all clones. Leaves the
 * process without the thread of a context.
 */
export async function rehearse(rounds = rehearsals): Promise<void> {
  const particulars = encodeParticulars({ limits: {}, arguments: undefined, trial: false });
  for (let round = 0; round < rounds; round += 1) {
    renewIdentity(process.pid);
    const [own, other] = loop().context.pair();
    const left = Promise.withResolvers<void>();
    const owner = await connect("rehearsal", { descriptor: other });
    const certified = owner.request(particulars);
    // It is read while nothing else goes on.
    loop().context.flush();
    void live({
      module: echo,
      connection: own.take(),
      graceMs: 0,
      leave: () => left.resolve(),
    });
    await certified;
    await owner.request("who is there?");
    await owner.close();
    await left.promise;
    endLoop();
  }
  // What a context leaves to Bun's loop is done when that has come round.
  await Bun.sleep(1);
}

const echo: ServiceModule = {
  async serve(connection) {
    for await (const message of connection) connection.send(message.bytes);
  },
};
