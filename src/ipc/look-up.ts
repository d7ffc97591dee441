/** How ipcd is asked for a service elsewhere on Bun's event loop. */

import type { connect } from "./connect.ts";
import type { Descriptor } from "./descriptor.ts";
import type { LookUpOptions } from "./elsewhere.ts";
import {
  askingOptions,
  framed,
  ledTo,
  lookUpTimeoutMs,
  noAnswer,
  noWay,
  requestFor,
  withoutIpcd,
} from "./elsewhere.ts";
import { Answer, lookupService } from "./lookup.ts";
import { patience } from "./numbers.ts";

/** A connection to `name`; ipcd is reached by `connecting`. Rejects with ENETWORK and ipcd's reason, ETIMEDOUT, or the signal's reason. */
export async function lookUp(
  connecting: typeof connect,
  name: string,
  options: LookUpOptions & { signal?: AbortSignal | undefined },
): Promise<Descriptor> {
  const { signal } = options;
  const timeout = patience("timeout", options.timeout ?? lookUpTimeoutMs);
  const answer = new Answer();
  const { promise, resolve, reject } = Promise.withResolvers<Descriptor>();
  const ipcd = await connecting(lookupService, {
    ...askingOptions(options),
    signal,
    message(_connection, { bytes, descriptors }) {
      if (answer.hear(bytes)) resolve(ledTo(name, descriptors));
    },
    error: (_connection, error) => reject(error),
    close: () => reject(signal?.aborted === true ? signal.reason : noWay(name, answer.error)),
  }).catch((error: unknown) => {
    throw withoutIpcd(name, error);
  });
  const late =
    timeout === undefined ? undefined : setTimeout(() => reject(noAnswer(name, timeout)), timeout);
  try {
    if (ipcd.open) ipcd.send(framed(requestFor(name, options)));
    return await promise;
  } finally {
    clearTimeout(late);
    void ipcd.close({ now: true });
  }
}
