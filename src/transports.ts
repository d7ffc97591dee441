/**
 * Where the ways to a service besides its socket are, and what seals connections: the one place that knows of both ends
 * of those arrows. Whatever starts a program imports it, which loads none of them.
 */

import { provideSeals } from "./ipc/seal.ts";
import { provideMemory } from "./ipc/transport.ts";

provideMemory(async () => (await import("./memory/transport.ts")).memoryTransport);
provideSeals(async () => (await import("./crypto/seals.ts")).keyedSeals);
