/**
 * tcpd: carries services over TCP. Remotes who connect are bound to the service that they name; lookups of `tcp://` are
 * led to services of other machines.
 */

import { bind } from "../ipc/switch.ts";
import type { Carrier } from "./daemon/carrier.ts";
import { carrierOptions, startCarrier, unusedByCarriers } from "./daemon/carrier.ts";
import type { Startable } from "./startable.ts";
import { dialService } from "./tcpd/dialing.ts";
import { listenTcp } from "./tcpd/listener.ts";

export const service: Startable<typeof carrierOptions> = {
  summary: "carries services over TCP, and leads to those of other machines",
  name: "tcp",
  unused: unusedByCarriers,
  options: carrierOptions,
  start(how, own) {
    const carrier: Carrier = {
      scheme: "tcp",
      listen: (address, remotes, { remotesMax }) => listenTcp(how, address, remotes, remotesMax),
      reach: (timeoutMs) => async (uri, signal) => {
        const remote = await dialService(uri, timeoutMs, signal);
        return {
          drop: () => void remote.close({ now: true }),
          async join(client) {
            await bind(client, remote).ended;
          },
        };
      },
    };
    return startCarrier(carrier, how, own);
  },
};
