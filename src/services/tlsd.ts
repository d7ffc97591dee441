/**
 * tlsd: carries services over TLS 1.3. Remotes who connect are bound to the service that they name; lookups of `tls://`
 * are led to services of other machines, which show by a certificate that they are who the URI names.
 */

import { createSecureContext, getCACertificates } from "node:tls";
import type { Carrier } from "./daemon/carrier.ts";
import { carrierOptions, checkCarrier, startCarrier, unusedByCarriers } from "./daemon/carrier.ts";
import { relay, streamOf } from "./daemon/relay.ts";
import type { Values } from "./option.ts";
import { flag, repeated, text, UsageError } from "./option.ts";
import type { Startable } from "./startable.ts";
import type { Identity } from "./tlsd/credentials.ts";
import { readCertificates, readIdentity, untimely } from "./tlsd/credentials.ts";
import { dialTls } from "./tlsd/dialing.ts";
import { listenTls } from "./tlsd/listener.ts";
import { version } from "./tlsd/protocol.ts";

const options = {
  ...carrierOptions,
  cert: text("FILE", "the certificate shown to remotes, and those that lead to its authority"),
  key: text("FILE", "the key to it, which nobody else may read"),
  "client-ca": repeated(
    text("FILE", "remotes need a certificate of an authority in here; without one they need none"),
  ),
  "client-cert-optional": flag("with --client-ca: those with no certificate at all may come too"),
  ca: repeated(
    text("FILE", "who is looked up has a certificate of an authority in here, not of the system's"),
  ),
  "client-cert": text("FILE", "the certificate shown to who is looked up, if they want one"),
  "client-key": text("FILE", "the key to it, which nobody else may read"),
} as const;

export const service: Startable<typeof options> = {
  summary: "carries services over TLS 1.3, and leads to those of other machines",
  name: "tls",
  unused: unusedByCarriers,
  options,
  start(how, own) {
    checkCarrier(own, how);
    const identity = identityOf(own, "cert", "key");
    const late = identity && untimely(identity);
    if (late !== undefined) how.complain(`--cert ${own.cert}`, late, "cert");
    if (own.listen !== undefined && identity === undefined) {
      throw new UsageError("--listen needs the --cert and --key that remotes are shown");
    }
    if (own["client-cert-optional"] === true && own["client-ca"].length === 0) {
      throw new UsageError("--client-cert-optional says of whom: give a --client-ca");
    }
    const clientAuthorities = own["client-ca"].map(readCertificates);
    const authorities = own.ca.map(readCertificates);
    const context = createSecureContext({
      ...identityOf(own, "client-cert", "client-key"),
      ca: authorities.length > 0 ? authorities : getCACertificates("system"),
      minVersion: version,
    });
    const carrier: Carrier = {
      scheme: "tls",
      listen: (address, remotes, { handshakeMs }) =>
        listenTls(address, remotes, {
          identity: identity!,
          clientAuthorities,
          clientOptional: own["client-cert-optional"] === true,
          handshakeMs,
        }),
      reach: (timeoutMs) => async (uri, signal) => {
        const remote = await dialTls(uri, context, timeoutMs, signal);
        return {
          drop: () => void remote.destroy(),
          async join(client) {
            await relay(streamOf(client), remote).ended;
          },
        };
      },
    };
    return startCarrier(carrier, how, own);
  },
};

/** Both halves, or none. */
function identityOf(
  own: Values<typeof options>,
  cert: "cert" | "client-cert",
  key: "key" | "client-key",
): Identity | undefined {
  const { [cert]: certPath, [key]: keyPath } = own;
  if (certPath === undefined && keyPath === undefined) return undefined;
  if (certPath !== undefined && keyPath !== undefined) return readIdentity(certPath, keyPath);
  throw new UsageError(`--${cert} and --${key} go together`);
}
