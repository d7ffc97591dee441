/** What both sides of libearshot-zygote read: this side's idea of its ABI, as `layout.ts` is for libearshot-ipc. */

/** The ABI this side was written for. */
export const zygoteAbiVersion = 1;

/** What becomes of the clones of a zygote that was killed. */
export const orphans = { end: 0, keep: 1 } as const;

/** What a zygote tells its owner. */
export const reportKinds = { forked: 0, failed: 1, ended: 2 } as const;

export const ZygoteSettings = {
  size: 32,
  fields: {
    control: [0, 4],
    lifeline: [4, 4],
    grace_ns: [8, 8],
    orphans: [16, 4],
    near: [20, 4],
    far: [24, 4],
    padding: [28, 4],
  },
} as const;

/** What a clone is told of itself. */
export const ZygoteClone = {
  size: 12,
  fields: { connection: [0, 4], pid: [4, 4], ahead: [8, 4] },
} as const;

/** What a clone gives up; -1 for nothing. */
export const ZygoteLimits = {
  size: 48,
  fields: {
    memory_bytes: [0, 8],
    cpu_seconds: [8, 8],
    files: [16, 8],
    uid: [24, 8],
    gid: [32, 8],
    no_new_privileges: [40, 4],
    no_network: [44, 4],
  },
} as const;

/** What came of that, and so the first that a clone says. */
export const ZygoteCertificate = {
  size: 16,
  fields: { code: [0, 4], errno_value: [4, 4], syscall: [8, 4], pid: [12, 4] },
} as const;

export const ZygoteRequest = { size: 8, fields: { id: [0, 4], ahead: [4, 4] } } as const;

export const ZygoteReport = {
  size: 28,
  fields: {
    kind: [0, 4],
    id: [4, 4],
    pid: [8, 4],
    code: [12, 4],
    signal: [16, 4],
    errno_value: [20, 4],
    syscall: [24, 4],
  },
} as const;

export const zygoteConstants = {
  /** What a clone exits with that could not begin. */
  unsettled_exit: 125,
} as const;

export const zygoteStructs = {
  Settings: ZygoteSettings,
  Clone: ZygoteClone,
  Limits: ZygoteLimits,
  Certificate: ZygoteCertificate,
  Request: ZygoteRequest,
  Report: ZygoteReport,
} as const;
