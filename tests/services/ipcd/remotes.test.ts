/** What daemons ask and tell of remotes, over real connections. */

import { expect, test } from "bun:test";
import { connect, serve } from "../../../src/index.ts";
import { Ledger } from "../../../src/services/ipcd/ledger.ts";
import { Remotes } from "../../../src/services/ipcd/remotes.ts";
import { Rulebook } from "../../../src/services/ipcd/rulebook.ts";
import { parseRules } from "../../../src/services/ipcd/rules-file.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Scratch } from "../../kit/scratch.ts";
import { until } from "../../kit/until.ts";

leaveNoTrace();

async function desk(...rules: string[]) {
  const scratch = new Scratch();
  const ledger = new Ledger();
  const rulebook = new Rulebook(parseRules("f", rules.join("\n")), undefined, ledger);
  const remotes = new Remotes(rulebook, ledger);
  const service = await serve(
    "ipc.in",
    {
      open: (connection) => remotes.open(connection),
      message: (connection, message) => remotes.message(connection, message),
      close: (connection) => remotes.close(connection),
    },
    { rundir: scratch.path },
  );
  return {
    ledger,
    daemon: () => connect("ipc.in", { rundir: scratch.path }),
    async [Symbol.asyncDispose]() {
      await service.close({ now: true });
      ledger[Symbol.dispose]();
      scratch[Symbol.dispose]();
    },
  };
}

test("a remote that a rule allows is let in, and known until it goes", async () => {
  await using ipcd = await desk("allow in pong tcp://10.*", "deny in *");
  await using daemon = await ipcd.daemon();
  const ask = async (text: string) => (await daemon.request(text)).text();
  expect(await ask("open 1 pong tcp://10.0.0.1:5000")).toBe("ok");
  expect(await ask("open 2 pong tcp://10.0.0.2:5000")).toBe("ok");
  expect(await ask("open 3 pong tcp://11.0.0.1:5000")).toBe(
    'error: "pong" from tcp://11.0.0.1:5000 is denied by f:2',
  );
  expect(ipcd.ledger.counts()).toMatchObject({ connections: 2, in_allowed: 2, in_denied: 1 });
  expect(await ask("close 1")).toBe("ok");
  expect(ipcd.ledger.counts()["connections"]).toBe(1);
  expect(await ask("open 1 pong tcp://10.0.0.3:5000")).toBe("ok");
});

test("what a daemon has open ends with it, and others keep theirs", async () => {
  await using ipcd = await desk("allow in *");
  const first = await ipcd.daemon();
  await using second = await ipcd.daemon();
  for (const id of [1, 2, 3]) await first.request(`open ${id} pong tcp://10.0.0.1:5000`);
  await second.request("open 1 pong tcp://10.0.0.1:5000");
  expect(ipcd.ledger.counts()["connections"]).toBe(4);
  await first.close();
  await until("its rows are gone", () => ipcd.ledger.counts()["connections"] === 1);
  expect((await second.request("close 1")).text()).toBe("ok");
});

test.each([
  ["", "it is either open ID SERVICE URI or close ID"],
  ["open 1 pong", "it is either"],
  ["open 1 pong tcp://a:1 more", "it is either"],
  ["open  1 pong tcp://a:1", "it is either"],
  ["open x pong tcp://a:1", "it is either"],
  ["open 1234567890123456 pong tcp://a:1", "it is either"],
  ["close 1 2", "it is either"],
  ["toString 1", "it is either"],
  ["open 7 pong tcp://a:1", "7 is open already"],
  ["close 8", "8 is not open"],
  ["open 1 ../pong tcp://a:1", "SERVICE is not a name"],
  ["open 1 pong tcp://a", "tcp needs a port"],
])("%j is refused, and the daemon goes on", async (text, why) => {
  await using ipcd = await desk("allow in *");
  await using daemon = await ipcd.daemon();
  await daemon.request("open 7 pong tcp://a:1");
  expect((await daemon.request(text)).text()).toStartWith(`error: ${why}`);
  expect(ipcd.ledger.counts()).toMatchObject({ connections: 1, in_unclear: 1 });
  expect((await daemon.request("close 7")).text()).toBe("ok");
});
