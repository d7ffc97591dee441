/** What ipcd answers a statement with, as JSON: a public format, whose number is `querySchema`. */

export const querySchema = 1;

/** Blobs are text in SQLite's own writing, `x'0102'`; so are integers that are no safe ones, as digits. */
export type Cell = string | number | null;

export type QueryAnswer = {
  readonly schema: typeof querySchema;
  readonly columns: readonly string[];
  readonly rows: readonly Readonly<Record<string, Cell>>[];
  /** There were more rows than are given. */
  readonly truncated: boolean;
};

export type QueryRefusal = { readonly schema: typeof querySchema; readonly error: string };

/** What the process that reads the tables is told, as a line of JSON before the bytes of the database. */
export type QueryTask = {
  readonly statement: string;
  readonly rowsMax: number;
  /** Of the JSON of all rows. */
  readonly rowsBytesMax: number;
};

export function refusal(error: string): QueryRefusal {
  return { schema: querySchema, error };
}
