/** What a browser sees at `/`: a page to try the services with. It is one file, and may load nothing from anywhere. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const source = readFileSync(new URL("page.html", import.meta.url), "utf8");

/** Only the style and the script that are in the file; connections only back to where the page came from. */
const policy = [
  "default-src 'none'",
  `style-src '${digestOf("style")}'`,
  `script-src '${digestOf("script")}'`,
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** `names` are those of services, which have no character that means something in HTML. */
export function page({ method }: Request, names: readonly string[]): Response {
  if (method !== "GET" && method !== "HEAD") {
    return new Response("this page is for GET\n", { status: 405, headers: { Allow: "GET, HEAD" } });
  }
  const options = names.map((name) => `<option>${name}</option>`).join("");
  return new Response(source.replace("<!-- services -->", options), {
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Security-Policy": policy,
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
      "Cache-Control": "no-store",
    },
  });
}

/** As a Content-Security-Policy names what stands between the tags. */
function digestOf(tag: string): string {
  const start = source.indexOf(`<${tag}>`) + tag.length + 2;
  const text = source.slice(start, source.indexOf(`</${tag}>`));
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}
