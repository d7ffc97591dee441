/**
 * A service on one host and its clients on another, sealed from end to end: the daemons in between carry it, and nothing
 * that passes says what was said.
 */

import { expect, setDefaultTimeout, test } from "bun:test";
import { loadKeys } from "../../src/crypto/key-file.ts";
import { earshot, leaveNoCommand, run } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { Recorder } from "../kit/recorder.ts";
import { portOf, TwoHosts } from "../kit/two-hosts.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();
leaveNoCommand();
setDefaultTimeout(60_000);

const secret = "nobody in between is to see this";

/** Keys of both ends in files, as `keys save` makes them. */
async function keysIn(hosts: TwoHosts) {
  const paths = { service: hosts.a.join("service.keys"), client: hosts.b.join("client.keys") };
  for (const path of Object.values(paths)) {
    expect((await run(earshot("keys", "save", path))).code).toBe(0);
  }
  const keys = loadKeys(paths.client);
  const { publicKey: peer } = loadKeys(paths.service);
  return { ...paths, keys, peer };
}

test.each([
  ["tcpd", "tcp"],
  ["websocketd", "ws"],
])("through %s, whose remote side sees no plain text", async (daemon, scheme) => {
  await using hosts = new TwoHosts();
  const { service, client, keys, peer } = await keysIn(hosts);
  await hosts.startA("pong", "--keys", service, "--allow-key", keys.publicKey);
  await hosts.startA("pong", "--name", "open");
  const carrier = await hosts.startA(
    ...[daemon, "--listen", "127.0.0.1:0", "--allow", "pong", "--allow", "open"],
  );
  using recorder = new Recorder(portOf(carrier));
  await hosts.startB("ipcd");
  await hosts.startB(daemon);
  const uri = (name: string) => `${scheme}://127.0.0.1:${recorder.port}/${name}`;

  const sealed = await hosts.connect("pong", uri("pong"), { seal: { keys, peer } });
  expect((await sealed.request(secret)).text()).toBe(secret);
  const large = pattern(1_000_000);
  const answers = await Promise.all(Array.from({ length: 5 }, () => sealed.request(large)));
  for (const { bytes } of answers) expect(Buffer.compare(bytes, large)).toBe(0);
  expect(sealed.statistics()).toMatchObject({ messagesSent: 6, messagesReceived: 6 });

  const words = earshot("client", "pong", secret, "--keys", client, `--peer=${peer}`);
  const env = { IPC_NETWORK: `pong ${uri("pong")}` };
  const said = await run(words, { rundir: hosts.b.path, env });
  expect(said).toMatchObject({ code: 0, stdout: `${secret}\n`, stderr: "" });

  expect(recorder.text).toContain('{"seal":1,"message":');
  expect(recorder.text).not.toContain(secret);
  expect(recorder.text).not.toContain(Buffer.from(large.subarray(0, 64)).toString("latin1"));
  // What is not sealed would have been seen.
  const open = await hosts.connect("open", uri("open"));
  expect((await open.request(secret)).text()).toBe(secret);
  expect(recorder.text).toContain(secret);
});

test("a client that is not allowed is told so from the other host", async () => {
  await using hosts = new TwoHosts();
  const { service, keys, peer } = await keysIn(hosts);
  const other = (await run(earshot("keys", "show", service))).stdout.trim();
  const pong = await hosts.startA("pong", "--keys", service, `--allow-key=${other}`);
  const carrier = await hosts.startA("tcpd", "--listen", "127.0.0.1:0", "--allow", "pong");
  await hosts.startB("ipcd");
  await hosts.startB("tcpd");
  const uri = `tcp://127.0.0.1:${portOf(carrier)}/pong`;
  const refused = hosts.connect("pong", uri, { seal: { keys, peer } });
  const error = await refused.catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "ECONNREFUSED", service: "pong" });
  expect(String(error)).toContain("not among those that are allowed here");
  await pong.complains("was turned away: that public key is not among those");
});

test("a service that is killed is found again, with a new handshake", async () => {
  await using hosts = new TwoHosts();
  const { service, keys, peer } = await keysIn(hosts);
  const start = () => hosts.startA("pong", "--keys", service, "--allow-key", keys.publicKey);
  const pong = await start();
  const carrier = await hosts.startA("tcpd", "--listen", "127.0.0.1:0", "--allow", "pong");
  await hosts.startB("ipcd");
  await hosts.startB("tcpd");
  let found = 0;
  const client = await hosts.connect("pong", `tcp://127.0.0.1:${portOf(carrier)}/pong`, {
    seal: { keys, peer },
    reconnect: { first: 5, most: 20 },
    reconnected: () => {
      found += 1;
    },
  });
  expect((await client.request("before")).text()).toBe("before");
  await pong.end("SIGKILL");
  await start();
  await until("it is found again", () => found === 1);
  expect((await client.request("after")).text()).toBe("after");
});
