/** One that is to be killed: it announces more than it has sent, or streams for ever, and reads no answer in the end. */

import { connect } from "../../../src/index.ts";
import { answer, settings } from "../../kit/answer.ts";
import { frame, header } from "../../kit/frames.ts";
import { pattern } from "../../kit/random.ts";
import { RawPeer } from "../../kit/raw-peer.ts";

export type VictimSettings = {
  rundir: string;
  /** What it is in the middle of when it is killed. */
  doing: "a message" | "a stream" | "a stream it does not read" | "nothing";
};

const { rundir, doing } = settings<VictimSettings>();
const size = 1000;
let sent = 0;

const doings = {
  async nothing() {
    await (await connect("pong", { rundir })).request("here");
  },
  async "a message"() {
    const peer = await RawPeer.connect(`${rundir}/pong`);
    peer.write(frame("here"));
    await peer.received(1);
    peer.write(header(size));
    peer.write(pattern(size / 2));
    await peer.written();
  },
  async "a stream"() {
    const client = await connect("pong", { rundir, message: () => undefined });
    void stream(
      () => client.drained(),
      (bytes) => void client.send(bytes),
    );
  },
  async "a stream it does not read"() {
    const peer = await RawPeer.connect(`${rundir}/pong`, { reads: false });
    void stream(
      () => peer.written(),
      (bytes) => peer.write(frame(bytes)),
    );
  },
};

async function stream(room: () => Promise<void>, send: (bytes: Uint8Array) => void) {
  const bytes = pattern(size);
  while (true) {
    for (let count = 0; count < 100; count++) send(bytes);
    sent += 100;
    await room();
    // So that it can be asked in between.
    await Bun.sleep(0);
  }
}

await doings[doing]();
await answer({ sent: () => sent });
