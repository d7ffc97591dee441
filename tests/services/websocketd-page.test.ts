/** The page of websocketd in a real browser: what a person sees and does, with the mouse and without. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { connect, serve } from "../../src/index.ts";
import { startBrowser } from "../kit/browser.ts";
import type { Command } from "../kit/command.ts";
import { leaveNoCommand, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";
import type { Daemon } from "../kit/websocketd.ts";
import { startWebsocketd } from "../kit/websocketd.ts";

let scratch: Scratch;
let pong: Command;
let daemon: Daemon;
let browser: Browser;

// First, since what comes later looks whether anything was left.
afterAll(async () => {
  await browser?.close();
  await daemon[Symbol.asyncDispose]();
  await pong[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

leaveNoTrace();
leaveNoCommand();

beforeAll(async () => {
  scratch = new Scratch();
  pong = await startService(["pong"], { rundir: scratch.path });
  const allowed = ["pong", "absent", "mortal"].flatMap((name) => ["--allow", name]);
  daemon = await startWebsocketd(scratch.path, allowed);
  browser = await startBrowser();
});

/** The page as it is when it has come, and whatever the browser has to complain of. */
async function visit(port = daemon.port) {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  const answer = await page.goto(`http://127.0.0.1:${port}/`);
  return { page, complaints, answer, [Symbol.asyncDispose]: () => page.close() };
}

const says = (page: Page, text: string) => page.getByText(text, { exact: true }).waitFor();

async function connectTo(page: Page, name: string): Promise<void> {
  await page.getByLabel("Service").selectOption(name);
  await page.getByRole("button", { name: "Connect" }).click();
}

/** The newest first: what each line says of itself, and its content. */
async function log(page: Page): Promise<(string | null)[][]> {
  const lines = await page.getByRole("log").locator("li").all();
  return await Promise.all(
    lines.map(async (line) => [
      await line.locator(".size").textContent(),
      await line.locator("pre").textContent(),
    ]),
  );
}

async function logged(page: Page, count: number): Promise<(string | null)[][]> {
  await page
    .getByRole("log")
    .locator("li")
    .nth(count - 1)
    .waitFor();
  return await log(page);
}

