/** What a copy of the passwords does for its one client: answers requests, one after the other, until there are no more. */

import type { Pipes } from "../../ipc/pipes.ts";
import { IpcError } from "../../native/errors.ts";
import type { Request, Status } from "./format.ts";
import { answerParts, FormatError, keysetBytes, readRequest } from "./format.ts";
import type { Store } from "./store.ts";

/** Why a copy has ended: its client said so or went, said nothing for too long, sent nonsense; or the service ended. */
export type CopyEnd = "disconnected" | "gone" | "idle" | "ended" | "broken";

const yes = Uint8Array.of(1);
const no = Uint8Array.of(0);

/** Returns when its client has no more to ask, or may not. What was kept is overwritten then. */
export function answerAll(pipes: Pipes, store: Store): CopyEnd {
  try {
    pipes.send(...answerParts("done"));
    while (true) {
      const message = pipes.receive();
      if (message === undefined) return "gone";
      if (answer(pipes, store, message)) return "disconnected";
    }
  } catch (error) {
    if (error instanceof IpcError) return endOf(pipes, error);
    throw error;
  } finally {
    store.wipe();
    pipes.close();
  }
}

/** Returns whether that was the last request. */
function answer(pipes: Pipes, store: Store, message: Uint8Array): boolean {
  try {
    const request = readRequest(message);
    perform(pipes, store, request);
    return request.kind === "disconnect";
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    pipes.send(...answerParts(error.status, error.message));
    return false;
  }
}

function perform(pipes: Pipes, store: Store, request: Request): void {
  const { kind, sealKey } = request;
  const done = (body?: Uint8Array) => pipes.send(...answerParts("done", body));
  switch (kind) {
    case "set":
      store.set(request.key!, request.value!, sealKey);
      done();
      break;
    case "get": {
      const value = store.get(request.key!, sealKey);
      try {
        done(value);
      } finally {
        if (!store.plain) value.fill(0);
      }
      break;
    }
    case "keyset":
      done(keysetBytes(store.keys()));
      break;
    case "delete":
      store.delete(request.key!);
      done();
      break;
    case "has":
      done(store.has(request.key!) ? yes : no);
      break;
    case "seal":
      store.seal(sealKey!);
      done();
      break;
    case "disconnect":
      done();
      break;
  }
}

function endOf(pipes: Pipes, error: IpcError): CopyEnd {
  switch (error.code) {
    case "ETIMEDOUT":
      tell(pipes, "idle", "nothing was asked for too long, and the copy has ended");
      return "idle";
    case "ECLOSED":
      tell(pipes, "ended", "the service has ended, and its copies with it");
      return "ended";
    case "EMSGSIZE":
      tell(pipes, "too_long", "no request is as long as that; the copy has ended");
      return "broken";
    default:
      return "broken";
  }
}

/** Whoever reads nothing is not waited for: it was, or has gone. */
function tell(pipes: Pipes, status: Status, text: string): void {
  try {
    pipes.send(...answerParts(status, text));
  } catch (error) {
    if (!(error instanceof IpcError)) throw error;
  }
}
