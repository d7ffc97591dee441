/** How a TCP connection comes to be: begun, and there or not some time later. */

import { getSystemErrorName } from "node:util";
import { IpcError } from "../native/errors.ts";
import { EventType } from "../native/layout.ts";
import type { Deadline } from "./deadline.ts";
import type { Event } from "./event.ts";
import type { InternetAddress } from "./internet-address.ts";
import type { Limits } from "./limits.ts";
import { loop } from "./loop.ts";

export type DialOptions = Limits & {
  signal?: AbortSignal | undefined;
};

/** The handle of a connection that is there. Rejects with ECONNREFUSED, EUNKNOWN, ETIMEDOUT, or the signal's reason. */
export function dial(
  name: string,
  address: InternetAddress,
  options: DialOptions,
  deadline: Deadline,
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const { signal } = options;
  signal?.throwIfAborted();
  const current = loop();
  const handle = current.context.dial(address, options);
  const settle = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    current.remove(handle);
  };
  const giveUp = (error: unknown) => {
    settle();
    current.turnAway(handle);
    reject(error);
  };
  const abort = () => giveUp(signal?.reason);
  const timer = deadline.expire((timeout) => giveUp(late(name, address, timeout)));
  signal?.addEventListener("abort", abort);
  current.add(handle, {
    onSent: () => undefined,
    onEvent(event) {
      settle();
      if (event.type === EventType.Connection) resolve(handle);
      else reject(unreachable(name, address, event));
    },
  });
  return promise;
}

const shown = ({ host, port }: InternetAddress) => `${host} port ${port}`;

function late(service: string, address: InternetAddress, timeout: number): IpcError {
  return new IpcError(
    "ETIMEDOUT",
    `ETIMEDOUT: ${shown(address)} did not answer within ${timeout} ms`,
    { service },
  );
}

function unreachable(service: string, address: InternetAddress, { errno }: Event): IpcError {
  const said = getSystemErrorName(-errno);
  const code = said === "ECONNREFUSED" ? said : "EUNKNOWN";
  const why = said === "ECONNREFUSED" ? "nobody listens there" : `the system said ${said}`;
  return new IpcError(code, `${code}: no connection to ${shown(address)}: ${why}`, {
    service,
    errno: -errno,
    syscall: "connect",
  });
}
