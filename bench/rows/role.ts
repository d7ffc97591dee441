/** What a row's program is asked to be: `PROGRAM serve|drive PATH [OPTION…]`. */

export interface Role {
  name: "serve" | "drive";
  /** Where the server listens; for earshot, run directory and name. */
  path: string;
  options: string[];
}

export function readRole(): Role {
  const [name, path, ...options] = process.argv.slice(2);
  if ((name !== "serve" && name !== "drive") || path === undefined) {
    throw new Error("usage: PROGRAM serve|drive PATH [OPTION…]");
  }
  return { name, path, options };
}
