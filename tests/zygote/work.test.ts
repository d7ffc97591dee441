/** Clones run real programs, many at once. */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { serve } from "../../src/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import type { Work } from "./services/worker.ts";
import { ask, modes, start, worker } from "./stage.ts";

leaveNoTrace();

const counts = { fork: 50, pool: 4 };

describe.each(modes)("%s", (mode) => {
  test(`${counts[mode]} clones at once: collections, compiled loops, timers, fetch, a database, a service`, async () => {
    using scratch = new Scratch();
    using web = Bun.serve({ port: 0, fetch: () => new Response("from the web") });
    await using _service = await serve(
      "echo",
      { message: (connection, message) => void connection.send(message.bytes) },
      { rundir: scratch.path },
    );
    const given: Work = {
      objects: 1_000_000,
      url: web.url.href,
      service: "echo",
      rundir: scratch.path,
    };
    {
      await using zygote = await start(mode, { startTimeout: 100_000 });
      const clones = await Promise.all(
        Array.from({ length: counts[mode] }, () => zygote.clone({ arguments: "work" })),
      );
      const results = await Promise.all(
        clones.map((clone) => ask<Record<string, unknown>>(clone, "work", given)),
      );
      let sum = 0;
      for (let index = 0; index < 3_000_000; index += 1) sum = (sum + index * 3) % 1_000_003;
      results.forEach((result, index) => {
        expect(result).toEqual({
          kept: 1000,
          sum,
          fired: [1, 2, 3],
          fetched: "from the web",
          total: 5050,
          answer: `from ${clones[index]!.pid}`,
          file: readFileSync(worker, "utf8").length,
        });
      });
    }
    await web.stop(true);
  });
});
