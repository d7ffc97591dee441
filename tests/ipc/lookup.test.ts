/** The bytes of a lookup and of its answer. */

import { expect, test } from "bun:test";
import { connect, serve } from "../../src/index.ts";
import { framed, requestFor } from "../../src/ipc/elsewhere.ts";
import {
  answerBytesMax,
  answeredError,
  errorAnswer,
  formatRequest,
  ok,
  parseRequest,
  requestBytesMax,
} from "../../src/ipc/lookup.ts";
import { loop } from "../../src/ipc/loop.ts";
import { networkBytesMax } from "../../src/ipc/network.ts";
import { constants } from "../../src/native/layout.ts";
import { hexOf, unhex } from "../kit/bytes.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";
import vectors from "../vectors/lookup.json" with { type: "json" };

leaveNoTrace();

test("the vectors are those that this was written for", () => {
  expect(vectors.version).toBe(1);
  expect(vectors.answer_bytes_max).toBe(answerBytesMax);
});

test.each(vectors.requests)("request $hex", ({ hex, service, network }) => {
  const request = parseRequest(unhex(hex));
  if (service === null || network === null) {
    expect(request).toBeUndefined();
    return;
  }
  expect(request).toEqual({ service, network });
  expect(hexOf(formatRequest({ service, network }))).toBe(hex);
});

test.each(vectors.answers)("answer $hex", ({ hex, error }) => {
  expect(answeredError(unhex(hex))).toBe(error ?? undefined);
  expect(hexOf(error === null ? ok : errorAnswer(error))).toBe(hex);
});

test.each(vectors.no_answers)("%j is no answer", (hex) => {
  expect(answeredError(unhex(hex))).toContain("is it ipcd that answers?");
});

test("the longest request that may be is one", () => {
  const request = {
    service: "n".repeat(constants.name_bytes_max),
    network: ";".repeat(networkBytesMax),
  };
  const bytes = new TextEncoder().encode(formatRequest(request));
  expect(bytes.length).toBe(requestBytesMax);
  expect(parseRequest(bytes)).toEqual(request);
});

test("an error is cut to what an answer may have, between two characters", () => {
  for (const filler of ["a", "aö", "€", "a👂"]) {
    const answer = errorAnswer(filler.repeat(answerBytesMax));
    expect(answer.length).toBeLessThanOrEqual(answerBytesMax);
    expect(answer.length).toBeGreaterThan(answerBytesMax - 4);
    const text = answeredError(answer)!;
    expect(filler.repeat(answerBytesMax)).toStartWith(text);
    expect(text.isWellFormed()).toBe(true);
  }
});

test.each(vectors.exchanges)("exchange: $what", async (vector) => {
  const { service, network, sent, answered, error } = vector;
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  let heard = "";
  const [near, far] = loop().context.pair();
  using kept = far;
  await using _ = await serve(
    "ipc",
    {
      async message(client, { bytes }) {
        heard += hexOf(bytes);
        if (heard.length < sent.length) return;
        const descriptors = vector.connection ? [near] : [];
        if (answered !== "") client.send(unhex(answered), { descriptors });
        near.close();
        await client.close();
      },
    },
    { rundir, raw: true },
  );
  expect(hexOf(framed(requestFor(service, { network })))).toBe(sent);
  const asking = connect(service, { rundir, network });
  if (error === null) {
    await using led = await asking;
    const other = await connect("far", { descriptor: kept });
    other.send("hello");
    const { value } = await led[Symbol.asyncIterator]().next();
    expect(value?.text()).toBe("hello");
    await other.close();
  } else {
    const message = `ENETWORK: ipcd found no way to "${service}": ${error}`;
    await expect(asking).rejects.toMatchObject({ code: "ENETWORK", message });
    near.close();
  }
  await until("it was heard", () => heard === sent);
});

test.each(vectors.daemon_requests)("a daemon is asked for $uri", ({ uri, sent }) => {
  expect(hexOf(framed(uri))).toBe(sent);
});
