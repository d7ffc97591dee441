/**
 * Those who have come to a sealed service and have not shown yet who they are. They take up no places of those whom it
 * serves, and stand in two lines of their own, in each of which whoever has waited longest goes when it is too long:
 *
 *     silent ──a hello with a key that is allowed──▶ welcome ──its proof──▶ no stranger any more
 *
 * The oldest goes and not the newest: a friend shows who he is as soon as he is heard, and is pushed out only if that many
 * come behind him meanwhile, where refusing new ones would leave him outside for as long as others hold all the places, for
 * which a few a second are enough. And in two lines, because to come and say nothing costs nothing: those are not to push
 * out who has only his proof to give. In his line nobody is in the way but who says again a hello that he has recorded.
 */

/**
 * In each line. A context accepts 64 at most before it hears what they say, so that a friend on this machine has no more
 * than a few hundred behind him until he is known; and one who takes 100 ms over a network gets in while ten thousand come
 * a second. So many hold 1,024 descriptors, and those who are silent 16 MiB (`strangerBytesMax`).
 */
export const strangersMax = 1024;

export class Strangers<Stranger> {
  /** In the order in which they came, and were heard. */
  readonly #silent = new Set<Stranger>();
  readonly #welcome = new Set<Stranger>();

  /** Somebody has come. Returns who has to go for that, if anybody. */
  come(stranger: Stranger): Stranger | undefined {
    return queue(this.#silent, stranger);
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

function queue<Stranger>(line: Set<Stranger>, stranger: Stranger): Stranger | undefined {
  line.add(stranger);
  if (line.size <= strangersMax) return undefined;
  const [oldest] = line;
  line.delete(oldest!);
  return oldest;
}

/** Why somebody is refused who is none. */
export const full = "there are as many connections as are allowed";

/** Why a stranger had to go. */
export const pushedOut = `there were more than ${strangersMax} who had not shown who they are, of whom it had waited longest`;
