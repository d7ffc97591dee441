/**
 * Sockets that a service manager has made and listens on, so that clients can connect before the service is up, and while
 * it starts anew. systemd passes them as descriptors from 3 on, and tells of them in LISTEN_PID, LISTEN_FDS and
 * LISTEN_FDNAMES (sd_listen_fds(3)); launchd is asked for them by a name of its own (launch_activate_socket(3)).
 */

import { codes, errorOf, IpcError, systemFailure } from "../native/errors.ts";
import { constants, Failure } from "../native/layout.ts";
import { ipcLibrary } from "../native/library.ts";
import { Struct } from "../native/struct.ts";
import { Descriptor } from "./descriptor.ts";
import { inherit } from "./listener.ts";
import { nativeText } from "./run-directory.ts";

/** SD_LISTEN_FDS_START */
const first = 3;
/** As many as anybody passes, so that a wrong number does not keep us for long. */
const countMax = 1024;
/** What sd_listen_fds(3) takes out of the environment when it is done. */
const variables = ["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/** A socket that listens, for `serve` as its `descriptor`. */
export type Activated = {
  /** What the manager calls it: "" if it does not say. */
  readonly name: string;
  /** Where clients find it. */
  readonly path: string;
  readonly descriptor: Descriptor;
};

/**
 * The sockets that systemd, or what speaks like it, has passed to this process: none if it has not. It takes what tells
 * of them out of `process.env`, so that they are found once, and the descriptors do not outlive an exec. (`Bun.spawn`
 * without `env` passes the variables as they were at the start; no child takes them for its own, by LISTEN_PID.) Throws
 * if one is not what a service can be served on.
 *
 * @example
 * const [socket] = activated();
 * const pong = await serve("pong", handlers, { descriptor: socket?.descriptor });
 */
export function activated(): Activated[] {
  const { LISTEN_PID: pid, LISTEN_FDS: fds, LISTEN_FDNAMES: names } = process.env;
  for (const variable of variables) delete process.env[variable];
  // They may be a parent's, who has passed its environment on.
  if (pid === undefined || fds === undefined || Number(pid) !== process.pid) return [];
  const count = Number(fds);
  if (!/^[0-9]+$/.test(fds) || count > countMax) {
    throw new IpcError("EINVAL", `EINVAL: LISTEN_FDS is "${fds}", and no number up to ${countMax}`);
  }
  const called = names === undefined ? [] : names.split(":");
  if (names !== undefined && called.length !== count) {
    const text = `LISTEN_FDNAMES has ${called.length} names for ${count} descriptors`;
    throw new IpcError("EINVAL", `EINVAL: ${text}: "${names}"`);
  }
  return sockets(
    Array.from({ length: count }, (_, index) => first + index),
    (index) => called[index] ?? "",
  );
}

/**
 * The sockets that launchd has made for this process under `name`, a key of `Sockets` in its property list. Throws
 * ENOTSUP where there is no launchd, and ENOENT if it has none of that name.
 */
export function launched(name: string): Activated[] {
  const numbers = new Int32Array(constants.launch_sockets_max);
  const failure = new Struct(Failure);
  const { calls } = ipcLibrary();
  const count = calls.earshot_ipc_launch_sockets(...nativeText(name), numbers, failure.bytes);
  if (count >= 0) return sockets([...numbers.subarray(0, count)], () => name);
  throw launchError(name, count, failure);
}

function launchError(name: string, code: number, failure: Struct<typeof Failure>): IpcError {
  const error = errorOf(code, systemFailure(failure));
  const text =
    code === codes.not_available.number
      ? "this system has no launchd"
      : code === codes.service_missing.number
        ? `launchd has no socket "${name}" for this process`
        : code === codes.already_served.number
          ? `launchd has given out the socket "${name}" already`
          : undefined;
  return text === undefined ? error : new IpcError(error.code, `${error.code}: ${text}`);
}

/** On failure none is closed: where the count is wrong, one may be something that Bun has open. */
function sockets(numbers: readonly number[], name: (index: number) => string): Activated[] {
  const paths = numbers.map((number) => inherit(number));
  return paths.map((path, index) => ({
    name: name(index),
    path,
    descriptor: new Descriptor(numbers[index]!),
  }));
}

/**
 * The one that is meant for the service `name`; the others are closed. One alone is, whatever it is called; of several
 * the one called `name`, or `name.socket`, as systemd calls it by itself. Undefined if there are none.
 */
export function socketFor(name: string, found: readonly Activated[]): Activated | undefined {
  const meant =
    found.length === 1
      ? found
      : found.filter((socket) => socket.name === name || socket.name === `${name}.socket`);
  for (const socket of found) if (socket !== meant[0]) socket.descriptor.close();
  if (meant.length === 1 || found.length === 0) return meant[0];
  meant[0]?.descriptor.close();
  const names = found.map((socket) => `"${socket.name}"`).join(", ");
  throw new IpcError(
    "EINVAL",
    `EINVAL: of ${found.length} sockets ${meant.length === 0 ? "none" : "more than one"} is called "${name}" ` +
      `(LISTEN_FDNAMES); they are called ${names}`,
  );
}
