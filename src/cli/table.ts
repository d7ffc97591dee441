/** A table for people: a heading, a line for each row, columns that begin at the same place. */

export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heading, ...rows];
  const widths = heading.map((_, column) =>
    lines.reduce((widest, line) => Math.max(widest, line[column]!.length), 0),
  );
  const text = (line: readonly string[]) =>
    line.map((cell, column) => cell.padEnd(widths[column]!)).join("  ");
  return lines.map((line) => `${text(line).trimEnd()}\n`).join("");
}
