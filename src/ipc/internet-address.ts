/** The address of a TCP socket, and its native shape. */

import { isIPv4, isIPv6 } from "node:net";
import { IpcError } from "../native/errors.ts";
import { Address as Layout } from "../native/layout.ts";
import { Struct } from "../native/struct.ts";
import { whole } from "./numbers.ts";

/** Numbers: names are looked up by whoever has them. IPv6 has no brackets. */
export type InternetAddress = { readonly host: string; readonly port: number };

const [bytesAt] = Layout.fields.bytes;

/** @internal Throws EINVAL for what is no address. */
export function nativeAddress({ host, port }: InternetAddress): Struct<typeof Layout> {
  whole("port", port, 0, 65_535);
  const record = new Struct(Layout).set("port", port);
  const [number = "", zone] = host.split("%", 2);
  if (isIPv4(number) && zone === undefined) {
    record.set("family", 4).bytes.set(number.split(".").map(Number), bytesAt);
  } else if (isIPv6(number)) {
    record.set("family", 6).set("scope", scopeOf(zone)).bytes.set(bytesOf(number), bytesAt);
  } else {
    throw new IpcError("EINVAL", `EINVAL: host is ${JSON.stringify(host)}; it is an IP address`);
  }
  return record;
}

function scopeOf(zone: string | undefined): number {
  return zone === undefined ? 0 : whole("the zone of host", Number(zone), 1, 2 ** 31 - 1);
}

/** The sixteen bytes of an IPv6 number, which a URL has in one form only (WHATWG URL, "host serializer"). */
function bytesOf(number: string): number[] {
  const [head = "", tail] = new URL(`http://[${number}]`).hostname.slice(1, -1).split("::");
  const words = (part: string | undefined) =>
    part === undefined || part === ""
      ? []
      : part.split(":").map((word) => Number.parseInt(word, 16));
  const front = words(head);
  const back = words(tail);
  const zeros = new Array<number>(8 - front.length - back.length).fill(0);
  return [...front, ...zeros, ...back].flatMap((word) => [word >> 8, word & 0xff]);
}

/** @internal */
export function readAddress(record: Struct<typeof Layout>): InternetAddress {
  const bytes = record.bytes.subarray(bytesAt, bytesAt + 16);
  const port = record.get("port");
  if (record.get("family") === 4) return { host: [...bytes.subarray(0, 4)].join("."), port };
  const words = Array.from({ length: 8 }, (_, at) =>
    ((bytes[2 * at]! << 8) | bytes[2 * at + 1]!).toString(16),
  );
  const number = new URL(`http://[${words.join(":")}]`).hostname.slice(1, -1);
  const scope = record.get("scope");
  return { host: scope === 0 ? number : `${number}%${scope}`, port };
}
