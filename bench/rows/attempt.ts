/** What is tried until the program at the other end listens, since a bridge does not say when it does. */

const patienceMilliseconds = 5_000;
const betweenMilliseconds = 10;

export async function attempt<T>(what: () => Promise<T>): Promise<T> {
  const until = performance.now() + patienceMilliseconds;
  for (;;) {
    try {
      return await what();
    } catch (error) {
      if (performance.now() > until) throw error;
      await Bun.sleep(betweenMilliseconds);
    }
  }
}
