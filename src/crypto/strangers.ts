/**
 * Those who have come to a sealed service and have not shown yet who they are. They take up no places of those whom it
 * serves, and stand in two lines of their own, in each of which whoever has waited longest goes when it is too long:
 *
 *     silent ──a hello with a key that is allowed──▶ welcome ──its proof──▶ no stranger any more
 *
 * The oldest goes and not the newest: a friend says his hello as soon as he comes, and is pushed out only if that many come
 * behind him meanwhile, where refusing new ones would leave him outside for as long as others hold all the places, for
 * which a few a second are enough. And in two lines, because to come and say nothing costs nothing: those are not to push
 * out who has only his proof to give. In his line are but friends, and who says again a hello that he has recorded. Whoever
 * is in it has some time before he goes, since very many friends may come at once, from a process that is busy with all of
 * them; until then there is no room in it. Who is sent away for want of room is told to try again, and `connect` does.
 */

/**
 * In each line. A context accepts 64 at most before it hears what they say, so that a friend on this machine has no more
 * than a few hundred behind him until he is known; and one who takes 100 ms over a network gets in while ten thousand come
 * a second. So many hold 1,024 descriptors, and those who are silent 16 MiB (`strangerBytesMax`).
 */
export const strangersMax = 1024;
/**
 * Ten times what one process takes for so many handshakes, and as long as the usual deadline. Those who hold the line by
 * hellos that they have recorded leave it as often, and a friend who tries again takes his chance with them.
 */
const graceMs = 5000;

export class Strangers<Stranger> {
  /** In the order in which they came, and were heard. */
  readonly #silent = new Map<Stranger, number>();
  readonly #welcome = new Map<Stranger, number>();

  /** Somebody has come. Returns who has to go for that, if anybody. */
  come(stranger: Stranger): Stranger | undefined {
    return queue(this.#silent, stranger);
  }

  /** Whether there is room for one more who is welcome, or somebody has stood there for long enough. */
  get canGreet(): boolean {
    if (this.#welcome.size < strangersMax) return true;
    const [since] = this.#welcome.values();
    return performance.now() - since! >= graceMs;
  }

  /** He is welcome. Returns who has to go for that. */
  greet(stranger: Stranger): Stranger | undefined {
    this.#silent.delete(stranger);
    return queue(this.#welcome, stranger);
  }

  /** He is known, or gone. */
  delete(stranger: Stranger): void {
    this.#silent.delete(stranger);
    this.#welcome.delete(stranger);
  }
}

function queue<Stranger>(line: Map<Stranger, number>, stranger: Stranger): Stranger | undefined {
  line.set(stranger, performance.now());
  if (line.size <= strangersMax) return undefined;
  const [oldest] = line.keys();
  line.delete(oldest!);
  return oldest;
}

/** Why somebody is refused who is none. */
export const full = "there are as many connections as are allowed";

/** Why one with a hello is not welcome. */
export const crowded = `there are ${strangersMax} others who have still to prove who they are`;

/** Why a stranger had to go. */
export const pushedOut = `there were more than ${strangersMax} who had not shown who they are, of whom it had waited longest`;
