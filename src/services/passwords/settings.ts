/** What the service `passwords` and its zygote tell each other, beside the descriptors of a clone. */

import type { CopyEnd } from "./copy.ts";

/** In the environment of the zygote, as JSON. */
export const settingsName = "EARSHOT_PASSWORDS";

export type ZygoteSettings = {
  /** The file with the initial keys and values. */
  readonly state: string | undefined;
  /** How much one client may keep. */
  readonly bytesMax: number;
};

/** What a clone is given. */
export type CloneSettings = {
  /** How long nothing may be asked, in milliseconds; for ever without. */
  readonly idleMs: number | undefined;
  readonly bytesMax: number;
};

/** How a clone exits: with why it has ended. */
export const exits: Readonly<Record<CopyEnd, number>> = {
  disconnected: 0,
  gone: 64,
  idle: 65,
  ended: 66,
  broken: 67,
};
