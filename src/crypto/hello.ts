/**
 * What the two ends of a sealed connection say to each other before they talk, a message each:
 *
 *     client ──hello──▶ service     who it is, and its message of the handshake
 *     client ◀─welcome─ service     the other message
 *     client ◀─refusal─ service     why not; then the connection ends
 *     client ──proof──▶ service     the first sealed record, which holds nothing: what came before was no recording
 *
 * The first three are JSON. From then on each message is one sealed record, until either side says that it ends: by a
 * message of no bytes, which no record is, and a last record of its own kind. Where a connection is over without, somebody
 * has cut it off. This is version 1; `tests/vectors/seals.json` has examples.
 */

export const version = 1;
/** No hello, welcome or refusal is longer: several times what one has to say. */
export const helloBytesMax = 4096;
/**
 * So much is taken of anybody with whom nothing is agreed on: more than a hello may have, so that who has come by mistake
 * is told what this is, and little enough that strangers take up nothing to speak of.
 */
export const strangerBytesMax = 4 * helloBytesMax;

/** What a client says first: its public key, and its message of the handshake. Both are base64url. */
export type Asked = { readonly key: string; readonly message: string };

export type Refusal = {
  /**
   * EPROTO: it was no hello, or of another version. EKEY: the key is not one of those that may connect. EMFILE: there are
   * as many connections as are allowed. EBUSY: there are too many who have not shown who they are; to be tried again.
   */
  readonly code: "EPROTO" | "EKEY" | "EMFILE" | "EBUSY";
  readonly message: string;
};

/** What both ends have to agree on, to be authenticated with the handshake. */
export function about(service: string): string {
  return `earshot seal ${version} ${service}`;
}

export function formatHello({ key, message }: Asked): string {
  return JSON.stringify({ seal: version, key, message });
}

export function formatWelcome(message: string): string {
  return JSON.stringify({ seal: version, message });
}

export function formatRefusal(error: Refusal): string {
  return JSON.stringify({ seal: version, error });
}

/** Throws an Error that says what is wrong with it. */
export function parseHello(bytes: Uint8Array): Asked {
  const { key, message } = parse(bytes, "hello");
  if (typeof key === "string" && typeof message === "string") return { key, message };
  throw new Error("the hello of a sealed connection has a key and a message, and this has not");
}

/** What a service says to a hello. Throws an Error that says what is wrong with it. */
export function parseAnswer(bytes: Uint8Array): { message: string } | { error: Refusal } {
  const said = parse(bytes, "welcome");
  const { error, key, message } = said;
  if (isRecord(error) && typeof error["code"] === "string") {
    return {
      error: { code: error["code"] as Refusal["code"], message: String(error["message"]) },
    };
  }
  if (key !== undefined) throw new Error("a welcome has no key; it sent the hello back");
  if (typeof message === "string") return { message };
  throw new Error("the welcome of a sealed connection has a message, and this has none");
}

/** The refusal that a message is to the letter, as a service writes it; undefined for any other. */
export function refusalIn(bytes: Uint8Array): Refusal | undefined {
  try {
    const said = parseAnswer(bytes);
    if (!("error" in said)) return undefined;
    return Buffer.compare(bytes, Buffer.from(formatRefusal(said.error))) === 0
      ? said.error
      : undefined;
  } catch {
    return undefined;
  }
}

function parse(bytes: Uint8Array, what: "hello" | "welcome"): Record<string, unknown> {
  const is = `the ${what} of a sealed connection is`;
  if (bytes.length > helloBytesMax) {
    throw new Error(`${is} at most ${helloBytesMax} bytes long, and this ${bytes.length}`);
  }
  let said: unknown;
  try {
    said = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Error(`${is} JSON, and this is not`);
  }
  if (!isRecord(said) || said["seal"] === undefined) {
    throw new Error(`${is} a JSON object with "seal", and this is not`);
  }
  if (said["seal"] === version) return said;
  throw new Error(`version ${JSON.stringify(said["seal"])}; version ${version} is spoken here`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