describe("the page", () => {
  test("lists the services that may be reached, loads nothing, and may load nothing", async () => {
    await using seen = await visit();
    const { page, complaints, answer } = seen;
    const names = await page.getByLabel("Service").locator("option").allInnerTexts();
    expect(names).toEqual(["pong", "absent", "mortal"]);
    const policy = answer!.headers()["content-security-policy"];
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain("unsafe");
    expect(answer!.headers()["x-content-type-options"]).toBe("nosniff");
    const loaded = await page.evaluate(
      "performance.getEntriesByType('resource').map(({ name }) => name)",
    );
    expect(loaded).toEqual([]);
    expect(complaints).toEqual([]);
    // What is put into it does not run.
    await page.evaluate(`document.body.insertAdjacentHTML("beforeend", "<img src=data: onerror='window.ran = 1'>");
      const script = document.createElement("script"); script.textContent = "window.ran = 1"; document.body.append(script);`);
    expect(await page.evaluate("window.ran")).toBeUndefined();
  });

  test("connects, sends text and bytes, and shows what comes back", async () => {
    await using seen = await visit();
    const { page, complaints } = seen;
    expect(await page.getByRole("button", { name: "Send" }).isDisabled()).toBe(true);
    await connectTo(page, "pong");
    await says(page, "Connected to pong.");
    await page.getByLabel("What to send").fill("héllo <b>world</b>");
    await page.getByRole("button", { name: "Send" }).click();
    expect(await logged(page, 2)).toEqual([
      ["Received: 19 bytes, text", "héllo <b>world</b>"],
      ["Sent: 19 bytes, text", "héllo <b>world</b>"],
    ]);
    await page.getByLabel("bytes in hexadecimal").check();
    await page.getByLabel("What to send").fill("ff 00 0x61");
    await page.getByRole("button", { name: "Send" }).click();
    expect((await logged(page, 4)).slice(0, 2)).toEqual([
      ["Received: 3 bytes, bytes", "ff 00 61"],
      ["Sent: 3 bytes, bytes", "ff 00 61"],
    ]);
    await page.getByRole("button", { name: "Close" }).click();
    await says(page, "Not connected.");
    expect(await page.locator("#error").textContent()).toBe("");
    expect(complaints).toEqual([]);
  });

  test("gets bytes where it asks for bytes", async () => {
    await using seen = await visit();
    const { page } = seen;
    await page.getByLabel("Answers come as").selectOption("bytes");
    await connectTo(page, "pong");
    await says(page, "Connected to pong.");
    await page.getByLabel("What to send").fill("Hi");
    await page.getByRole("button", { name: "Send" }).click();
    expect((await logged(page, 2))[0]).toEqual(["Received: 2 bytes, bytes", "48 69"]);
  });

  test("can be used with the keyboard alone", async () => {
    await using seen = await visit();
    const { page } = seen;
    const press = (key: string) => page.keyboard.press(key);
    const focused = () => page.evaluate("document.activeElement.id");
    for (const id of ["service", "speech", "connect"]) {
      await press("Tab");
      expect(await focused()).toBe(id);
    }
    await press("Enter");
    await says(page, "Connected to pong.");
    expect(await focused()).toBe("text");
    await page.keyboard.type("by hand");
    await press("Control+Enter");
    expect((await logged(page, 2))[0]).toEqual(["Received: 7 bytes, text", "by hand"]);
    await press("Shift+Tab");
    expect(await focused()).toBe("close");
    await press("Enter");
    await says(page, "Not connected.");
    expect(await focused()).toBe("connect");
  });

  test("gives every control a name", async () => {
    await using seen = await visit();
    const nameless =
      await seen.page.evaluate(`[...document.querySelectorAll("select, textarea, input, button")]
      .filter((one) => one.labels.length === 0 && one.textContent.trim() === "").map((one) => one.id)`);
    expect(nameless).toEqual([]);
    expect(await seen.page.evaluate("document.documentElement.lang")).toBe("en");
  });

  test("says what is wrong with what is to be sent", async () => {
    await using seen = await visit();
    const { page } = seen;
    await connectTo(page, "pong");
    await says(page, "Connected to pong.");
    await page.getByLabel("bytes in hexadecimal").check();
    for (const [content, why] of [
      ["xyz", "Hexadecimal has only the digits 0 to 9 and a to f."],
      ["abc", "Each byte has two digits; there is one digit too few."],
    ] as const) {
      await page.getByLabel("What to send").fill(content);
      await page.getByRole("button", { name: "Send" }).click();
      await says(page, why);
    }
    expect(await log(page)).toEqual([]);
  });

  test("says why it is not connected, or not any more", async () => {
    await using seen = await visit();
    const { page } = seen;
    await connectTo(page, "absent");
    await page.getByText("Closed with 1006: the connection broke, or was refused").waitFor();
    const mortal = await serve("mortal", {}, { rundir: scratch.path });
    await connectTo(page, "mortal");
    await says(page, "Connected to mortal.");
    await until("it has been accepted", () => mortal.connections.size === 1);
    await mortal.close();
    await says(page, "Closed with 1012: mortal ended the connection.");
    expect(await page.getByRole("button", { name: "Connect" }).isEnabled()).toBe(true);
  });

  test("says that nothing can be reached when nothing is allowed", async () => {
    await using closed = await startWebsocketd(scratch.path, ["--no-lookups"]);
    await using seen = await visit(closed.port);
    await seen.page.getByText("No service may be reached from here.").waitFor();
    expect(await seen.page.getByRole("button", { name: "Connect" }).isDisabled()).toBe(true);
  });
});

describe("a page from elsewhere", () => {
  /** What becomes of a WebSocket that the page opens to the daemon at `port`. */
  const tries = (page: Page, port: number) =>
    page.evaluate(`new Promise((resolve) => {
      const socket = new WebSocket("ws://127.0.0.1:${port}/pong", "earshot.text");
      socket.onopen = () => socket.send("hello");
      socket.onmessage = ({ data }) => { resolve(data); socket.close(); };
      socket.onclose = ({ code }) => resolve(code);
    })`);

  test("is refused, and let in by --origin", async () => {
    using site = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("a page") });
    const page = await browser.newPage();
    await page.goto(site.url.href);
    const { refused_403: refused } = await daemon.counters();
    expect(await tries(page, daemon.port)).toBe(1006);
    await daemon.counts({ refused_403: refused! + 1 });
    const origin = site.url.origin;
    const words = ["--no-lookups", "--allow", "pong", "--origin", origin];
    await using open = await startWebsocketd(scratch.path, words);
    expect(await tries(page, open.port)).toBe("hello");
    await page.close();
    await site.stop(true);
  });

  test("by a name made to lead here is refused", async () => {
    const page = await browser.newPage();
    // Any name below localhost is this machine to a browser, as a stranger's would be who has it lead here.
    await page.goto(`http://stranger.localhost:${daemon.port}/`);
    expect(
      await page.evaluate(`new Promise((resolve) => {
        const socket = new WebSocket("ws://" + location.host + "/pong");
        socket.onopen = () => resolve("open");
        socket.onclose = ({ code }) => resolve(code);
      })`),
    ).toBe(1006);
    await page.close();
  });

  test("disturbs nobody", async () => {
    const direct = await connect("pong", { rundir: scratch.path });
    expect((await direct.request("still here")).text()).toBe("still here");
    await direct.close();
  });
});
