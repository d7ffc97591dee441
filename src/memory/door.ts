/**
 * Who is let in to a memory socket, and who is not. It tells each over his Unix connection, as `hello.ts` has it:
 *
 *     waiting ──hello──▶ let in
 *        │       └──if it is sealed──▶ welcomed ──proof──▶ let in
 *        └──nothing in time, or what is no good──▶ refused ◀──┘
 *
 * Where it is sealed, those who are not in are bounded by themselves, and take up no places of those who are.
 */

import { closeSync } from "node:fs";
import type { KeyPair } from "../crypto/key-pair.ts";
import { type Agreed, answer, checkProof } from "../crypto/meeting.ts";
import { crowded, full, pushedOut, Strangers } from "../crypto/strangers.ts";
import type { Connection } from "../ipc/connection.ts";
import type { Peer } from "../ipc/context.ts";
import type { Message } from "../ipc/message.ts";
import { IpcError, isClosed } from "../native/errors.ts";
import type { Reason } from "../native/layout.ts";
import { Segment } from "../native/shared-memory.ts";
import {
  about,
  formatRefusal,
  formatWelcome,
  type Hello,
  parseHello,
  type Refusal,
  type RingSizes,
} from "./hello.ts";
import { closeRings, type Rings } from "./traffic.ts";

export type DoorSettings = {
  /** No rings are larger. */
  readonly most: RingSizes;
  /** How long a client may take to be let in. */
  readonly helloMs: number | undefined;
  /** Those of this end, and who may come in, if it is sealed. */
  readonly keys: KeyPair | undefined;
  readonly allowed: ReadonlySet<string>;
};

/** What those are counted as who are refused. */
const reasons = {
  EPROTO: "malformed",
  EINVAL: "malformed",
  EMFILE: "descriptor_limit",
  EKEY: "not_allowed",
  EBUSY: "connections_limit",
} as const;

/** Who is told. The rings and the seal are his from then on. */
export type Host = {
  /** Whether there are as many as may be. */
  readonly full: boolean;
  enter(link: Connection, rings: Rings, agreed: Agreed | undefined): void;
  refused(peer: Peer, reason: Reason, refusal: Refusal, cause?: unknown): void;
};

/** A client that was told what it asked for, and has still to prove who it is. */
type Welcomed = { rings: Rings; agreed: Agreed };

export class Door {
  readonly #service: string;
  readonly #host: Host;
  readonly #settings: DoorSettings;
  readonly #waiting = new Map<Connection, ReturnType<typeof setTimeout> | undefined>();
  readonly #welcomed = new Map<Connection, Welcomed>();
  readonly #strangers = new Strangers<Connection>();
  /** Those that had ended when their hello was heard. */
  readonly #gone = new WeakSet<Connection>();

  constructor(service: string, host: Host, settings: DoorSettings) {
    this.#service = service;
    this.#host = host;
    this.#settings = settings;
  }

  /** Somebody is there, and has said nothing yet. */
  await(link: Connection): void {
    const { helloMs } = this.#settings;
    const expire = () => this.#expire(link);
    this.#waiting.set(link, helloMs === undefined ? undefined : setTimeout(expire, helloMs));
    // Without a seal whoever comes is let in, and none is a stranger.
    if (this.#settings.keys === undefined) return;
    this.#giveWay(this.#strangers.come(link));
  }

  /** Who has waited longest, where there are too many. */
  #giveWay(oldest: Connection | undefined): void {
    if (oldest === undefined) return;
    this.#refuse(oldest, { code: "EBUSY", message: `${pushedOut}; try again` });
  }

