/** A pattern: `*` stands for any text, the empty one and one with slashes included; all else stands for itself. */

export class Pattern {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /**
   * Goes back to the last star only: what earlier ones took need not change, as anything may follow them. So it takes
   * no longer than the product of the two lengths, whatever the pattern.
   */
  matches(text: string): boolean {
    const pattern = this.text;
    let at = 0;
    let star = -1;
    let taken = 0;
    for (let place = 0; place < text.length; ) {
      if (pattern[at] === "*") {
        star = at++;
        taken = place;
      } else if (pattern[at] === text[place]) {
        at++;
        place++;
      } else if (star >= 0) {
        at = star + 1;
        place = ++taken;
      } else {
        return false;
      }
    }
    return /^\**$/.test(pattern.slice(at));
  }
}
