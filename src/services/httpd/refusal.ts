/** What a remote is told instead of an answer: a status, and why, in JSON. */

import { IpcError } from "../../native/errors.ts";
import { exhaustedText } from "../daemon/way.ts";

/** The word for each, for programs, and its status (RFC 9110, section 15). */
const statuses = {
  bad_path: 400,
  body_broken: 400,
  foreign_origin: 403,
  foreign_host: 403,
  not_found: 404,
  method_not_allowed: 405,
  body_timeout: 408,
  body_too_long: 413,
  internal: 500,
  service_reset: 502,
  service_not_running: 503,
  service_busy: 503,
  no_descriptors: 503,
  too_many_requests: 503,
  too_much_held: 503,
  closing: 503,
  timeout: 504,
} as const;

export type RefusalCode = keyof typeof statuses;

/** After so long it may be another matter, in seconds. */
const retryAfter = "1";

export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly code: RefusalCode;
  readonly #allow: string | undefined;

  /** `allow` is what can be done instead (for `method_not_allowed`). */
  constructor(code: RefusalCode, message: string, allow?: string) {
    super(message);
    this.code = code;
    this.#allow = allow;
  }

  get status(): number {
    return statuses[this.code];
  }

  /** `close` where the rest of what the remote sends is of no use to anybody. */
  response(close: boolean): Response {
    const { code, message, status } = this;
    const headers: Record<string, string> = {};
    if (this.#allow !== undefined) headers["Allow"] = this.#allow;
    if (status === 503) headers["Retry-After"] = retryAfter;
    if (close) headers["Connection"] = "close";
    return Response.json({ error: { code, message } }, { status, headers });
  }
}

/** What a remote may know of a failure: nothing of paths or processes here. */
export function refusalOf(error: unknown, service: string): Refusal {
  if (error instanceof Refusal) return error;
  switch (error instanceof IpcError ? error.code : undefined) {
    case "ENOENT":
    case "ECONNREFUSED":
      return new Refusal("service_not_running", `"${service}" is not running`);
    case "EBUSY":
      return new Refusal("service_busy", `"${service}" has no room for another connection`);
    case "EMFILE":
      return new Refusal("no_descriptors", exhaustedText);
    case "ECONNRESET":
    case "ECLOSED":
      return new Refusal("service_reset", `"${service}" went away without an answer`);
    case "EMSGSIZE":
      return new Refusal("body_too_long", `the body is longer than "${service}" may be sent`);
    default:
      return new Refusal("internal", `"${service}" could not be asked`);
  }
}
