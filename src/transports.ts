/**
 * Where the ways to a service besides its socket are: the one place that knows of both ends of that arrow. Whatever
 * starts a program imports it, which loads none of them.
 */

import { provideMemory } from "./ipc/transport.ts";

provideMemory(async () => (await import("./memory/transport.ts")).memoryTransport);
