/** The address of a TCP socket, and its native shape. */

import { isIPv4, isIPv6 } from "node:net";
import { IpcError } from "../native/errors.ts";
import { Address as Layout } from "../native/layout.ts";
import { Struct } from "../native/struct.ts";
import { textOf, whole } from "./numbers.ts";

/** Numbers: names are looked up by whoever has them. IPv6 has no brackets. */
export type InternetAddress = { readonly host: string; readonly port: number };

const [bytesAt] = Layout.fields.bytes;
const hostShownMax = 64;

/** @internal Throws EINVAL for what is no address. */
export function nativeAddress({ host, port }: InternetAddress): Struct<typeof Layout> {
  whole("port", port, 0, 65_535);
  const record = new Struct(Layout).set("port", port);
  const [number = "", zone] = textOf("host", host).split("%", 2);
  if (isIPv4(number) && zone === undefined) {
    record.set("family", 4).bytes.set(number.split(".").map(Number), bytesAt);
  } else if (isIPv6(number)) {
    record.set("family", 6).set("scope", scopeOf(zone)).bytes.set(bytesOf(number), bytesAt);
  } else {
    throw invalid(host, "an IP address, as a number (look names up first)");
  }
  return record;
}

function scopeOf(zone: string | undefined): number {
  if (zone === undefined) return 0;
  const scope = /^[0-9]{1,10}$/.test(zone) ? Number(zone) : 0;
  if (scope >= 1 && scope < 2 ** 31) return scope;
  throw invalid(zone, "the number of an interface, from 1 on", "the zone of host");
}

/** A host may come from anywhere, and be of any length. */
function invalid(given: string, what: string, name = "host"): IpcError {
  const said = given.length > hostShownMax ? `${given.slice(0, hostShownMax)}…` : given;
  return new IpcError("EINVAL", `EINVAL: ${name} is ${JSON.stringify(said)}; it is ${what}`);
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
