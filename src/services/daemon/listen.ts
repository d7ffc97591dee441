/** Beginning to listen at an address, whose host may be a name, and saying what is wrong with it. */

import { lookup } from "node:dns/promises";
import { loop } from "../../ipc/loop.ts";
import type { Address } from "./address.ts";
import { formatAddress } from "./address.ts";

const reasons: Record<string, string> = {
  EADDRINUSE: "somebody listens there already",
  EADDRNOTAVAIL: "it is no address of this machine",
  EACCES: "it is not allowed; ports below 1024 are for root, mostly",
  EAFNOSUPPORT: "this machine does not speak that kind of address",
};

/**
 * What `listen` makes of the address, whose host is then a number: the first that the system names. Rejects with an
 * error in the shape of Node's, which says where it was and what is wrong.
 */
export async function listenAt<Value>(
  address: Address,
  listen: (at: Address) => Value | Promise<Value>,
): Promise<Value> {
  // What everybody needs who is let in is there before anybody comes: later no descriptor may be left to load it with.
  loop();
  const at = await resolve(address);
  try {
    return await listen(at);
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    throw failure(error, `cannot listen at ${formatAddress(address)}: ${reasons[code] ?? message}`);
  }
}

async function resolve({ host, port }: Address): Promise<Address> {
  try {
    return { host: (await lookup(host)).address, port };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw failure(error, `"${host}" leads to no address (${code}); is it spelled right?`);
  }
}

function failure(cause: unknown, text: string): Error {
  const { code, syscall = "listen" } = cause as NodeJS.ErrnoException;
  // What is no error of the system is a mistake of ours, and is shown as one.
  if (code === undefined) return cause as Error;
  return Object.assign(new Error(text, { cause }), { code, syscall });
}
