/**
 * What a failed call becomes: an `IpcError` in the shape of Node's system errors, whose text says what was wrong,
 * where, and what to do.
 */

import { constants as system } from "node:os";
import { constants, nameFaults, syscalls } from "./layout.ts";

/** The library's result codes: its name, the `code` of the error it becomes, and its number. */
export const codes = {
  ok: { number: 0, code: "OK" },
  invalid_argument: { number: -1, code: "EINVAL" },
  closed: { number: -2, code: "ECLOSED" },
  wrong_thread: { number: -3, code: "ETHREAD" },
  out_of_memory: { number: -4, code: "ENOMEM" },
  not_available: { number: -5, code: "ENOTSUP" },
  handle_limit: { number: -6, code: "EHANDLES" },
  descriptor_limit: { number: -7, code: "EMFILE" },
  watch_limit: { number: -8, code: "ENOSPC" },
  thread_limit: { number: -9, code: "EAGAIN" },
  message_too_long: { number: -10, code: "EMSGSIZE" },
  queue_full: { number: -11, code: "ENOBUFS" },
  malformed: { number: -12, code: "EMALFORMED" },
  ended: { number: -13, code: "ECLOSED" },
  not_stream: { number: -14, code: "ENOTSOCK" },
  descriptor_unpassable: { number: -15, code: "EBADF" },
  descriptors_crowded: { number: -16, code: "ETOOMANYREFS" },
  descriptors_too_many: { number: -17, code: "EDESCRIPTORS" },
  unfinished: { number: -18, code: "EBUSY" },
  not_listening: { number: -19, code: "EINVAL" },
  name_invalid: { number: -20, code: "ENAME" },
  path_too_long: { number: -21, code: "ENAMETOOLONG" },
  service_missing: { number: -22, code: "ENOENT" },
  service_gone: { number: -23, code: "ECONNREFUSED" },
  service_busy: { number: -24, code: "EBUSY" },
  service_foreign: { number: -25, code: "EPROTOTYPE" },
  already_served: { number: -26, code: "EADDRINUSE" },
  path_taken: { number: -27, code: "EEXIST" },
  permission: { number: -28, code: "EACCES" },
  no_space: { number: -29, code: "ENOSPC" },
  path_relative: { number: -30, code: "EINVAL" },
  path_invalid: { number: -31, code: "EINVAL" },
  address_in_use: { number: -32, code: "EADDRINUSE" },
  address_missing: { number: -33, code: "EADDRNOTAVAIL" },
  network_invalid: { number: -34, code: "ENETWORK" },
  no_way: { number: -35, code: "ENETWORK" },
  timed_out: { number: -36, code: "ETIMEDOUT" },
  not_writable: { number: -37, code: "EBADF" },
  directory_missing: { number: -40, code: "ENOENT" },
  directory_link: { number: -41, code: "ELOOP" },
  not_directory: { number: -42, code: "ENOTDIR" },
  directory_owner: { number: -43, code: "EPERM" },
  directory_writable: { number: -44, code: "EPERM" },
  parent_missing: { number: -45, code: "ENOENT" },
  directory_gone: { number: -46, code: "ENOENT" },
  socket_owner: { number: -50, code: "EPERM" },
  lock_not_file: { number: -51, code: "EEXIST" },
  lock_owner: { number: -52, code: "EPERM" },
  lock_foreign: { number: -53, code: "EEXIST" },
  unexpected: { number: -99, code: "EUNKNOWN" },
} as const;

export type CodeName = keyof typeof codes;

