/** tcpd as a process. */

import { leaveNoCommand } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { StreamPeer } from "../kit/stream-peer.ts";
import { carriesServices } from "./daemon/carrying.ts";

leaveNoTrace();
leaveNoCommand();

carriesServices({
  daemon: "tcpd",
  scheme: "tcp",
  listening: [],
  leading: [],
  visit: (place, options) => StreamPeer.tcp(place, options),
});
