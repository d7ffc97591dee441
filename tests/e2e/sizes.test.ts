/** Messages of every size up to the limit arrive byte for byte; one byte more is refused on either side. */

import { expect, test } from "bun:test";
import { frame, header } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { isSealed } from "../kit/over.ts";
import { pattern } from "../kit/random.ts";
import { overEach } from "../kit/transports.ts";
import { onStage, type Stage } from "./stage.ts";

leaveNoTrace();

overEach(({ testOpen, transport }) => {
  const defaultLimit = 16 * 1024 * 1024;
  /** Around the ends of what one byte, two bytes, a small buffer and a socket's buffer hold. */
  const sizes = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 1024 * 1024, defaultLimit];

  /** A peer that knows nothing of messages, where nothing is sealed. */
  const byHand = async (stage: Stage) => (isSealed(transport) ? [] : [await stage.peer()]);

  const same = (one: Uint8Array, other: Uint8Array) => Buffer.compare(one, other) === 0;

  test.each(sizes)("%d bytes", async (size) => {
    await onStage({ transport }, async (stage) => {
      const payload = pattern(size, size);
      const peers = await byHand(stage);
      const client = await stage.client();
      // Those behind it tell that it ended where it should.
      for (const bytes of [payload, payload, pattern(3)]) {
        for (const peer of peers) peer.write(frame(bytes));
      }
      const answers = await Promise.all(
        [payload, payload, pattern(3)].map((bytes) => client.request(bytes)),
      );
      for (const peer of peers) await peer.received(3);
      for (const got of [
        ...peers.map(({ payloads }) => payloads),
        answers.map(({ bytes }) => bytes),
      ]) {
        expect(got.map(({ length }) => length)).toEqual([size, size, 3]);
        expect(got.every((bytes, index) => same(bytes, index < 2 ? payload : pattern(3)))).toBe(
          true,
        );
      }
    });
  });

  test("very many bytes in all leave nothing behind", async () => {
    const messageBytes = 2 * 1024 * 1024;
    await onStage({ transport }, async (stage) => {
      const client = await stage.client();
      for (let number = 0; number < 100; number++) {
        const payload = pattern(messageBytes, number);
        expect(same((await client.request(payload)).bytes, payload)).toBe(true);
      }
    });
  });

  test("large messages of many sizes, several at once, leave nothing behind", async () => {
    // libc holds on to what lies below anything still in use: the more there is at once, the more of it.
    const bytesMin = 1_500_000;
    const bytesMore = 2_000_000;
    await onStage({ transport }, async (stage) => {
      const client = await stage.client();
      for (let number = 0; number < 100; number++) {
        const payload = pattern(bytesMin + ((number * 4099) % bytesMore), number);
        const answers = await Promise.all(Array.from({ length: 4 }, () => client.request(payload)));
        expect(answers.every(({ bytes }) => same(bytes, payload))).toBe(true);
      }
    });
  });

  test("bytes that are zero", async () => {
    await onStage({ transport }, async (stage) => {
      const payloads = ["\0", "\0\0\0\0", "a\0b", "\0\0\0\u0001\0"].map((text) =>
        Buffer.from(text),
      );
      const peers = await byHand(stage);
      const client = await stage.client();
      for (const payload of payloads) {
        for (const peer of peers) peer.write(frame(payload));
        expect(same((await client.request(payload)).bytes, payload)).toBe(true);
      }
      for (const peer of peers) {
        await peer.received(payloads.length);
        expect(peer.payloads.map((bytes) => Buffer.from(bytes))).toEqual(payloads);
      }
    });
  });

  for (const [what, limits, limit] of [
    ["the default limit", {}, defaultLimit],
    ["a limit of its own", { messageBytesMax: 1000 }, 1000],
    ["a limit of nothing", { messageBytesMax: 0 }, 0],
  ] as const)
    testOpen(`one byte more than ${what} is refused before it is read`, async () => {
      await onStage({ transport, limits }, async (stage) => {
        const fitting = await stage.peer();
        fitting.write(frame(pattern(limit)));
        const peer = await stage.peer();
        peer.write(header(limit + 1));
        await peer.gone();
        expect(peer.payloads).toEqual([]);
        stage.goesWrong("message_too_long");
        await fitting.received(1);
        expect(same(fitting.payloads[0]!, pattern(limit))).toBe(true);
      });
    });

  test("one byte more than the limit is not even sent by a client that has the same", async () => {
    await onStage({ transport }, async (stage) => {
      const client = await stage.client();
      expect(() => client.send(pattern(defaultLimit + 1))).toThrow(
        expect.objectContaining({ code: "EMSGSIZE" }),
      );
      expect((await client.request("still here")).text()).toBe("still here");
    });
  });
});
