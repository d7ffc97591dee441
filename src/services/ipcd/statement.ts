/** Which statements ipcd takes: one at a time, and one that only reads. */

/** More than a person types, and little to look through. */
export const statementBytesMax = 65_536;

/** Comments, and what is quoted in one of SQLite's four ways; an end that is missing is the end of the text. */
const opaque =
  /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|`(?:[^`]|``)*(?:`|$)|\[[^\]]*(?:\]|$)/g;

const readers = new Set(["select", "values", "with", "explain"]);

/**
 * What is wrong with a statement; undefined if it may be tried. That it only reads is not left to this: it is tried on
 * a copy that nobody writes back, in a process of its own. What this keeps away are statements that reach files
 * (ATTACH, VACUUM INTO, PRAGMA), and half of what was meant: SQLite would run the first statement and forget the rest.
 */
export function statementFault(statement: string): string | undefined {
  if (statement.includes("\0")) return "a statement has no zero byte in it";
  const bare = statement
    .replace(opaque, (found) => (/^(?:--|\/\*)/.test(found) ? " " : "x"))
    .replace(/[\s;]+$/, "");
  if (bare.trim() === "") return "there is no statement";
  if (bare.includes(";")) return "one statement at a time";
  const [word = ""] = /[^\s(]*/.exec(bare.trimStart()) ?? [];
  if (readers.has(word.toLowerCase())) return undefined;
  return `only SELECT, VALUES, WITH and EXPLAIN are answered: what ipcd knows is read, and not changed`;
}
