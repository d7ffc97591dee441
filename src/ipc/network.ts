/**
 * The environment variable IPC_NETWORK: which services are elsewhere, and where.
 *
 *     IPC_NETWORK="pong tcp://example.org:9000/pong; audio tls://studio:9443/sound;"
 *
 * Entries have `;` between them, and each is the name of a service, white space, and a URI (`uri.ts`). An entry may be
 * empty, so the variable may end in `;`. Of two entries for a name the first counts: as with PATH, what is put in
 * front overrides the rest. All of the variable has to be understood, whichever name is asked for: an entry that is
 * not could be the very one that was meant, and the service would silently be looked for here.
 *
 * The rules are in `tests/vectors/network.json` too, for whoever reads the variable in another language.
 */

import { IpcError, nameRules } from "../native/errors.ts";
import { nameFault } from "./name.ts";
import type { Uri, UriFault } from "./uri.ts";
import { parseUri, UriError } from "./uri.ts";

export const networkVariable = "IPC_NETWORK";

/** The variable goes whole into each lookup, which is one message. Linux lets no variable be longer than twice this. */
export const networkBytesMax = 65_536;

/** What is wrong, in a word that the vectors have too. */
export type NetworkFault = "too_long" | "name" | "uri_missing" | "words" | UriFault;

/** IPC_NETWORK cannot be understood. */
export class NetworkError extends IpcError {
  readonly fault: NetworkFault;
  /** Which entry it is, from 1; 0 if it is the whole. Empty ones count. */
  readonly entry: number;

  constructor(fault: NetworkFault, entry: number, where: string, what: string) {
    super("ENETWORK", `ENETWORK: ${networkVariable}${where}: ${what}`);
    this.fault = fault;
    this.entry = entry;
  }
}

const encoder = new TextEncoder();
/** Of an entry that is shown in an error. */
const shownMax = 60;

/** By names; all that the variable says. Throws a NetworkError that shows the entry and says where it stands. */
export function parseNetwork(variable: string): ReadonlyMap<string, Uri> {
  const length = encoder.encode(variable).length;
  if (length > networkBytesMax) {
    throw new NetworkError("too_long", 0, "", `${length} bytes; it has up to ${networkBytesMax}`);
  }
  const found = new Map<string, Uri>();
  let at = 0;
  for (const [index, text] of variable.split(";").entries()) {
    const entry = parseEntry(text, index + 1, at);
    if (entry !== undefined && !found.has(entry.name)) found.set(entry.name, entry.uri);
    at += text.length + 1;
  }
  return found;
}

/** Where `name` is according to `variable`; undefined if it is not in there, and so is here. */
export function networkEntry(name: string, variable: string): Uri | undefined {
  return parseNetwork(variable).get(name);
}

/** Only this is white space, in whatever language the variable is read. */
const space = " \\t\\r\\n";
const around = new RegExp(`^[${space}]+|[${space}]+$`, "g");
const between = new RegExp(`[${space}]+`);

function parseEntry(
  text: string,
  number: number,
  at: number,
): { name: string; uri: Uri } | undefined {
  const entry = text.replace(around, "");
  if (entry === "") return undefined;
  const fail = (fault: NetworkFault, what: string): never => {
    const shown = entry.length > shownMax ? `${entry.slice(0, shownMax)}…` : entry;
    const column = at + text.indexOf(entry) + 1;
    const where = `, entry ${number} at character ${column}, ${JSON.stringify(shown)}`;
    throw new NetworkError(fault, number, where, what);
  };
  const [name = "", uri, ...rest] = entry.split(between);
  const broken = nameFault(name);
  if (broken !== undefined)
    return fail(
      "name",
      `${JSON.stringify(name.slice(0, shownMax))} is not a name: ${nameRules[broken]}`,
    );
  if (uri === undefined)
    return fail("uri_missing", "a URI follows the name, as in tcp://HOST:PORT/NAME");
  if (rest.length > 0)
    return fail("words", "it is NAME URI; another entry comes after a semicolon");
  try {
    return { name, uri: parseUri(uri) };
  } catch (error) {
    if (error instanceof UriError) return fail(error.fault, error.message);
    throw error;
  }
}
