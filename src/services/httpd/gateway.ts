/** What is between Bun's HTTP server and the services: each request finds its service, and its way back. */

import { connect } from "../../ipc/connect.ts";
import type { ConnectOptions } from "../../ipc/context-options.ts";
import { limitDefaults } from "../../ipc/limits.ts";
import { Counters } from "../daemon/counters.ts";
import type { Origins } from "../daemon/origins.ts";
import { pathRule, strayName } from "../daemon/target.ts";
import type { Counts } from "../startable.ts";
import { inPieces, isSmall, octets } from "./answer.ts";
import type { Asker } from "./asker.ts";
import { announcedLength, collect } from "./body.ts";
import { type Exchange, Exchanges } from "./exchange.ts";
import { Held } from "./held.ts";
import { Pool } from "./pool.ts";
import { Refusal, refusalOf } from "./refusal.ts";
import { Shared } from "./shared.ts";
import { Stream } from "./stream.ts";

export type GatewayOptions = {
  /** The services that can be asked. */
  readonly names: readonly string[];
  /** Those that answer each message once, and all of a connection in order. */
  readonly ordered: { has(name: string): boolean };
  /** The web pages that may ask. */
  readonly origins: Origins;
  readonly connect: ConnectOptions;
  readonly requestsMax: number;
  readonly streamsMax: number;
  readonly poolMax: number;
  readonly fresh: boolean;
  readonly heldBytesMax: number;
  readonly bodyMs: number;
  readonly answerMs: number;
  /** The time-out that Bun's server has, in seconds. */
  readonly idle: number;
  readonly pieceBytesMax: number;
  readonly complain: (what: string, kind: string) => void;
};

/** Beside these there is `bytes_held`: what bodies and answers take up at the moment, as `--held-max` counts it. */
const counted = [
  "requests",
  "streams",
  "answers_2xx",
  "answers_4xx",
  "answers_5xx",
  "refused",
  "timeouts",
  "broken_off",
  "unasked",
  "bytes_in",
  "bytes_out",
] as const;

type Server = Bun.Server<undefined>;

