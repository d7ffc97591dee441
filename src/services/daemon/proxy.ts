/**
 * The header of the PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt, section 2.2), which tells a service who is
 * at the other end of what a daemon passes on:
 *
 *     | signature, 12 bytes | 0x21: version 2, PROXY | family and TCP | length | source | destination | two ports |
 */

import type { InternetAddress } from "../../ipc/internet-address.ts";
import { nativeAddress } from "../../ipc/internet-address.ts";
import { Address as Layout } from "../../native/layout.ts";

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const versionAndCommand = 0x21;
const tcpOver4 = 0x11;
const tcpOver6 = 0x21;

const [bytesAt] = Layout.fields.bytes;

/** Both addresses are of one family, being those of the two ends of one connection. */
export function proxyHeader(source: InternetAddress, destination: InternetAddress): Uint8Array {
  const is4 = nativeAddress(source).get("family") === 4;
  const length = is4 ? 4 : 16;
  const numberOf = (address: InternetAddress) =>
    nativeAddress(address).bytes.subarray(bytesAt, bytesAt + length);
  const header = Buffer.alloc(signature.length + 4 + 2 * length + 4);
  signature.copy(header);
  header[12] = versionAndCommand;
  header[13] = is4 ? tcpOver4 : tcpOver6;
  header.writeUInt16BE(2 * length + 4, 14);
  header.set(numberOf(source), 16);
  header.set(numberOf(destination), 16 + length);
  header.writeUInt16BE(source.port, 16 + 2 * length);
  header.writeUInt16BE(destination.port, 18 + 2 * length);
  return header;
}
