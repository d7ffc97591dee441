/** The end of a search for a service elsewhere: there is no way to it, and the message says why, for a client to read. */
export class NoWay extends Error {
  override readonly name = "NoWay";
}

/** What to say to a remote for whom there was none left; see `isExhausted`. */
export const exhaustedText = "this daemon has no file descriptors left; try again later";

export function isExhausted(error: unknown): boolean {
  return (error as { code?: string } | undefined)?.code === "EMFILE";
}

/** What to say of an error to whoever asked: none of this process's own troubles. */
export function whyNot(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
