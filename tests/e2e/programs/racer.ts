/** Tries to serve a name at a given moment, and can give it up again. */

import type { Service } from "../../../src/index.ts";
import { type IpcError, serve } from "../../../src/index.ts";
import { answer, settings } from "../../kit/answer.ts";

/** Null if it serves; else what it was told. */
export type Outcome = { code: string; message: string } | null;

const { rundir } = settings<{ rundir: string }>();
let service: Service | undefined;

await answer({
  /** `at` is by the clock, so that all who are told the same start together. */
  async serve(at: number): Promise<Outcome> {
    while (performance.timeOrigin + performance.now() < at);
    try {
      service = await serve("pong", { message: (c, { bytes }) => void c.send(bytes) }, { rundir });
      return null;
    } catch (error) {
      const { code, message } = error as IpcError;
      return { code, message };
    }
  },
  async close(): Promise<void> {
    await service?.close();
    service = undefined;
  },
});
