/**
 * How long and how often is measured.
 *
 * Rounds are short and many, because what disturbs a machine comes and goes: a disturbed round is
 * one among many, and hits every row of the comparison with the same likelihood.
 */

export interface Effort {
  rounds: number;
  milliseconds: number;
  /** One untimed round before the others, so that everything is compiled and grown. */
  warmMilliseconds: number;
}

export interface Efforts {
  rtt: Effort;
  stream: Effort;
  connections: Effort;
  /** Payload sizes of rtt and stream. */
  bytes: number[];
  /** Starts of `service pong`. */
  starts: number;
}

export const full: Efforts = {
  rtt: { rounds: 30, milliseconds: 40, warmMilliseconds: 200 },
  stream: { rounds: 30, milliseconds: 50, warmMilliseconds: 200 },
  connections: { rounds: 40, milliseconds: 40, warmMilliseconds: 200 },
  bytes: [64, 1024, 65536],
  starts: 20,
};

export const quick: Efforts = {
  rtt: { rounds: 10, milliseconds: 20, warmMilliseconds: 60 },
  stream: { rounds: 10, milliseconds: 30, warmMilliseconds: 80 },
  connections: { rounds: 10, milliseconds: 20, warmMilliseconds: 60 },
  bytes: [64, 65536],
  starts: 5,
};
