/** Listens for WebSockets, and keeps all remotes until they or it go. */

import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import { limitDefaults } from "../../ipc/limits.ts";
import { IpcError } from "../../native/errors.ts";
import { formatAddress, unmapped } from "../daemon/address.ts";
import type { Leave } from "../daemon/admission.ts";
import { NotAdmitted } from "../daemon/admission.ts";
import { listenAt } from "../daemon/listen.ts";
import { exhaustedText, isExhausted } from "../daemon/way.ts";
import type { Counts, Running } from "../startable.ts";
import type { Admission, Refusal } from "./door.ts";
import { Door, noService, refuse } from "./door.ts";
import { page } from "./page.ts";
import type { House, Socket } from "./remote.ts";
import { closeCodes, Remote } from "./remote.ts";
import type { Settings } from "./settings.ts";
import type { Tally } from "./tally.ts";

/** How often what remotes have not read is looked at while the daemon closes. */
const drainLookMs = 5;
/** Nobody serves it, or who did is gone. */
const isAbsent: ReadonlySet<string> = new Set(["ENOENT", "ECONNREFUSED"]);
/** How long a service may have no room for another connection before the remote is told so. */
const connectMs = 5000;

export class Server implements Running {
  readonly name: string;
  readonly #settings: Settings;
  readonly #tally: Tally;
  readonly #remotes = new Set<Remote>();
  readonly #door: Door;
  readonly #house: House;
  readonly #server: Bun.Server<Remote>;
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  /** Those that are at the door, and are promised a place. */
  #coming = 0;
  #closed: Promise<void> | undefined;

  /** Rejects with why it cannot listen. */
  static start(settings: Settings): Promise<Server> {
    return listenAt(settings.listen, (listen) => new Server({ ...settings, listen }));
  }

  private constructor(settings: Settings) {
    const { exposure, origins, deflate, connection, tally } = settings;
    this.#tally = tally;
    this.name = settings.name;
    this.#settings = settings;
    this.#door = new Door(exposure, origins);
    this.#house = {
      tally,
      queueBytesHigh: connection.queueBytesHigh,
      deflate,
      heldBytesMax: settings.heldBytesMax,
      held: () => [...this.#remotes].reduce((sum, { heldBytes }) => sum + heldBytes, 0),
    };
    this.#server = this.#listen();
    this.#every(settings.pingMs, () => this.#askAll());
    this.#every(settings.idleMs / 2, () => this.#closeIdle());
  }

  get path(): string {
    const { hostname, port } = this.#server;
    return `ws://${formatAddress({ host: hostname!, port: port! })}/`;
  }

  counters(): Counts {
    return { ...this.#tally.all(), open: this.#remotes.size, bytes_held: this.#house.held() };
  }

  /** Lets nobody in any more, has everybody read what waits for them, and says that it goes. */
  close({ now = false }: { now?: boolean } = {}): Promise<void> {
    if (now) for (const remote of this.#remotes) remote.drop();
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    // Those that are here stay until they are told.
    void this.#server.stop();
    const until = performance.now() + limitDefaults.drainTimeout;
    while (this.#remotes.size > 0) {
      const isOver = performance.now() >= until;
      for (const remote of this.#remotes) {
        remote.finish();
        if (isOver) remote.drop();
        else if (remote.queuedBytes === 0) remote.end(closeCodes.goingAway, "this daemon ends");
      }
      if (this.#remotes.size > 0) await sleep(drainLookMs);
    }
    await this.#server.stop(true);
    await this.#settings.admission.close();
  }

  #listen(): Bun.Server<Remote> {
    const { listen, exposure, connection, deflate } = this.#settings;
    const answer = (name: string) => (request: Request, server: Bun.Server<Remote>) =>
      this.#answer(name, request, server);
    const shared = { compress: "shared", decompress: "shared" } as const;
    return Bun.serve<Remote>({
      hostname: listen.host,
      port: listen.port,
      routes: {
        "/": (request: Request) => this.#front(request),
        ...Object.fromEntries(exposure.names.map((name) => [`/${name}`, answer(name)])),
      },
      fetch: (request) => this.#refuse(this.#door.stray(request)),
      // A page's request has no body; what a remote sends as one is not kept.
      maxRequestBodySize: 0,
      error: (error) => {
        this.#settings.complain("a request", `could not be answered: ${error.message}`, "error");
        return refuse({ status: 500, why: "something went wrong here" });
      },
      websocket: {
        maxPayloadLength: connection.messageBytesMax,
        // What waits is bounded by reading from the service no more.
        backpressureLimit: 0,
        // Bun's own begins anew with each message that is sent, so that it never drops who only listens and is gone.
        idleTimeout: 0,
        sendPings: false,
        perMessageDeflate: deflate ? shared : false,
        open: (socket) => this.#open(socket),
        message: (socket, message) => socket.data.receive(message),
        ping: (socket) => socket.data.heard(),
        pong: (socket) => socket.data.heard(),
        drain: (socket) => socket.data.drained(),
        close: (socket, code, reason) => this.#left(socket.data, code, reason),
        error: (error, socket) => this.#failed(socket.data, error),
      },
    });
  }

  #front(request: Request): Response {
    if (request.headers.has("Upgrade")) return this.#refuse(noService);
    const foreign = this.#door.refuseHost(request);
    if (foreign !== undefined) return this.#refuse(foreign);
    this.#tally.add("pages");
    return page(request, this.#settings.exposure.names);
  }

  async #answer(
    name: string,
    request: Request,
    server: Bun.Server<Remote>,
  ): Promise<Response | undefined> {
    const admission = this.#door.admit(name, request);
    const refusal = "why" in admission ? admission : await this.#bind(admission, request, server);
    return refusal === undefined ? undefined : this.#refuse(refusal);
  }

  #refuse(refusal: Refusal): Response {
    const { status } = refusal;
    this.#tally.add(`refused_${status as 400 | 403 | 404 | 405 | 426 | 503}`);
    return refuse(refusal);
  }

