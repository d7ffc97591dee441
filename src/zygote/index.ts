/** earshot/zygote: processes that are warmed up once, and cloned in a moment. */

export type { Orphans } from "../native/zygote.ts";
export { Clone } from "./clone.ts";
export type { Exit, Signal } from "./clone-process.ts";
export type { Restart } from "./forks.ts";
export type { CloneLimits } from "./limits.ts";
export type { CloneStart, ServiceModule } from "./service-module.ts";
export type { Mode } from "./settings.ts";
export type { CloneOptions, ZygoteOptions, ZygoteStatistics } from "./zygote.ts";
export { Zygote } from "./zygote.ts";
