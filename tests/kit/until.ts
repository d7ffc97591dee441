/** Waiting for something to become true, instead of for a time to pass. */

/** Long enough for a machine that is busy with something else; a condition that holds costs no more than it takes. */
const patienceMs = 30_000;

/** Resolves when `condition` holds; rejects, saying what was waited for, when it does not come to hold at all. */
export async function until(
  what: string | (() => string),
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const giveUpAt = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() >= giveUpAt) {
      throw new Error(`waited in vain until ${typeof what === "string" ? what : what()}`);
    }
    await Bun.sleep(1);
  }
}

/** The promise's value; rejects, saying what was waited for, when it never settles. */
export async function within<Value>(what: string, promise: Promise<Value>): Promise<Value> {
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), patienceMs);
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}
