/** Calls what users have given, and sees to what it throws, at once or later. */

import { throwLater } from "../ipc/loop.ts";

type Result = void | Promise<void>;

/** `onThrown` must not throw. */
export function call(handler: () => Result, onThrown: (error: unknown) => void): void {
  try {
    const result = handler();
    if (result instanceof Promise) result.catch(onThrown);
  } catch (error) {
    onThrown(error);
  }
}

/** The same with a message, without a function for each. */
export function hand(
  handler: (bytes: Uint8Array) => Result,
  bytes: Uint8Array,
  onThrown: (error: unknown) => void,
): void {
  try {
    const result = handler(bytes);
    if (result instanceof Promise) result.catch(onThrown);
  } catch (error) {
    onThrown(error);
  }
}

/**
 * Tells of an error. What nobody wants to know (`handler` says false) goes where an uncaught one goes, if it is the
 * program's own; as does what `handler` throws itself.
 */
export function tell(handler: () => boolean, error: unknown, isOurs: boolean): void {
  try {
    if (!handler() && isOurs) throwLater(error);
  } catch (second) {
    throwLater(second);
  }
}
