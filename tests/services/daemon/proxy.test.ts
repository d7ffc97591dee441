/** The PROXY header, against vectors written from the layout of its specification. */

import { expect, test } from "bun:test";
import { proxyHeader } from "../../../src/services/daemon/proxy.ts";
import vectors from "../../vectors/proxy.json";

test.each(vectors)("$name", ({ source, destination, bytes }) => {
  expect(Buffer.from(proxyHeader(source, destination)).toString("hex")).toBe(
    bytes.replaceAll(" ", ""),
  );
});
