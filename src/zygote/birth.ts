/** What happens in a clone before its module's `serve`, and when its connection has ended. */

import { connect } from "../ipc/connect.ts";
import { Descriptor } from "../ipc/descriptor.ts";
import { constants } from "../native/layout.ts";
import { applyLimits, certificateBytes, readCertificate } from "../native/zygote.ts";
import { readParticulars, writeFrame } from "./particulars.ts";
import type { ServiceModule } from "./service-module.ts";
import { trial } from "./trial.ts";

export type Birth = {
  module: ServiceModule;
  /** Its end of the connection. */
  connection: number;
  graceMs: number;
};

/** Resolves when `serve` was called; the process goes on until the connection has ended. */
export async function live({ module, connection, graceMs }: Birth): Promise<void> {
  const found = readParticulars(connection);
  if (found === undefined) process.exit(0);
  const { particulars, descriptors } = found;
  const certificate = applyLimits(particulars.limits);
  const isFine = readCertificate(certificate.subarray(0, certificateBytes)).code === 0;
  if (!writeFrame(connection, certificate) || !isFine) process.exit(isFine ? 0 : 1);
  const link = await connect("owner", {
    descriptor: connection,
    descriptors: { max: constants.descriptors_max },
  });
  const served = Promise.withResolvers<void>();
  void link.ended.then(async () => {
    // Who serves may have something to put in order, and has a while for it.
    await Promise.race([served.promise, Bun.sleep(graceMs)]);
    process.exit();
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
