/**
 * How much may be on its way in memory of its own, because it is too long for a ring. Each such message costs its reader a
 * descriptor until he comes to it.
 */

import { limitDefaults } from "../ipc/limits.ts";

/** Messages of one connection: enough that nobody waits while one of them is copied. Part of the protocol. */
export const passedMax = 8;
/** Their bytes, unless it is a single one. */
export const passedBytesMax = 64 * 1024 * 1024;
/** Messages of all connections of one user together: as many descriptors as he may have on their way by himself. */
export const passedHeldMax = limitDefaults.descriptorsHeld;