export class Gateway {
  readonly #counters = new Counters(counted);
  readonly #options: GatewayOptions;
  readonly #bytesMax: number;
  readonly #askers: ReadonlyMap<string, Asker>;
  readonly #exchanges: Exchanges;
  readonly #held: Held;
  #streams = 0;
  #closing = false;
  #server: Server | undefined;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#bytesMax = options.connect.messageBytesMax ?? limitDefaults.messageBytesMax;
    this.#held = new Held(options.heldBytesMax);
    this.#exchanges = new Exchanges(options, (exchange) => this.#putOff(exchange));
    const asker = (service: string) => {
      const Kind = options.ordered.has(service) ? Shared : Pool;
      return new Kind({
        service,
        connect: options.connect,
        connectionsMax: options.poolMax,
        fresh: options.fresh,
        onUnasked: (isFirst) => {
          this.#counters.add("unasked");
          if (!isFirst || options.fresh) return;
          options.complain(
            `"${service}" sent what no request had asked for: from now on each request has a connection of its own, as with --fresh`,
            // Of each service, and not only of the first.
            `unasked ${service}`,
          );
        },
      });
    };
    this.#askers = new Map(options.names.map((name) => [name, asker(name)]));
  }

  counters(): Counts {
    return { ...this.#counters.all(), bytes_held: this.#held.bytes };
  }

  /** For requests at `/NAME`. */
  async ask(service: string, request: Request, server: Server): Promise<Response> {
    this.#server = server;
    const begun = this.#begin(request);
    if (begun instanceof Response) return begun;
    try {
      return isStream(request.url)
        ? await this.#stream(service, begun)
        : await this.#one(service, begun);
    } catch (error) {
      return this.#refuse(begun, refusalOf(error, service));
    }
  }

  /** For those at `/`. */
  list(request: Request): Response {
    this.#counters.add("requests");
    const foreign = this.#foreign(request);
    if (foreign !== undefined) return this.#turnDown(request, foreign);
    if (request.method === "OPTIONS") return this.#counted(allowing("GET, HEAD, OPTIONS"));
    if (request.method !== "GET" && request.method !== "HEAD") {
      return this.#turnDown(
        request,
        new Refusal("method_not_allowed", "this is a list", "GET, HEAD, OPTIONS"),
      );
    }
    return this.#counted(Response.json({ services: this.#options.names }));
  }

  /** For all others. */
  stray(request: Request): Response {
    this.#counters.add("requests");
    return this.#turnDown(request, this.#foreign(request) ?? strayed(request.url, this.#askers));
  }

  /** Answers what it has begun, and refuses the rest; at once with `now`. */
  async close(now: boolean): Promise<void> {
    this.#closing = true;
    if (now) this.#exchanges.giveUpAll(() => new Refusal("closing", "the daemon is being closed"));
    await this.#exchanges.over();
    await Promise.all([...this.#askers.values()].map((pool) => pool.close()));
  }

  // ---- inside ----

  #begin(request: Request): Exchange | Response {
    this.#counters.add("requests");
    const refusal = this.#obstacle(request);
    if (refusal !== undefined) return this.#turnDown(request, refusal);
    if (request.method === "OPTIONS") return this.#counted(allowing("POST, OPTIONS"));
    return this.#exchanges.begin(request);
  }

  #foreign({ method, headers }: Request): Refusal | undefined {
    const { origins } = this.#options;
    // A browser keeps a page of others from reading an answer, but it does send what the page likes to any address of
    // this machine, with its origin.
    const origin = headers.get("origin");
    // What a page reads of where it takes itself to be from has no origin, but for POST.
    if (origin === null && method === "POST") return undefined;
    const host = headers.get("host");
    if (origin !== null) {
      if (origins.allows(origin, host)) return undefined;
      return new Refusal("foreign_origin", "pages of that origin are not answered (see --origin)");
    }
    if (origins.knows(host)) return undefined;
    return new Refusal(
      "foreign_host",
      `this is asked by number, as localhost, or as --listen or --origin has it, and not as ${JSON.stringify(host)}`,
    );
  }

  #obstacle(request: Request): Refusal | undefined {
    const foreign = this.#foreign(request);
    if (foreign !== undefined) return foreign;
    const { method } = request;
    if (method === "OPTIONS") return undefined;
    if (method !== "POST") {
      return new Refusal("method_not_allowed", "a service is asked with POST", "POST, OPTIONS");
    }
    if (this.#closing) return new Refusal("closing", "the daemon is being closed");
    if (this.#exchanges.count < this.#options.requestsMax) return undefined;
    this.#options.complain("as many requests at once as are allowed", "requests_limit");
    return new Refusal("too_many_requests", "as many requests at once as are allowed");
  }

  async #one(service: string, exchange: Exchange): Promise<Response> {
    this.#held.check();
    const body = await collect(exchange, this.#bytesMax, this.#held);
    this.#counters.add("bytes_in", body.length);
    exchange.check();
    exchange.enter("answer");
    const answer = await this.#askers.get(service)!.ask(exchange, body);
    this.#giveBack(exchange);
    if (exchange.request.signal.aborted) {
      // It has gone, or has sent a second request before the answer to the first, at which Bun ends it.
      this.#over(exchange, false);
      return new Response(null);
    }
    if (!isSmall(answer)) this.#hold(exchange, answer.length);
    this.#counters.add("bytes_out", answer.length);
    this.#counters.add("answers_2xx");
    if (exchange.putOff) this.#server?.timeout(exchange.request, this.#options.idle);
    if (isSmall(answer)) {
      this.#end(exchange);
      return new Response(answer, octets);
    }
    exchange.enter("writing");
    return new Response(
      inPieces(answer, exchange, (whole) => this.#over(exchange, whole)),
      octets,
    );
  }

  async #stream(service: string, exchange: Exchange): Promise<Response> {
    const { streamsMax, pieceBytesMax } = this.#options;
    if (this.#streams >= streamsMax) {
      throw new Refusal("too_many_requests", "as many streams at once as are allowed");
    }
    this.#streams += 1;
    this.#counters.add("streams");
    exchange.enter("answer");
    // A stream may be slow as long as it goes on; how long it may not is for the exchange to see.
    this.#putOff(exchange);
    try {
      const connection = await connect(service, this.#options.connect);
      if (exchange.givenUp !== undefined) void connection.close({ now: true });
      exchange.check();
      const stream = new Stream(exchange, connection, {
        pieceBytesMax: Math.min(pieceBytesMax, this.#bytesMax),
        onBytesIn: (count) => this.#counters.add("bytes_in", count),
        onBytesOut: (count) => this.#counters.add("bytes_out", count),
        onOver: (whole) => {
          this.#streams -= 1;
          this.#over(exchange, whole);
        },
      });
      this.#counters.add("answers_2xx");
      return new Response(stream.answers(), octets);
    } catch (error) {
      this.#streams -= 1;
      throw error;
    }
  }

  /** While a service is waited for, Bun is not to take the remote for idle. */
  #putOff(exchange: Exchange): void {
    if (exchange.putOff || exchange.phase !== "answer") return;
    exchange.putOff = true;
    this.#server?.timeout(exchange.request, 0);
  }

  #over(exchange: Exchange, whole: boolean): void {
    if (!whole) this.#counters.add(exchange.givenUp === undefined ? "broken_off" : "timeouts");
    this.#end(exchange);
  }

  #end(exchange: Exchange): void {
    this.#giveBack(exchange);
    this.#exchanges.end(exchange);
  }

  /** How long an answer is, nobody knows before it is there: one that has no room then is given up. */
  #hold(exchange: Exchange, bytes: number): void {
    this.#held.take(bytes);
    exchange.held += bytes;
  }

  /** Nothing is held for it any more. */
  #giveBack(exchange: Exchange): void {
    this.#held.give(exchange.held);
    exchange.held = 0;
  }

  #refuse(exchange: Exchange, because: Refusal): Response {
    const refusal = exchange.givenUp ?? because;
    this.#end(exchange);
    if (exchange.putOff) this.#server?.timeout(exchange.request, this.#options.idle);
    // Remotes who were answered, and may ask again, can come back.
    if (refusal.code === "no_descriptors") this.#server?.closeIdleConnections();
    if (refusal.code === "timeout" || refusal.code === "body_timeout") {
      this.#counters.add("timeouts");
    }
    return this.#turnDown(exchange.request, refusal, exchange.phase === "body");
  }

  /** `unread`: whether some of its body may still come, for which nobody waits. */
  #turnDown(request: Request, refusal: Refusal, unread = true): Response {
    this.#counters.add("refused");
    return this.#counted(refusal.response(unread && announcedLength(request) !== 0));
  }

  #counted(response: Response): Response {
    const kind = response.status >= 500 ? "5xx" : response.status >= 400 ? "4xx" : "2xx";
    this.#counters.add(`answers_${kind}`);
    return response;
  }
}

/** Throws a Refusal for a query that means nothing here, which somebody meant something by. */
function isStream(url: string): boolean {
  const query = url.indexOf("?");
  if (query < 0) return false;
  if (url.slice(query) === "?stream") return true;
  throw new Refusal("bad_path", "the only query is ?stream");
}

function allowing(methods: string): Response {
  return new Response(null, { status: 204, headers: { Allow: methods } });
}

/** What is wrong with a path that Bun did not find. */
function strayed(url: string, services: ReadonlyMap<string, unknown>): Refusal {
  const name = strayName(url, services);
  if (name === undefined) return new Refusal("bad_path", pathRule);
  return new Refusal("not_found", `there is no "${name}" here`);
}
