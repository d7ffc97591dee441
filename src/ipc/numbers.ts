/** Numbers and names that users give, checked before anything is done with them. */

import { IpcError } from "../native/errors.ts";

/** The longest time a timer of Bun's can wait: some 24 days. */
export const timerMsMax = 2 ** 31 - 1;

/** The largest number of a user, a group or a handle: others would be cut to one of these. */
export const u32Max = 2 ** 32 - 1;

/**
 * The number, if it goes from `least` to `most`. Throws EINVAL, naming the option, if it does not or is none; `why` is
 * added where the bounds need it.
 */
export function within(
  name: string,
  value: unknown,
  least: number,
  most: number,
  why = "",
): number {
  if (typeof value === "number" && value >= least && value <= most) return value;
  throw invalid(`${name} is ${shown(value)}; it goes from ${least} to ${most}${why}`);
}

/** The same for whole numbers. */
export function whole(name: string, value: unknown, least: number, most: number): number {
  if (Number.isInteger(value)) return within(name, value, least, most);
  throw invalid(`${name} is ${shown(value)}; it is a whole number from ${least} to ${most}`);
}

/** The number of a connection, service, timer or external descriptor. Throws EINVAL if it can be none's. */
export function handleOf(value: unknown): number {
  if (typeof value === "number" && value >>> 0 === value) return value;
  return whole("handle", value, 0, u32Max);
}

/** A list of the numbers of users or groups. */
export function ids(name: string, values: unknown): readonly number[] {
  if (values === undefined) return [];
  if (!Array.isArray(values)) throw invalid(`${name} is ${shown(values)}; it is a list of numbers`);
  return values.map((value: unknown) => whole(name, value, 0, u32Max));
}

/** A time in milliseconds as a timer takes it; undefined for none and for ever. */
export function patience(name: string, value: number | undefined): number | undefined {
  if (value === undefined || value === Infinity) return undefined;
  return Math.min(within(name, value, 0, Number.MAX_VALUE), timerMsMax);
}

/** The text, if it is one. Throws EINVAL, naming what it is for, if not. */
export function textOf(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw invalid(`${name} is ${shown(value)}; it is a string`);
}

/** What was given in place of something else, in a word or two: it may be anything, and of any length. */
function shown(value: unknown): string {
  if (typeof value === "string") return value.length > 40 ? "a string" : JSON.stringify(value);
  if (Array.isArray(value)) return "a list";
  if (typeof value === "bigint") return `${value}n`;
  const plain = value === null || !["object", "function", "symbol"].includes(typeof value);
  return plain ? String(value) : `of type ${typeof value}`;
}

function invalid(what: string): IpcError {
  return new IpcError("EINVAL", `EINVAL: ${what}`);
}