/** The `code` of an `IpcError`. Besides the library's there are those that only arise on this side. */
export type IpcErrorCode =
  | (typeof codes)[Exclude<CodeName, "ok">]["code"]
  /** A wait took longer than its `timeout`. */
  | "ETIMEDOUT"
  /** The connection ended before the answer came. */
  | "ECONNRESET"
  /**
   * A message was used after the next wait, which only the debug switch finds out, or the buffer behind it was
   * transferred away; `copy()` keeps one.
   */
  | "ESTALE"
  /** IPC_NETWORK, or what is to be looked up in it, cannot be understood. */
  | "ENETWORK"
  /** A function of a switch's format threw; `cause` is what. */
  | "EFORMAT"
  /** A sealed connection met what its peer cannot have sent, or the two ends have no cipher in common. */
  | "ESEAL"
  /** A key, or a file that should hold keys, is no good. */
  | "EKEY"
  /** The module of a zygote cannot be loaded, lacks what it must have, failed to warm up, or did what no fork survives. */
  | "EMODULE"
  /** The native library is missing, broken or made for something else, or there is none for this platform. */
  | "ELIBRARY";

const names = new Map<number, CodeName>(
  Object.entries(codes).map(([name, { number }]) => [number, name as CodeName]),
);

/** What the failed call was about. */
export type Subject = {
  service?: string | undefined;
  /** The run directory or socket. */
  path?: string | undefined;
  /** One of somebody else's, that was to be watched. */
  descriptor?: number | undefined;
  /** The two that were to be bound. */
  ends?: readonly [number, number] | undefined;
};

/** What the system said in the failed call. */
export type SystemFailure = { errno: number; syscall: number; detail: number };

/** The same of a record that native code has written it to. */
export function systemFailure(record: { get(field: keyof SystemFailure): number }): SystemFailure {
  return {
    errno: record.get("errno"),
    syscall: record.get("syscall"),
    detail: record.get("detail"),
  };
}

/**
 * Thrown by every call that fails.
 *
 * @example
 * try {
 *   await connect("pong");
 * } catch (error) {
 *   if (error instanceof IpcError && error.code === "ENOENT") console.error(error.message);
 * }
 */
export class IpcError extends Error {
  override readonly name = "IpcError";
  readonly code: IpcErrorCode;
  /** The system's error number, negative as in Node's errors; 0 where the system had no part in it. */
  readonly errno: number;
  /** The system's call that failed, "" where none did. */
  readonly syscall: string;
  readonly service: string | undefined;
  readonly path: string | undefined;

  constructor(
    code: IpcErrorCode,
    message: string,
    details: Subject & {
      errno?: number;
      syscall?: string;
      cause?: unknown;
    } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.errno = details.errno ?? 0;
    this.syscall = details.syscall ?? "";
    this.service = details.service;
    this.path = details.path;
  }
}

/** Whether it was too late: what it was for had ended by itself, and what tells of it is on its way. */
export function isClosed(error: unknown): boolean {
  return error instanceof IpcError && error.code === "ECLOSED";
}

/** The error for a result below zero. */
export function errorOf(result: number, failure: SystemFailure, subject: Subject = {}): IpcError {
  const name = names.get(result) ?? "unexpected";
  const syscall = failure.syscall === 0 ? "" : (syscalls[failure.syscall] ?? "");
  const text = texts[name](subject, failure);
  const code = codeOf(name, subject, failure);
  return new IpcError(code, `${code}: ${text}`, {
    ...subject,
    errno: failure.errno === 0 ? 0 : -failure.errno,
    syscall,
  });
}

function codeOf(name: CodeName, subject: Subject, failure: SystemFailure): IpcErrorCode {
  if (isNotOpen(subject, failure)) return "EBADF";
  return name === "ok" ? "EUNKNOWN" : codes[name].code;
}

/** Whether it was about a descriptor of somebody else's, and that is the trouble with it. */
function isNotOpen({ descriptor }: Subject, { errno }: SystemFailure): boolean {
  return descriptor !== undefined && errno === system.errno.EBADF;
}

const service = (subject: Subject) =>
  subject.service === undefined ? "the service" : shown(subject.service);
const path = (subject: Subject) => subject.path ?? "the run directory";

