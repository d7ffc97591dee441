/**
 * Drives the rows over HTTP by wrk: POST with a body, answered with the same. Before each round one
 * answer is compared here; of all others wrk looks at the status. Options: wrk's path, and the port.
 */

import { writeFileSync } from "node:fs";
import { attempt } from "./attempt.ts";
import { plans, ready, report } from "./control.ts";
import { Pattern } from "./pattern.ts";
import { readRole } from "./role.ts";

const connections = "16";

interface Summary {
  requests: number;
  microseconds: number;
  errors: number;
}

const role = readRole();
const [wrk = "", port = ""] = role.options;
const url = `http://127.0.0.1:${port}/pong`;
const script = `${role.path}.lua`;

async function compare(body: Uint8Array<ArrayBuffer>): Promise<void> {
  const response = await fetch(url, { method: "POST", body });
  const answer = await response.bytes();
  if (!response.ok || Buffer.compare(answer, body) !== 0) throw new Error("wrong answer");
}

/** In wrk's own language, with every byte of the body as an escape. */
function scriptFor(body: Uint8Array): string {
  const escaped = Array.from(body, (byte) => `\\${String(byte).padStart(3, "0")}`).join("");
  return `
wrk.method = "POST"
wrk.body = "${escaped}"
done = function(summary)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format('\\n{"requests":%d,"microseconds":%d,"errors":%d}\\n',
    summary.requests, summary.duration, errors))
end
`;
}

async function run(seconds: number): Promise<Summary> {
  const options = ["-t", "1", "-c", connections, "-d", `${seconds}s`, "-s", script, url];
  const load = Bun.spawn([wrk, ...options], { stdin: "ignore", stderr: "inherit" });
  const output = await load.stdout.text();
  const line = output.split("\n").find((each) => each.startsWith("{"));
  if (line === undefined) throw new Error(`wrk said: ${output}`);
  return JSON.parse(line) as Summary;
}

await attempt(() => compare(Uint8Array.of(1)));
ready();
for (const plan of plans()) {
  const body = Pattern.of(plan.bytes).payload(0).slice();
  await compare(body);
  writeFileSync(script, scriptFor(body));
  const { requests, microseconds, errors } = await run(Math.ceil(plan.nanoseconds / 1e9));
  if (errors > 0) throw new Error(`${errors} of ${requests} requests failed`);
  report(microseconds * 1e3, requests, []);
}
process.exit(0); // connections that fetch keeps would keep it
