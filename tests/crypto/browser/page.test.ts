/** A page in a real Chromium that talks to a service through websocketd, sealed from end to end. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { keyPair } from "../../../src/crypto/key-pair.ts";
import { type Service, serve } from "../../../src/index.ts";
import { startBrowser } from "../../kit/browser.ts";
import { leaveNoCommand, run } from "../../kit/command.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Recorder } from "../../kit/recorder.ts";
import { Scratch } from "../../kit/scratch.ts";
import { until } from "../../kit/until.ts";
import type { Daemon } from "../../kit/websocketd.ts";
import { startWebsocketd } from "../../kit/websocketd.ts";
import type { converse } from "./page.ts";

setDefaultTimeout(60_000);

const keys = keyPair();
const heard: string[] = [];
let scratch: Scratch;
let site: Bun.Server<undefined>;
let browser: Browser;
let page: Page;
let service: Service;
let open: Service;
let daemon: Daemon;
let recorder: Recorder;

// First, since what comes later looks whether anything was left.
afterAll(async () => {
  await browser?.close();
  recorder[Symbol.dispose]();
  await daemon[Symbol.asyncDispose]();
  await Promise.all([service.close(), open.close(), site.stop(true)]);
  scratch[Symbol.dispose]();
});

leaveNoTrace();
leaveNoCommand();

async function inPage<Result>(name: string, ...args: unknown[]): Promise<Result> {
  const call = `import("/page.js").then((module) => module.${name}(...${JSON.stringify(args)}))`;
  return (await page.evaluate(call)) as Result;
}

type Conversation = Awaited<ReturnType<typeof converse>>;

const talk = (name: string, how: object, texts: readonly string[]) =>
  inPage<Conversation>("converse", `ws://127.0.0.1:${recorder.port}/${name}`, how, texts);

beforeAll(async () => {
  scratch = new Scratch();
  const { path: rundir } = scratch;
  const entry = join(import.meta.dir, "page.ts");
  const built = await run([process.execPath, "build", "--target=browser", entry]);
  expect(built).toMatchObject({ code: 0, stderr: "" });
  const typed = (type: string) => ({ headers: { "Content-Type": type } });
  site = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: {
      "/": () => new Response("<!doctype html>", typed("text/html")),
      "/page.js": () => new Response(built.stdout, typed("text/javascript")),
    },
  });
  browser = await startBrowser();
  page = await browser.newPage();
  await page.goto(site.url.href);
  service = await serve(
    "pong",
    {
      message(connection, message) {
        heard.push(message.text());
        connection.send(message.bytes);
      },
    },
    { rundir, seal: { keys, allow: [await inPage<string>("publicKey")] } },
  );
  const echo = (
    connection: { send(bytes: Uint8Array): unknown },
    { bytes }: { bytes: Uint8Array },
  ) => void connection.send(bytes);
  open = await serve("open", { message: echo }, { rundir });
  const allowed = ["--allow", "pong", "--allow", "open", "--origin", site.url.origin];
  daemon = await startWebsocketd(rundir, ["--no-lookups", ...allowed]);
  recorder = new Recorder(daemon.port);
});

test("says and hears what the daemon does not see", async () => {
  const texts = ["a secret of the page", "", "ä€😀".repeat(100), "x".repeat(200_000), "the last"];
  const how = { peer: keys.publicKey, service: "pong" };
  expect(await talk("pong", how, texts)).toEqual({ answers: texts });
  expect(heard).toEqual(texts);
  expect(recorder.text).toContain('{"seal":1,"message":');
  expect(recorder.text).not.toContain("a secret of the page");
  expect(recorder.text).not.toContain("x".repeat(100));
  await until("it is gone", () => service.connections.size === 0);
});

test("hears that the service ends, and that somebody has cut it off", async () => {
  const how = { peer: keys.publicKey, service: "pong" };
  const watch = () =>
    inPage<string>("howItEnds", `ws://127.0.0.1:${recorder.port}/pong`, how).catch(String);
  const isThere = () => until("it is there", () => service.connections.size === 1);
  const orderly = watch();
  await isThere();
  for (const connection of service.connections) await connection.close();
  expect(await orderly).toBe("");
  const cut = watch();
  await isThere();
  recorder.cut();
  expect(await cut).toContain("SealError: the service has not said that it ends");
  await until("it is gone", () => service.connections.size === 0);
});

test("is told what is wrong with its keys, or that the service is not sealed", async () => {
  const before = heard.length;
  const peer = keyPair().publicKey;
  const mistaken = await talk("pong", { peer, service: "pong" }, ["hello"]);
  expect(mistaken.error).toContain("SealError: it refused: ");
  expect(mistaken.error).toContain("compare the public keys");
  const other = await talk("pong", { peer: keys.publicKey, service: "ping" }, ["hello"]);
  expect(other.error).toContain("SealError: it refused: ");
  const unsealed = await talk("open", { peer: keys.publicKey, service: "open" }, ["hello"]);
  expect(unsealed.error).toContain("it sent the hello back");
  const none = await talk("pong", { peer: "nobody", service: "pong" }, ["hello"]);
  expect(none.error).toContain("a public key is 43 letters");
  expect(heard).toHaveLength(before);
  expect(service.statistics().reasons.not_allowed).toBe(2);
});
