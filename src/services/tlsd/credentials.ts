/** Certificates and keys from files, as they are when tlsd starts: each is looked at then, and not when a remote comes. */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { whyNot } from "../daemon/way.ts";
import { UsageError } from "../option.ts";

/** A certificate and those that lead from it to an authority, and the key to it; in PEM. */
export type Identity = { readonly cert: string; readonly key: string };

export function readIdentity(certPath: string, keyPath: string): Identity {
  const cert = readCertificates(certPath);
  const key = readKey(keyPath);
  const matches = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  if (!matches) throw new UsageError(`the key in ${keyPath} is not that of ${certPath}`);
  return { cert, key };
}

/** What keeps remotes from trusting it at this time, if anything does: its own certificate is the first. */
export function untimely({ cert }: Identity, now = Date.now()): string | undefined {
  const { validFrom, validTo } = new X509Certificate(cert);
  if (now < Date.parse(validFrom)) return `is not valid before ${validFrom}`;
  if (now > Date.parse(validTo)) return `has expired on ${validTo}`;
  return undefined;
}

/** At least one, in PEM. */
export function readCertificates(path: string): string {
  const pem = read(path, () => undefined);
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0) throw new UsageError(`${path}: there is no certificate in it (PEM)`);
  for (const one of found)
    attempt(path, "a certificate in it cannot be read", () => new X509Certificate(one));
  return pem;
}

function readKey(path: string): string {
  const pem = read(path, (descriptor) => checkSecret(path, descriptor));
  attempt(path, "there is no key in it that can be read (PEM, without a password)", () =>
    createPrivateKey(pem),
  );
  return pem;
}

/** A key that others can read is none. A group may, where the system gave it the key: the file is root's then. */
function checkSecret(path: string, descriptor: number): void {
  const { mode, uid } = fstatSync(descriptor);
  const own = process.getuid!();
  if (uid !== own && uid !== 0) {
    throw new UsageError(`${path}: the key is another user's (${uid})`);
  }
  const others = uid === own ? 0o077 : 0o037;
  if ((mode & others) === 0) return;
  const shown = (mode & 0o777).toString(8).padStart(3, "0");
  throw new UsageError(`${path}: others can read the key (mode ${shown}); chmod 600 ${path}`);
}

/** What is looked at and what is read are the same file. */
function read(path: string, check: (descriptor: number) => void): string {
  return attempt(path, undefined, () => {
    const descriptor = openSync(path, "r");
    try {
      check(descriptor);
      return readFileSync(descriptor, "utf8");
    } finally {
      closeSync(descriptor);
    }
  });
}

function attempt<Value>(path: string, what: string | undefined, act: () => Value): Value {
  try {
    return act();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${path}: ${what ?? whyNot(error)}`);
  }
}
