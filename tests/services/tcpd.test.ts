/** tcpd as a process. */

import { expect, test } from "bun:test";
import { leaveNoCommand, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { StreamPeer } from "../kit/stream-peer.ts";
import { carriesServices } from "./daemon/carrying.ts";
import { countersOf } from "./daemon/stage.ts";

leaveNoTrace();
leaveNoCommand();

test("a remote for whom no descriptor is left is told so, and served when there is one", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  await using _ = await startService(["pong"], { rundir });
  await using daemon = await startService(["tcpd", "--listen", "127.0.0.1:0", "--allow", "pong"], {
    rundir,
    shell: 'ulimit -n 64; exec "$@"',
  });
  const place = { host: "127.0.0.1", port: Number(/:([0-9]+) /.exec(daemon.stdout)![1]) };
  using first = await StreamPeer.tcp(place);
  using crowd = new DisposableStack();
  for (let count = 0; count < 80; count++) crowd.use(await StreamPeer.tcp(place));
  await daemon.complains("no file descriptors are left");
  first.write("pong");
  const told = "error: this daemon has no file descriptors left; try again later";
  expect(await first.whole()).toBe(told);
  expect(await countersOf({ command: daemon })).toMatchObject({ remotes_refused: 1 });
  crowd.dispose();
  using last = await StreamPeer.tcp(place);
  last.write("pong");
  await last.hears("ok");
});

carriesServices({
  daemon: "tcpd",
  scheme: "tcp",
  listening: [],
  leading: [],
  visit: (place, options) => StreamPeer.tcp(place, options),
});
