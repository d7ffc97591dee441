/**
 * A service `pong` within given limits that a stage is built around: it tells of trouble on stderr as the command
 * `service` does, and can be asked how it is.
 */

import { Report } from "../../../src/cli/report.ts";
import type { Connection, Limits, Message, Reason } from "../../../src/index.ts";
import { serve } from "../../../src/index.ts";
import { answer, settings } from "../../kit/answer.ts";
import { served, type Transport } from "../../kit/over.ts";
import { signalsAsInC } from "./signals.ts";

export type SubjectSettings = { rundir: string; limits: Limits; transport?: Transport };

/** What a connection that has ended had brought. */
export type Ended = {
  reason: Reason;
  messages: number;
  /** Of all payloads, each hashed with the hash of those before as its seed; in hexadecimal. */
  hash: string;
};

export type Role = {
  message(connection: Connection, message: Message): void;
  drain?(connection: Connection): void;
  /** What it can be asked besides. */
  commands?: Parameters<typeof answer>[0];
};

/** Plays the role until nobody asks any more. */
export async function play(role: Role): Promise<void> {
  signalsAsInC();
  const { rundir, limits, transport = "unix" } = settings<SubjectSettings>();
  const report = new Report("pong");
  const brought = new WeakMap<Connection, { messages: number; hash: bigint }>();
  const ended: Ended[] = [];

  const service = await serve(
    "pong",
    {
      ...report.handlers,
      open(connection) {
        brought.set(connection, { messages: 0, hash: 0n });
      },
      message(connection, message) {
        const all = brought.get(connection)!;
        all.messages += 1;
        all.hash = Bun.hash.wyhash(message.bytes, all.hash);
        role.message(connection, message);
      },
      drain: (connection) => role.drain?.(connection),
      close(connection, end) {
        const { messages, hash } = brought.get(connection)!;
        ended.push({ reason: end.reason, messages, hash: hash.toString(16) });
        return report.handlers.close?.(connection, end);
      },
    },
    { rundir, ...served(transport), ...limits },
  );

  await answer({
    statistics: () => service.statistics(),
    /** Those that have ended since this was asked last. */
    ended: () => ended.splice(0),
    /** The figures of the connection that came last. */
    newest: () => [...service.connections].at(-1)?.statistics(),
    collect: () => Bun.gc(true),
    ...role.commands,
  });
  await service.close();
  report.close();
}
