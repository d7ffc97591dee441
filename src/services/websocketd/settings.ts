/** What a daemon of this kind is started with. */

import type { ConnectOptions } from "../../ipc/connect.ts";
import type { Address } from "../daemon/address.ts";
import type { Admission } from "../daemon/admission.ts";
import type { Exposure } from "../daemon/exposure.ts";
import type { Origins } from "../daemon/origins.ts";
import type { Complain } from "../startable.ts";
import type { Tally } from "./tally.ts";

export type ConnectionLimits = Pick<ConnectOptions, "rundir" | "shared"> &
  Record<"messageBytesMax" | "queueBytesHigh" | "queueBytesMax", number>;

export type Settings = {
  readonly name: string;
  readonly listen: Address;
  readonly exposure: Exposure;
  readonly admission: Admission;
  readonly origins: Origins;
  /** 0: never. */
  readonly pingMs: number;
  readonly idleMs: number;
  readonly deflate: boolean;
  readonly remotesMax: number;
  readonly heldBytesMax: number;
  /** The limits hold both ways. */
  readonly connection: ConnectionLimits;
  readonly tally: Tally;
  readonly complain: Complain;
};
