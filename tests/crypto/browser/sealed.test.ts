/**
 * Sealed connections from a browser: the second implementation, which knows nothing of the first, held against the same
 * vectors and talking to it, in this runtime and in a real Chromium.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { SealError } from "../../../src/crypto/browser/noise.ts";
import { BrowserSeal, SealedHandshake } from "../../../src/crypto/browser/sealed.ts";
import { KeyPair, keyPair } from "../../../src/crypto/key-pair.ts";
import { parsePublicKey } from "../../../src/crypto/public-key.ts";
import { Handshake, type Seal } from "../../../src/native/seal.ts";
import { startBrowser } from "../../kit/browser.ts";
import { bytesOf, unhex } from "../../kit/bytes.ts";
import { leaveNoCommand, run } from "../../kit/command.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { pattern } from "../../kit/random.ts";
import { sealElsewhere } from "../../kit/sealed.ts";
import noise from "../../vectors/noise-kk.json";
import sealed from "../../vectors/records.json";
import { converse, initiate, makeKeys, records } from "./interop.ts";

leaveNoTrace();
leaveNoCommand();

const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** The native end: it knows one client, and sends back in capitals what it is sent. */
class Service implements Disposable {
  readonly keys = keyPair();
  readonly #handshake: Handshake;
  #seal: Seal | undefined;
  greeting = "";

  constructor(clientPublicKey: Uint8Array) {
    this.#handshake = new Handshake({
      role: "responder",
      secretKey: this.keys.secretKey,
      peerPublicKey: clientPublicKey,
      prologue: bytesOf("interop"),
    });
  }

  answer(message: Uint8Array): Uint8Array {
    if (this.#seal === undefined) {
      this.greeting = textOf(this.#handshake.read(message));
      const answer = this.#handshake.write();
      this.#seal = this.#handshake.finish();
      expect(this.#seal.suite).toBe("aes_256_gcm");
      return answer;
    }
    const out = new Uint8Array(message.length);
    const length = this.#seal.open(1, message, out);
    const text = bytesOf(textOf(out.subarray(0, length)).toUpperCase());
    const record = new Uint8Array(text.length + 16);
    this.#seal.seal(2, text, record);
    return record;
  }

  [Symbol.dispose](): void {
    this.#handshake.close();
    this.#seal?.close();
  }
}

const texts = ["hello", "", "ä€😀".repeat(100), "x".repeat(70_000), "the last"];
const capitals = texts.map((text) => text.toUpperCase());
const [vector] = noise.vectors;
const directions = sealed.directions.filter(({ suite }) => suite === "aes_256_gcm");

/** What is sent after a published handshake shows that its keys are right. */
function expectKeys({ sending, receiving }: { sending: string; receiving: string }): void {
  const after = vector!.messages.slice(2);
  expect(after).toHaveLength(4);
  for (const [index, { payload, ciphertext }] of after.entries()) {
    const key = unhex(index % 2 === 0 ? sending : receiving);
    const nonce = BigInt(index >> 1);
    const made = sealElsewhere("aes_256_gcm", key, nonce, new Uint8Array(0), unhex(payload));
    expect(made.toHex()).toBe(ciphertext);
  }
}

describe("in this runtime", () => {
  test("the handshake is the published one", async () => {
    const found = await initiate(vector!);
    expect(found.written).toBe(vector!.messages[0]!.ciphertext);
    expect(found.read).toBe(vector!.messages[1]!.payload);
    expectKeys(found);
  });

  test("records are those of the vectors", async () => {
    expect(directions.length).toBeGreaterThan(0);
    for (const direction of directions) {
      expect(await records(direction)).toEqual(direction.records.map((record) => record.sealed));
    }
  });

  test("it talks to the native library", async () => {
    const own = makeKeys();
    using service = new Service(unhex(own.publicKey));
    const keys = {
      secretKey: own.secretKey,
      peerPublicKey: parsePublicKey(service.keys.publicKey).toHex(),
    };
    const ask = (message: string) => Promise.resolve(service.answer(unhex(message)).toHex());
    expect(await converse(keys, texts, ask)).toEqual(capitals);
    expect(service.greeting).toBe("from a browser");
  });
});

/** What a promise is rejected with. */
async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it was kept");
}

