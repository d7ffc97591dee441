/** A client that becomes another user before it asks for anything. Run by `serve.test.ts` and `ipcd.test.ts`. */

import { chownSync } from "node:fs";
import { connect } from "../../../src/index.ts";
import { answer, settings } from "../../kit/answer.ts";
import { answerOf } from "../../kit/asker.ts";

const { rundir, uid } = settings<{ rundir: string; uid: number }>();

// The library is loaded while its files can be read for sure.
await connect("nobody-serves-this", { rundir }).catch(() => undefined);
chownSync(rundir, uid, uid);
process.setuid!(uid);

await answer({
  request: (name: string) => request(name, "hello", false),
  /** Where the run directory is no more its own than others'. */
  say: ({ name, text }: { name: string; text: string }) => request(name, text, true),
  /** To the end, in bytes. */
  ask: ({ name, text }: { name: string; text: string }) =>
    answerOf(name, text, { rundir, shared: true }),
});

async function request(name: string, text: string, shared: boolean): Promise<string> {
  await using client = await connect(name, { rundir, shared });
  return (await client.request(text)).text();
}
