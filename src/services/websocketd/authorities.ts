/** Who vouches for the certificates of `wss` remotes: those that Bun trusts anyway, and those of each `--ca`. */

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import type { Option } from "../option.ts";
import { UsageError } from "../option.ts";

const certificates = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** What stands in such a file, in PEM. */
export const authority: Option<readonly string[]> = {
  placeholder: "FILE",
  help: "trust the authorities in this file as well (PEM), for wss",
  read(path) {
    const found = readCertificates(path);
    if (found.length > 0) return found;
    throw new UsageError(`there is no certificate in ${JSON.stringify(path)} (PEM)`);
  },
};

function readCertificates(path: string): string[] {
  try {
    const found = readFileSync(path, "utf8").match(certificates) ?? [];
    for (const one of found) new X509Certificate(one);
    return found;
  } catch (error) {
    throw new UsageError(`${JSON.stringify(path)} cannot be used: ${(error as Error).message}`);
  }
}

/** Undefined where there are no others than usual. */
export function authorities(added: readonly (readonly string[])[]): string[] | undefined {
  if (added.length === 0) return undefined;
  return [...getCACertificates("default"), ...added.flat()];
}
