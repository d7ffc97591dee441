/** A page's sealed connection whose handlers throw, and what becomes of it. */

import { SealedConnection } from "../../../src/crypto/browser/index.ts";
import { answer, settings } from "../../kit/answer.ts";
import { clientKeys, serviceKeys } from "../../kit/over.ts";

const { url } = settings<{ url: string }>();
const thrown: string[] = [];
process.on("uncaughtException", (error: Error) => void thrown.push(error.message));
process.on("unhandledRejection", (error: Error) => void thrown.push(`unhandled: ${error.message}`));
const connection = await SealedConnection.over(new WebSocket(url), {
  keys: clientKeys,
  peer: serviceKeys.publicKey,
  service: "pong",
});
const heard: string[] = [];
const closed = Promise.withResolvers<string | undefined>();
connection.onMessage = (bytes) => {
  heard.push(new TextDecoder().decode(bytes));
  throw new Error("a message's");
};
connection.onClose = (error) => {
  closed.resolve(error?.message);
  throw new Error("the end's");
};
await connection.send("one");

await answer({
  heard: () => heard,
  /** Resolves when it has ended, with everything. */
  ended: async () => {
    const why = await closed.promise;
    await Bun.sleep(0);
    return { why, thrown };
  },
});
