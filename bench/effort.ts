/**
 * How long and how often is measured.
 *
 * Rounds are short and many, because what disturbs a machine comes and goes: a disturbed round is
 * one among many, and hits every row of the comparison with the same likelihood.
 */

export interface Effort {
  rounds: number;
  milliseconds: number;
  /**
   * Rounds before those that count. JavaScript is compiled in steps, the last of them after some
   * eight rounds of a stream, and half of its speed is in that one.
   */
  warmRounds: number;
}

export interface Efforts {
  rtt: Effort;
  stream: Effort;
  connections: Effort;
  descriptors: Effort;
  /** Round trips by a bridge, and streams as well; `pipelined` has no length but what it takes. */
  bridge: Effort;
  pipelined: Effort;
  http: Effort;
  /** Clones; a round of what is spawned has at least one. */
  zygote: Effort;
  /** Payload sizes of rtt and stream. */
  bytes: number[];
  /** Starts of `service pong`. */
  starts: number;
  /** Times that a service changes hands. */
  takeovers: number;
}

export const full: Efforts = {
  rtt: { rounds: 30, milliseconds: 40, warmRounds: 12 },
  stream: { rounds: 30, milliseconds: 50, warmRounds: 12 },
  connections: { rounds: 40, milliseconds: 40, warmRounds: 12 },
  descriptors: { rounds: 30, milliseconds: 50, warmRounds: 30 },
  bridge: { rounds: 30, milliseconds: 50, warmRounds: 12 },
  pipelined: { rounds: 7, milliseconds: 0, warmRounds: 2 },
  http: { rounds: 7, milliseconds: 1000, warmRounds: 1 },
  zygote: { rounds: 20, milliseconds: 200, warmRounds: 2 },
  bytes: [64, 1024, 65536],
  starts: 20,
  takeovers: 20,
};

export const quick: Efforts = {
  rtt: { rounds: 10, milliseconds: 20, warmRounds: 8 },
  stream: { rounds: 10, milliseconds: 30, warmRounds: 12 },
  connections: { rounds: 10, milliseconds: 20, warmRounds: 8 },
  descriptors: { rounds: 10, milliseconds: 30, warmRounds: 30 },
  bridge: { rounds: 10, milliseconds: 30, warmRounds: 8 },
  pipelined: { rounds: 3, milliseconds: 0, warmRounds: 1 },
  http: { rounds: 3, milliseconds: 1000, warmRounds: 1 },
  zygote: { rounds: 6, milliseconds: 100, warmRounds: 1 },
  bytes: [64, 65536],
  starts: 5,
  takeovers: 5,
};
