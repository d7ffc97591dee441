/** A figure that is no row: it has no percentiles and no rate. */
export interface Figure {
  suite: string;
  id: string;
  /** Null where this system cannot tell. */
  value: number | null;
  unit: string;
  /** How it was found, in a few words. */
  note: string;
}
