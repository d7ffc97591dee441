/** What a clone may use, and what it gives up. */

import { u32Max, whole } from "../ipc/numbers.ts";
import { IpcError } from "../native/errors.ts";
import type { NativeLimits } from "../native/zygote.ts";

export type CloneLimits = {
  /** Bytes that it may take besides those that it begins with. It ends when it asks for more. */
  memory?: number | undefined;
  /** Seconds of processor time, after which SIGXCPU comes, and a second later SIGKILL. */
  cpu?: number | undefined;
  /** Descriptors that it may have open. */
  files?: number | undefined;
  /** No program that it starts can have rights that it lacks. */
  noNewPrivileges?: boolean | undefined;
  /**
   * The user, and the group, that it goes on as, in no further group. No user without a group: it would keep what the
   * groups of the former may do. EPERM where that is not permitted.
   */
  uid?: number | undefined;
  gid?: number | undefined;
  /** False: a network of its own, with nothing in it. EPERM where that is not permitted, ENOTSUP in a pool. */
  network?: boolean | undefined;
};

/** Bun itself needs that many to come to `serve`. */
const filesMin = 32;

/** Whether there is any. What cannot be given up is said before such a clone is handed out. */
export function isLimited(limits: NativeLimits): boolean {
  return Object.values(limits).some((limit) => limit !== undefined && limit !== false);
}

/** Throws EINVAL for what is no limit. */
export function nativeLimits(limits: CloneLimits = {}): NativeLimits {
  const checked = (name: keyof CloneLimits, value: unknown, least: number, most: number) =>
    value === undefined ? undefined : whole(`limits.${name}`, value, least, most);
  if (limits.uid !== undefined && limits.gid === undefined) {
    throw new IpcError(
      "EINVAL",
      "EINVAL: limits.uid comes with limits.gid, or the clone would keep the rights of this process's groups; give both",
    );
  }
  return {
    memoryBytes: checked("memory", limits.memory, 0, 2 ** 48),
    cpuSeconds: checked("cpu", limits.cpu, 1, 2 ** 31),
    files: checked("files", limits.files, filesMin, 2 ** 31 - 1),
    uid: checked("uid", limits.uid, 0, u32Max - 1),
    gid: checked("gid", limits.gid, 0, u32Max - 1),
    noNewPrivileges: limits.noNewPrivileges === true,
    noNetwork: limits.network === false,
  };
}
