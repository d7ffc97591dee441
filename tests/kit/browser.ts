/** A real Chromium without a window, for what only a browser shows. */

import { existsSync } from "node:fs";
import type { Browser } from "playwright-core";
import { chromium } from "playwright-core";

const places = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Throws if there is none: a page that no browser has seen is not tested. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = process.env["CHROMIUM"] ?? places.find((place) => existsSync(place));
  if (executablePath === undefined) {
    throw new Error(
      `there is no Chromium at ${places.join(", ")}; install it ("apt-get install chromium"), or say where it is ` +
        "in the environment variable CHROMIUM",
    );
  }
  return await chromium.launch({
    executablePath,
    // Chromium refuses to run as root with its sandbox; the only pages it sees here are our own.
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
}
