/** Where a daemon listens, or a remote is: HOST:PORT. */

import { isIPv4 } from "node:net";
import type { Option } from "../option.ts";
import { UsageError } from "../option.ts";

export type Address = {
  /** A name or a number, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
};

const portMax = 65_535;

/** Undefined if it is none. An IPv6 number stands in brackets, as in `[::1]:80`. */
function parseAddress(text: string): Address | undefined {
  const found = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([^\s:/@[\]]+)):([0-9]{1,5})$/.exec(text);
  if (found === null) return undefined;
  const port = Number(found[3]);
  return port > portMax ? undefined : { host: (found[1] ?? found[2])!, port };
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** An address of IPv4 as one, whatever socket it came by: one for IPv6 has it in a form of its own (RFC 4291, 2.5.5.2). */
export function unmapped({ host, port }: Address): Address {
  const inner = /^::ffff:(.*)$/i.exec(host)?.[1] ?? "";
  return { host: isIPv4(inner) ? inner : host, port };
}

export function address(help: string): Option<Address> {
  return {
    placeholder: "HOST:PORT",
    help,
    read(given) {
      const found = parseAddress(given);
      if (found !== undefined) return found;
      throw new UsageError(
        `"${given}" is no HOST:PORT, such as 127.0.0.1:9000, localhost:9000 or [::1]:9000`,
      );
    },
  };
}
