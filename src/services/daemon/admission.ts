/**
 * Whether ipcd lets a remote in, beside `--allow`: a daemon asks `ipc.in` (`../ipcd/remotes.ts`) before it connects a
 * remote to a service, and tells when that has ended.
 *
 *     nobody serves ipc.in                  in: `--allow` is all there is
 *     ok                                    in, until `leave`
 *     error, or no answer for so long       out
 *
 * All remotes of a daemon are asked for over one connection, which is made when the first comes, and anew when ipcd has
 * come back. A new ipcd is not told of those who were let in before.
 */

import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import { answeredError, lookupService } from "../../ipc/lookup.ts";
import { IpcError } from "../../native/errors.ts";
import { remotesService } from "../ipcd/remotes.ts";
import type { Start } from "../startable.ts";
import type { Address } from "./address.ts";
import { formatAddress, unmapped } from "./address.ts";
import { exhaustedText, isExhausted } from "./way.ts";

/** ipcd answers at once, or something is wrong with it. */
const askTimeoutMs = 5000;
/** One more than is needed where ipcd goes while it is asked. */
const attemptsMax = 2;

/** To be called once, when the remote has gone. */
export type Leave = () => void;

/** Its message is for whoever runs the daemon. */
export class NotAdmitted extends Error {
  override readonly name = "NotAdmitted";
  /** Whether ipcd has said so; otherwise it has said nothing. */
  readonly isDenied: boolean;

  constructor(message: string, isDenied: boolean, cause?: unknown) {
    super(message, { cause });
    this.isDenied = isDenied;
  }

  /** What to say to the remote, where nobody has said whether it may come in. */
  get excuse(): string {
    if (isExhausted(this.cause)) return exhaustedText;
    return "it could not be found out whether you may come in; try again later";
  }
}

export class Admission {
  readonly #scheme: string;
  readonly #place: Pick<Start["options"], "rundir" | "shared">;
  readonly #timeoutMs: number;
  #desk: Promise<Connection | undefined> | undefined;
  #lastId = 0;

  constructor(
    scheme: string,
    { rundir, shared }: Pick<Start["options"], "rundir" | "shared">,
    timeoutMs = askTimeoutMs,
  ) {
    this.#scheme = scheme;
    this.#place = { rundir, shared };
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects with NotAdmitted. */
  async admit(service: string, address: Address): Promise<Leave> {
    for (let attempt = 1; ; attempt++) {
      try {
        const desk = await this.#reach();
        return desk === undefined ? stay : await this.#ask(desk, service, address);
      } catch (error) {
        if (error instanceof NotAdmitted) throw error;
        if (isGone(error) && attempt < attemptsMax) continue;
        const why = error instanceof Error ? error.message : String(error);
        throw new NotAdmitted(`ipcd could not be asked: ${why}`, false, error);
      }
    }
  }

  /** To be called when nobody comes any more, and all have gone. */
  async close(): Promise<void> {
    const desk = await this.#desk?.catch(() => undefined);
    await desk?.close({ now: true });
  }

  async #ask(desk: Connection, service: string, address: Address): Promise<Leave> {
    this.#lastId += 1;
    const id = this.#lastId;
    const leave = () => {
      // What a daemon has open ends with its connection.
      if (desk.open) desk.request(`close ${id}`).catch(stay);
    };
    try {
      const answer = await desk.request(`open ${id} ${service} ${this.#uriOf(address)}`, {
        timeout: this.#timeoutMs,
      });
      const error = answeredError(answer.bytes);
      if (error === undefined) return leave;
      throw new NotAdmitted(error, true);
    } catch (error) {
      // It may say yes yet.
      if (error instanceof IpcError && error.code === "ETIMEDOUT") leave();
      throw error;
    }
  }

  /** The connection to ipcd; undefined where nobody serves it. */
  async #reach(): Promise<Connection | undefined> {
    const known = this.#desk;
    const desk = await known?.catch(() => undefined);
    if (desk?.open === true) return desk;
    // Of all who have waited here, the first makes the next.
    if (this.#desk === known) this.#desk = this.#connect();
    return await this.#desk;
  }

  async #connect(): Promise<Connection | undefined> {
    try {
      return await connect(remotesService(lookupService), {
        ...this.#place,
        // The one here.
        network: "",
        timeout: this.#timeoutMs,
      });
    } catch (error) {
      if (isNobody(error)) return undefined;
      throw error;
    }
  }

  /** As rules have it: an address of IPv4 is written as one, whatever socket it came by, and without a zone. */
  #uriOf({ host, port }: Address): string {
    const bare = unmapped({ host: host.replace(/%.*$/, ""), port });
    return `${this.#scheme}://${formatAddress(bare)}`;
  }
}

const stay = () => undefined;

function isNobody(error: unknown): boolean {
  return error instanceof IpcError && (error.code === "ENOENT" || error.code === "ECONNREFUSED");
}

function isGone(error: unknown): boolean {
  return error instanceof IpcError && (error.code === "ECONNRESET" || error.code === "ECLOSED");
}