describe("what it refuses", () => {
  const key = pattern(32);
  const mirror = () => new BrowserSeal({ sending: key, receiving: key });

  test("any bit that is turned, and all that comes after", async () => {
    const record = await mirror().seal(0, bytesOf("hello"));
    for (let bit = 0; bit < record.length * 8; bit++) {
      const receiver = mirror();
      const changed = record.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(await failureOf(receiver.open(0, changed))).toBeInstanceOf(SealError);
      expect(await failureOf(receiver.open(0, record))).toBeInstanceOf(SealError);
    }
  });

  test("records that are repeated, left out, cut short, of another kind or of another key", async () => {
    const sender = mirror();
    const first = await sender.seal(0, bytesOf("first"));
    const second = await sender.seal(0, bytesOf("second"));
    const repeated = mirror();
    expect(textOf(await repeated.open(0, first))).toBe("first");
    expect(await failureOf(repeated.open(0, first))).toBeInstanceOf(SealError);
    expect(await failureOf(repeated.open(0, second))).toBeInstanceOf(SealError);
    expect(await failureOf(mirror().open(0, second))).toBeInstanceOf(SealError);
    expect(await failureOf(mirror().open(1, first))).toBeInstanceOf(SealError);
    for (let length = 0; length < first.length; length++) {
      const short = first.slice(0, length);
      expect(await failureOf(mirror().open(0, short))).toBeInstanceOf(SealError);
    }
    const other = new BrowserSeal({ sending: pattern(32, 1), receiving: pattern(32, 1) });
    expect(await failureOf(other.open(0, first))).toBeInstanceOf(SealError);
    expect(await failureOf(mirror().seal(256, bytesOf("x")))).toBeInstanceOf(RangeError);
  });

  test("a service with another key, an answer that was changed, and keys with which nothing is secret", async () => {
    const own = keyPair();
    using service = new Service(parsePublicKey(own.publicKey));
    const handshake = (peerPublicKey: Uint8Array) =>
      new SealedHandshake({
        secretKey: own.secretKey,
        peerPublicKey,
        prologue: bytesOf("interop"),
      });
    const right = parsePublicKey(service.keys.publicKey);
    const wrong = await handshake(parsePublicKey(keyPair().publicKey)).write();
    using stranger = new Service(parsePublicKey(own.publicKey));
    expect(() => stranger.answer(wrong)).toThrow("ESEAL");

    const client = handshake(right);
    expect(await failureOf(client.read(new Uint8Array(50)))).toBeInstanceOf(SealError);
    const answer = service.answer(await client.write());
    answer[40]! ^= 1;
    expect(await failureOf(client.read(answer))).toBeInstanceOf(SealError);
    answer[40]! ^= 1;
    expect(await failureOf(client.read(answer))).toBeInstanceOf(SealError);
    expect(await failureOf(client.finish())).toBeInstanceOf(SealError);

    for (const first of [0, 1]) {
      const weak = new Uint8Array(32);
      weak[0] = first;
      expect(await failureOf(handshake(weak).write())).toBeInstanceOf(SealError);
    }
  });
});

describe("in Chromium", () => {
  let browser: Browser;
  let page: Page;
  let server: Bun.Server<undefined>;
  let service: Service | undefined;

  beforeAll(async () => {
    const entry = join(import.meta.dir, "interop.ts");
    const built = await run([process.execPath, "build", "--target=browser", entry]);
    expect(built).toMatchObject({ code: 0, stderr: "" });
    const script = built.stdout;
    // WebCrypto is for pages from this machine or over HTTPS.
    server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      routes: {
        "/": () => new Response("<!doctype html>", { headers: { "Content-Type": "text/html" } }),
        "/interop.js": () =>
          new Response(script, { headers: { "Content-Type": "text/javascript" } }),
        "/ask": {
          POST: async (request) => {
            const message = unhex(await request.text());
            return new Response(service!.answer(message).toHex());
          },
        },
      },
    });
    browser = await startBrowser();
    page = await browser.newPage();
    await page.goto(server.url.href);
  });

  afterAll(async () => {
    await browser.close();
    await server.stop(true);
  });

  /** Calls a function of `interop.ts` in the page. */
  async function inPage<Result>(name: string, ...args: unknown[]): Promise<Result> {
    const call = `import("/interop.js").then((module) => module.${name}(...${JSON.stringify(args)}))`;
    return (await page.evaluate(call)) as Result;
  }

  test("the handshake is the published one", async () => {
    const found = await inPage<Awaited<ReturnType<typeof initiate>>>("initiate", vector);
    expect(found.written).toBe(vector!.messages[0]!.ciphertext);
    expect(found.read).toBe(vector!.messages[1]!.payload);
    expectKeys(found);
  });

  test("records are those of the vectors", async () => {
    for (const direction of directions) {
      const found = await inPage<string[]>("records", direction);
      expect(found).toEqual(direction.records.map((record) => record.sealed));
    }
  });

  test("it makes keys, connects to a service that knows them, and talks", async () => {
    const own = await inPage<ReturnType<typeof makeKeys>>("makeKeys");
    expect(parsePublicKey(new KeyPair(unhex(own.secretKey)).publicKey).toHex()).toBe(own.publicKey);
    service = new Service(unhex(own.publicKey));
    using open = service;
    const keys = {
      secretKey: own.secretKey,
      peerPublicKey: parsePublicKey(open.keys.publicKey).toHex(),
    };
    const talk = `import("/interop.js").then((module) => module.converse(
      ${JSON.stringify(keys)},
      ${JSON.stringify(texts)},
      async (body) => await (await fetch("/ask", { method: "POST", body })).text(),
    ))`;
    expect(await page.evaluate(talk)).toEqual(capitals);
    expect(open.greeting).toBe("from a browser");
  });
});
