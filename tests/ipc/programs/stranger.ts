/** A client that becomes another user before it asks for anything. Run by `serve.test.ts`. */

import { chownSync } from "node:fs";
import { connect } from "../../../src/index.ts";
import { answer, settings } from "../../kit/answer.ts";

const { rundir, uid } = settings<{ rundir: string; uid: number }>();

// The library is loaded while its files can be read for sure.
await connect("nobody-serves-this", { rundir }).catch(() => undefined);
chownSync(rundir, uid, uid);
process.setuid!(uid);

await answer({
  async request(name: string) {
    await using client = await connect(name, { rundir });
    return (await client.request("hello")).text();
  },
});
