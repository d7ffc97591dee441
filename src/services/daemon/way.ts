/** The end of a search for a service elsewhere: there is no way to it, and the message says why, for a client to read. */
export class NoWay extends Error {
  override readonly name = "NoWay";
}

/** What to say of an error to whoever asked: none of this process's own troubles. */
export function whyNot(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