  /** Connects to the service, and makes a WebSocket of the request. */
  async #bind(
    admission: Admission,
    request: Request,
    server: Bun.Server<Remote>,
  ): Promise<Refusal | undefined> {
    if (this.#remotes.size + this.#coming >= this.#settings.remotesMax) {
      return { status: 503, why: "as many are connected as are allowed; try again later" };
    }
    const { address = "somebody", port = 0 } = server.requestIP(request) ?? {};
    const where = unmapped({ host: address, port });
    const remote = new Remote(formatAddress(where), admission, this.#house);
    this.#coming += 1;
    try {
      const leave = await this.#settings.admission.admit(admission.service, where);
      return await this.#bindAdmitted(remote, leave, admission, request, server);
    } catch (error) {
      if (!(error instanceof NotAdmitted)) throw error;
      this.#settings.complain(remote.who, error.message, "denied");
      return error.isDenied ? noService : { status: 503, why: error.excuse };
    } finally {
      this.#coming -= 1;
    }
  }

  async #bindAdmitted(
    remote: Remote,
    leave: Leave,
    { subprotocol }: Admission,
    request: Request,
    server: Bun.Server<Remote>,
  ): Promise<Refusal | undefined> {
    let isBound = false;
    try {
      const connection = await this.#connect(remote, request.signal);
      if ("why" in connection) return connection;
      connection.gathers = true;
      remote.bind(connection, leave);
      const headers =
        subprotocol === undefined ? undefined : { "Sec-WebSocket-Protocol": subprotocol };
      isBound = server.upgrade(request, { data: remote, ...(headers && { headers }) });
      if (isBound) return undefined;
      void connection.close();
      return { status: 400, why: "this is no handshake of a WebSocket" };
    } finally {
      if (!isBound) leave();
    }
  }

  async #connect(remote: Remote, signal: AbortSignal): Promise<Connection | Refusal> {
    const { connection, complain } = this.#settings;
    try {
      return await connect(remote.service, {
        ...connection,
        // Whatever the environment says, it leads to the services of this run directory.
        network: "",
        // One for each remote, of which there are many, and rings are large.
        transport: "unix",
        timeout: connectMs,
        message: (_, message) => remote.deliver(message),
        drain: () => remote.serviceDrained(),
        close: (_, end) => remote.serviceGone(end),
        error: (_, failure) => this.#failed(remote, failure),
      });
    } catch (error) {
      if (!(error instanceof IpcError)) throw error;
      if (!signal.aborted) {
        complain(remote.who, `no way to ${remote.service}: ${error.message}`, error.code);
      }
      // What is wrong here in particular is for the people of this machine.
      if (isExhausted(error)) return { status: 503, why: exhaustedText };
      const why = isAbsent.has(error.code) ? "is not running" : "cannot be reached now";
      return { status: 503, why: `${remote.service} ${why}; try again later` };
    }
  }

  #open(socket: Socket): void {
    this.#remotes.add(socket.data);
    this.#tally.add("accepted");
    socket.data.opened(socket);
  }

  #left(remote: Remote, code: number, reason: string): void {
    this.#remotes.delete(remote);
    // With this code, what the remote has done wrong; Bun has told it with the code for that.
    if (code === 1006 && reason !== "") {
      this.#tally.add("violations");
      this.#settings.complain(remote.who, `closed: ${reason}`, "violation");
    }
    // It ends by itself, and says so to `service_gone`.
    void remote.left();
  }

  /** Something went wrong with one remote, and is to harm no other. */
  #failed(remote: Remote, error: unknown): void {
    this.#settings.complain(remote.who, `closed: ${String(error)}`, "error");
    remote.end(closeCodes.internal, "something went wrong here");
  }

  #every(ms: number, act: () => void): void {
    if (ms === 0) return;
    const timer = setInterval(act, ms);
    timer.unref();
    this.#timers.push(timer);
  }

  #askAll(): void {
    for (const remote of this.#remotes) {
      if (remote.isThere()) continue;
      this.#tally.add("unanswered");
      this.#settings.complain(remote.who, "dropped: it does not answer", "unanswered");
      remote.drop();
    }
  }

  #closeIdle(): void {
    const now = performance.now();
    for (const remote of this.#remotes) {
      if (remote.idleMs(now) < this.#settings.idleMs) continue;
      this.#tally.add("idle");
      remote.end(closeCodes.policy, "no message for too long");
    }
  }
}
