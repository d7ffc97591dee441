/** Numbers that users give, checked before anything is done with them. */

import { IpcError } from "../native/errors.ts";

/** The longest time a timer of Bun's can wait: some 24 days. */
export const timerMsMax = 2 ** 31 - 1;

/** The number, if it goes from `least` to `most`. Throws EINVAL, naming the option, if it does not or is none. */
export function within(name: string, value: unknown, least: number, most: number): number {
  if (typeof value === "number" && value >= least && value <= most) return value;
  throw new IpcError(
    "EINVAL",
    `EINVAL: ${name} is ${String(value)}; it goes from ${least} to ${most}`,
  );
}

/** The same for whole numbers. */
export function whole(name: string, value: unknown, least: number, most: number): number {
  if (Number.isInteger(value)) return within(name, value, least, most);
  throw new IpcError("EINVAL", `EINVAL: ${name} is ${String(value)}; it is a whole number`);
}

/** A time in milliseconds as a timer takes it; undefined for none and for ever. */
export function patience(name: string, value: number | undefined): number | undefined {
  if (value === undefined || value === Infinity) return undefined;
  return Math.min(within(name, value, 0, Number.MAX_VALUE), timerMsMax);
}
