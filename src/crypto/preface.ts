/** What two ends say to each other before they talk sealed, which is no message of their owners'. */

import type { Channel } from "../ipc/channel.ts";
import { add, noCount } from "../ipc/count.ts";
import { constants } from "../native/layout.ts";

const headerBytes = constants.header_bytes;

export class Preface {
  readonly sent = noCount();
  readonly received = noCount();

  /** It goes at once, so that nothing of the owner's to come is told of along with it. */
  say(channel: Channel, bytes: Uint8Array): void {
    add(this.sent, 1, headerBytes + bytes.length);
    channel.schedule(bytes, false);
    channel.flush();
  }

  /** Of `length` bytes. */
  heard(length: number): void {
    add(this.received, 1, headerBytes + length);
  }
}
