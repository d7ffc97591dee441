/** How ipcd is asked for a service elsewhere on Bun's event loop. */

import type { connect } from "./connect.ts";
import type { Deadline } from "./deadline.ts";
import type { Descriptor } from "./descriptor.ts";
import type { LookUpOptions } from "./elsewhere.ts";
import { askingOptions, Finding, framed, noAnswer, requestFor, withoutIpcd } from "./elsewhere.ts";
import { lookupService } from "./lookup.ts";

/**
 * A connection to `name`; ipcd is reached by `connecting`. Rejects with ENETWORK and ipcd's reason, ETIMEDOUT, or the
 * signal's reason.
 */
export async function lookUp(
  connecting: typeof connect,
  name: string,
  options: LookUpOptions & { signal?: AbortSignal | undefined },
  deadline: Deadline,
): Promise<Descriptor> {
  const { signal } = options;
  using finding = new Finding(name);
  const { promise, resolve, reject } = Promise.withResolvers<Descriptor>();
  // It may be rejected before it is waited for.
  promise.catch(() => undefined);
  let isOver = false;
  const ipcd = await connecting(lookupService, {
    ...askingOptions(options, deadline.left),
    signal,
    message(_connection, message) {
      if (isOver) return;
      const found = finding.hear(message);
      if (found === undefined) return;
      isOver = true;
      resolve(found);
    },
    error: (_connection, error) => reject(error),
    close: () => reject(signal?.aborted === true ? signal.reason : finding.error),
  }).catch((error: unknown) => {
    throw withoutIpcd(name, error);
  });
  const late = deadline.expire((timeout) => reject(noAnswer(name, timeout)));
  try {
    if (ipcd.open) ipcd.send(framed(requestFor(name, options)));
    return await promise;
  } finally {
    isOver = true;
    clearTimeout(late);
    void ipcd.close({ now: true });
  }
}
