/** Seals between ends that know each other's public key: what `serve` and `connect` ask of them. */

import type { Seals } from "../ipc/seal.ts";
import { KeyedCaller } from "./caller.ts";
import { KeyedGuard } from "./guard.ts";

export const keyedSeals: Seals = {
  call: (name, options, seal) => new KeyedCaller(name, options, seal),
  guard: (name, options, seal) => new KeyedGuard(name, options, seal),
};
