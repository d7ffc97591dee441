/**
 * A row: one way to carry messages between two processes, which can be asked for rounds.
 *
 * All rows of a comparison are started together and asked in turn, so that a disturbance of the
 * machine falls on each of them alike. A row sleeps outside its own rounds.
 */

export type Kind = "earshot" | "floor" | "peer";

export type Placement = "two-cores" | "one-core";

/** Where the two processes of a row run: a processor each, or the same; null where none is kept. */
export interface Seat {
  placement: Placement;
  server: number | null;
  driver: number | null;
}

export interface Plan {
  /** Payload of each message. */
  bytes: number;
  /** How long the round lasts. */
  milliseconds: number;
}

export interface Round {
  /** The timed part: for round trips their sum, for a stream from the first byte to the last. */
  nanoseconds: number;
  count: number;
  /** One for each round trip; empty for a stream. */
  samples: number[];
}

export interface Row {
  readonly id: string;
  readonly kind: Kind;
  start(seat: Seat): Promise<void>;
  round(plan: Plan): Promise<Round>;
  stop(): Promise<void>;
}
