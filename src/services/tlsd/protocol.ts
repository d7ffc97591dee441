/** What tlsd and its peers agree on in the TLS handshake, and what to say when they do not. */

/** The application protocol (RFC 7301): the greeting, and then a service's bytes. Who speaks another is no peer. */
export const protocol = "earshot";

/** Older versions are not spoken. */
export const version = "TLSv1.3";

const verdicts: readonly (readonly [RegExp, string])[] = [
  [/^CERT_HAS_EXPIRED$/, "its certificate has expired"],
  [/^CERT_NOT_YET_VALID$/, "its certificate is not valid yet"],
  [/^ERR_TLS_CERT_ALTNAME_(INVALID|FORMAT)$/, "its certificate is for another host"],
  [
    /^DEPTH_ZERO_SELF_SIGNED_CERT$/,
    "its certificate is signed by itself, and of no authority that is trusted here",
  ],
  [
    /SELF_SIGNED|UNABLE_TO_GET_ISSUER|UNABLE_TO_VERIFY|CERT_UNTRUSTED/,
    "its certificate is of no authority that is trusted here",
  ],
  [/^(CERT_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME)/, "its certificate is not valid"],
  [/NO_APPLICATION_PROTOCOL/, `it does not speak "${protocol}" (ALPN)`],
  [/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/, "it does not speak TLS 1.3"],
  [/DID_NOT_RETURN_A_CERTIFICATE/, "it has no certificate"],
  [/ALERT_CERTIFICATE_REQUIRED/, "it wants a certificate of its clients"],
  [/ALERT_CERTIFICATE_EXPIRED/, "our certificate has expired, it says"],
  [/ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE|ACCESS)/, "it does not accept our certificate"],
  [/WRONG_VERSION_NUMBER|HTTP_REQUEST|UNEXPECTED_MESSAGE/, "it does not speak TLS"],
  [/^ERR_TLS_HANDSHAKE_TIMEOUT$/, "it did not finish the TLS handshake"],
  [/^ECONNREFUSED$/, "nobody listens there"],
  [/^(ECONNRESET|EPIPE)$/, "it went away"],
];

/** In plain words, for whoever was not led, or runs this. */
export function faultOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: string };
  const known = verdicts.find(([pattern]) => pattern.test(String(code)));
  return known?.[1] ?? message ?? String(error);
}