/** In quotes, with what a terminal would obey made visible: a name may have come from anywhere. */
const shown = (text: string) =>
  JSON.stringify(text).replace(
    /[\u007f-\u009f]/g,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

/** What a name breaks, to follow "it is not a name: ". */
export const nameRules: Record<(typeof nameFaults)[number], string> = {
  empty: "it is empty",
  too_long: "it is longer than 64 bytes",
  leading_dot: "it starts with a dot",
  character: "it holds something other than letters, digits, '.', '_' and '-'",
  reserved_ending: "it ends in .lock, which is reserved",
};

/** In the detail of `not_available`: the connection is one that carries bytes alone. */
const carriesNoneDetail = 1;

/** One text for each code: what was wrong, where, and what to do. */
const texts: Record<CodeName, (subject: Subject, failure: SystemFailure) => string> = {
  ok: () => "no error",
  invalid_argument: () => "an argument is out of its range",
  closed: () => "it is closed",
  wrong_thread: () => "a context is used by the thread that made it, and by no other",
  out_of_memory: () => "out of memory",
  not_available: (_, { detail }) =>
    detail === carriesNoneDetail
      ? "a TCP connection carries no descriptors; send them over a local one, or leave them out"
      : "this system has no such poller; leave the option out to get its best",
  handle_limit: () =>
    "the context holds as many connections, services and timers as it can name; close some",
  descriptor_limit: () => "no file descriptors are left; raise the limit (ulimit -n) or close some",
  watch_limit: () => "the system watches no more descriptors for this user; close some",
  thread_limit: () =>
    "the system starts no more threads for this user; end some or raise the limit (ulimit -u)",
  message_too_long: () => "the message is longer than the connection allows (messageBytesMax)",
  queue_full: () => "the peer does not read, and the queue to it is full; wait for drain",
  malformed: () => "the bytes to send are not whole frames",
  ended: () =>
    "its peer is gone, or it came to a limit; its end will say why, and count what was lost",
  not_stream: ({ descriptor }, { errno }) =>
    isNotOpen({ descriptor }, { errno, syscall: 0, detail: 0 })
      ? `descriptor ${descriptor} is not open`
      : `${descriptor === undefined ? "it" : `descriptor ${descriptor}`} is no socket for a stream of bytes; choose one that is`,
  descriptor_unpassable: () =>
    "one of the descriptors to send is not open, or is of a kind that cannot be passed; leave it out",
  descriptors_crowded: () =>
    "as many descriptors of this user are on their way as the system allows; wait until peers have read theirs, or " +
    "raise the limit (ulimit -n)",
  descriptors_too_many: () =>
    `a message takes ${constants.descriptors_max} descriptors at most, and all that wait for a peer's user are bounded ` +
    "as well (descriptors.held); wait until some have gone, or raise it",
  unfinished: () =>
    "part of a message has come or waits to be sent, and would be lost; try again when it is whole",
  not_listening: ({ descriptor }) =>
    `${descriptor === undefined ? "it" : `descriptor ${descriptor}`} is a socket that does not listen; choose one that does`,
  name_invalid: (subject, failure) => {
    const fault = nameFaults[failure.detail];
    return `${service(subject)} is not a name: ${fault === undefined ? "it breaks a rule" : nameRules[fault]}`;
  },
  path_too_long: (subject, failure) =>
    subject.service === undefined && failure.detail === 0
      ? "the path of the run directory is longer than any can be; choose a shorter one (EARSHOT_RUNDIR)"
      : `the socket path of ${service(subject)} in ${path(subject)} has ${failure.detail} bytes, more than a ` +
        "socket address holds; choose a shorter run directory (EARSHOT_RUNDIR)",
  service_missing: (subject) =>
    `nobody serves ${service(subject)} in ${path(subject)}; start it first`,
  service_gone: (subject) =>
    `${service(subject)} in ${path(subject)} is gone and has left its socket behind; start it again`,
  service_busy: (subject) =>
    `${service(subject)} has no room for another connection now; try again`,
  service_foreign: (subject) =>
    `what is at ${service(subject)} in ${path(subject)} is not a service; move it away or choose another name`,
  already_served: (subject, failure) =>
    `${service(subject)} is already served in ${path(subject)}` +
    (failure.detail > 0 ? ` by process ${failure.detail}` : "") +
    "; stop that one or choose another name",
  path_taken: (subject) =>
    `something that is not a socket is in the place of ${service(subject)} in ${path(subject)}; it was left ` +
    "alone: move it away or choose another name",
  permission: (subject) =>
    `no permission for ${service(subject)} in ${path(subject)}; have its owner allow you, or choose another run ` +
    "directory (EARSHOT_RUNDIR)",
  no_space: (subject) =>
    `no space is left for ${path(subject)}; make some, or choose another (EARSHOT_RUNDIR)`,
  path_relative: (subject) =>
    `the run directory ${path(subject)} does not start with a slash; name it from the root (EARSHOT_RUNDIR)`,
  path_invalid: (subject) =>
    `the path of the run directory, ${shown(path(subject))}, holds a zero byte; choose one without`,
  address_in_use: (subject) =>
    `somebody listens at ${subject.path ?? "that address"} already; stop that one or choose another port`,
  address_missing: (subject) =>
    `${subject.path ?? "the address"} is none of this machine's addresses; choose one that is`,
  network_invalid: (_subject, failure) =>
    `IPC_NETWORK cannot be understood${failure.detail === 0 ? "" : `, entry ${failure.detail}`}; make it NAME URI; NAME URI …`,
  no_way: (subject) =>
    `ipcd found no way to ${service(subject)}; start what it should lead to, or choose another URI`,
  timed_out: (subject) =>
    `${service(subject)} was not reached in the time that was given; try again, or wait longer`,
  not_writable: ({ ends }, { detail }) => {
    const [bad, good] = detail === 1 ? [1, 0] : [0, 1];
    const only = ends === undefined ? "one of the two" : `handle ${ends[bad]}`;
    const other = ends === undefined ? "the other" : `handle ${ends[good]}`;
    return (
      `${only} can only be read, and what comes on ${other} would have nowhere to go; choose one that can be ` +
      "written, or pause that connection first, which is not read then"
    );
  },
  directory_missing: (subject) =>
    `${subject.service === undefined ? "no service runs" : `nobody serves ${service(subject)}`}: there is no run ` +
    `directory ${path(subject)}; start the service, or set EARSHOT_RUNDIR to where it runs`,
  directory_link: (subject) =>
    `the run directory ${path(subject)} is a link, which others could turn elsewhere; name the directory itself`,
  not_directory: (subject) =>
    `the run directory ${path(subject)} is not a directory; choose another (EARSHOT_RUNDIR)`,
  directory_owner: (subject, failure) =>
    `the run directory ${path(subject)} belongs to user ${failure.detail}, who could replace every service in ` +
    "it; choose one of your own (EARSHOT_RUNDIR)",
  directory_writable: (subject, failure) =>
    `the run directory ${path(subject)} can be written by others (mode ${failure.detail.toString(8)}), who could ` +
    "replace every service in it; chmod 0700 it, or ask for a shared one",
  parent_missing: (subject) =>
    `the run directory ${path(subject)} cannot be made: the directory it should lie in is missing; make that first`,
  directory_gone: (subject) =>
    `the run directory ${path(subject)} was moved or removed meanwhile; try again`,
  socket_owner: (subject) =>
    `${service(subject)} in ${path(subject)} is gone, but its socket is another user's; it was left alone: remove ` +
    "it or choose another name",
  lock_not_file: (subject) =>
    `what is in the place of the lock of ${service(subject)} in ${path(subject)} is not a plain file; it was left ` +
    "alone: move it away or choose another name",
  lock_owner: (subject) =>
    `the lock of ${service(subject)} in ${path(subject)} is another user's, or has further names (hard links); ` +
    "it was left alone: remove it or choose another name",
  lock_foreign: (subject) =>
    `the file in the place of the lock of ${service(subject)} in ${path(subject)} is not a lock of ours, which ` +
    "holds a process id and nothing else; it was left alone: move it away or choose another name",
  unexpected: (subject, failure) =>
    isNotOpen(subject, failure)
      ? `descriptor ${subject.descriptor} is not open`
      : `the system said errno ${failure.errno} in ${syscalls[failure.syscall] ?? "a call"}` +
        (subject.service === undefined ? "" : ` for ${service(subject)}`),
};
