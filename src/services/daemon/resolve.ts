/** The number that the name of a host leads to. */

import { lookup } from "node:dns/promises";
import type { Address } from "./address.ts";

/** The first that the system names, IPv4 or IPv6. Rejects with an error in the shape of Node's, which names the host. */
export async function resolve({ host, port }: Address): Promise<Address> {
  try {
    const found = await lookup(host);
    return { host: found.address, port };
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    const text = `"${host}" leads to no address (${code}); is it spelled right?`;
    throw Object.assign(new Error(text, { cause: error }), { code, syscall });
  }
}