  #expire(link: Connection): void {
    this.#refuse(
      link,
      this.#welcomed.has(link)
        ? { code: "EKEY", message: "no proof of its public key came in time" }
        : { code: "EPROTO", message: "no hello came in time" },
      undefined,
      "stalled",
    );
  }

  /** He says something, and is not in. */
  heard(link: Connection, message: Message): void {
    if (this.#gone.has(link)) return;
    const welcomed = this.#welcomed.get(link);
    if (welcomed !== undefined) this.#prove(link, welcomed, message);
    else if (this.#waiting.has(link)) this.#welcome(link, message);
  }

  /** He is gone, or in. Returns whether he was neither before. */
  forget(link: Connection): boolean {
    clearTimeout(this.#waiting.get(link));
    const waited = this.#waiting.delete(link);
    this.#strangers.delete(link);
    const welcomed = this.#welcomed.get(link);
    if (welcomed !== undefined) {
      this.#welcomed.delete(link);
      closeRings(welcomed.rings);
      welcomed.agreed.seal.close();
    }
    return waited;
  }

  /** Whoever is not in stays out. */
  close(): void {
    for (const link of this.#waiting.keys()) {
      this.forget(link);
      void link.close({ now: true });
    }
  }

  #welcome(link: Connection, message: Message): void {
    let hello: Hello;
    try {
      hello = parseHello(message.bytes);
    } catch (error) {
      this.#refuse(link, { code: "EPROTO", message: (error as Error).message });
      return;
    }
    if (hello.seal !== undefined && !this.#strangers.canGreet) {
      this.#refuse(link, { code: "EBUSY", message: `${crowded}; try again` });
      return;
    }
    try {
      this.#answer(link, hello.rings, this.#sealed(hello));
    } catch (error) {
      this.#refuse(link, { code: "EKEY", message: reasonOf(error) }, error);
    }
  }

  /** What is said to whoever wants a seal. Throws an Error that says why he is not let in. */
  #sealed({ rings, seal }: Hello) {
    const { keys, allowed } = this.#settings;
    if (keys !== undefined && seal !== undefined) {
      return answer(keys, allowed, seal, about(this.#service, rings));
    }
    if (keys !== undefined) throw new Error("it is sealed here; connect with keys, and peer");
    if (seal !== undefined) throw new Error("it is not sealed here; connect without keys");
    return undefined;
  }

  #answer(
    link: Connection,
    asked: RingSizes,
    sealed: { message: string; agreed: Agreed } | undefined,
  ): void {
    if (sealed !== undefined && this.#host.full) {
      sealed.agreed.seal.close();
      this.#refuseAsFull(link);
      return;
    }
    const { most } = this.#settings;
    const sizes = { up: Math.min(asked.up, most.up), down: Math.min(asked.down, most.down) };
    let rings: Rings;
    try {
      rings = send(link, sizes, sealed?.message);
    } catch (error) {
      sealed?.agreed.seal.close();
      if (isClosed(error)) {
        // What he may have said since is no hello; how he went is still to be told.
        this.#gone.add(link);
        return;
      }
      const message = "there is no room for another connection";
      this.#refuse(link, { code: "EMFILE", message }, error);
      return;
    }
    if (sealed === undefined) this.#enter(link, rings);
    // What somebody has recorded could be said again, but not proved.
    else {
      this.#welcomed.set(link, { rings, agreed: sealed.agreed });
      this.#giveWay(this.#strangers.greet(link));
    }
  }

  #prove(link: Connection, { rings, agreed }: Welcomed, message: Message): void {
    try {
      checkProof(agreed.seal, message.bytes);
    } catch (error) {
      this.#refuse(link, { code: "EKEY", message: "it could not prove its public key" }, error);
      return;
    }
    // A welcome holds no place: whoever says an old hello again would have one.
    if (this.#host.full) {
      this.#refuseAsFull(link);
      return;
    }
    this.#welcomed.delete(link);
    this.#enter(link, rings, agreed);
  }

  #enter(link: Connection, rings: Rings, agreed?: Agreed): void {
    this.forget(link);
    this.#host.enter(link, rings, agreed);
  }

  #refuseAsFull(link: Connection): void {
    this.#refuse(link, { code: "EMFILE", message: full }, undefined, "connections_limit");
  }

  #refuse(
    link: Connection,
    refusal: Refusal,
    cause?: unknown,
    reason: Reason = reasons[refusal.code],
  ): void {
    this.forget(link);
    if (link.open) link.send(formatRefusal(refusal));
    void link.close();
    this.#host.refused(link.peer, reason, refusal, cause);
  }
}

/** Makes the rings, and sends their descriptors with the welcome. */
function send(link: Connection, sizes: RingSizes, seal: string | undefined): Rings {
  const made: number[] = [];
  const mapped: Segment[] = [];
  try {
    for (const bytes of [sizes.up, sizes.down]) {
      const descriptor = Segment.create(bytes);
      made.push(descriptor);
      mapped.push(new Segment(descriptor, bytes));
    }
    link.send(formatWelcome({ rings: sizes, seal }), { descriptors: made });
    return { in: mapped[0]!, out: mapped[1]! };
  } catch (error) {
    for (const segment of mapped) segment.close();
    throw error;
  } finally {
    for (const descriptor of made) closeSync(descriptor);
  }
}

/** What went wrong, without the code that an error begins with: a refusal has one of its own. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = error instanceof IpcError ? `${error.code}: ` : "";
  return error.message.startsWith(code) ? error.message.slice(code.length) : error.message;
}
