/** Descriptors that came over memory sockets and wait for the messages they belong to, by the users who sent them. */

const counts = new Map<number, number>();

/** False, and they do not count, if that would be more than `most` for this user. */
export function holdFor(uid: number, count: number, most: number): boolean {
  const held = (counts.get(uid) ?? 0) + count;
  if (held > most) return false;
  counts.set(uid, held);
  return true;
}

export function letGoFor(uid: number, count: number): void {
  if (count === 0) return;
  const left = (counts.get(uid) ?? 0) - count;
  if (left > 0) counts.set(uid, left);
  else counts.delete(uid);
}
