/** What both sides of libearshot-seal read: this side's idea of its ABI, as `layout.ts` is for libearshot-ipc. */

/** The ABI this side was written for. */
export const sealAbiVersion = 1;

/** The ciphers, by their numbers; the bit `1 << number` stands for one in a set. */
export const suites = { aegis_256: 1, aes_256_gcm: 2, chacha20_poly1305: 3 } as const;
export type Suite = keyof typeof suites;

export const roles = { initiator: 1, responder: 2 } as const;
export type Role = keyof typeof roles;

export const sealConstants = {
  version: 1,
  key_bytes: 32,
  tag_bytes: 16,
  message_bytes_max: 0x7fff_ffef,
  handshake_overhead_bytes: 50,
  handshake_payload_bytes_max: 1024,
  records_per_key: 2 ** 20,
  bytes_per_key: 2 ** 36,
} as const;

/** One message of a batch: four words of 32 bits. */
export const SealRecord = {
  size: 16,
  fields: { in_offset: [0, 4], in_bytes: [4, 4], out_offset: [8, 4], kind: [12, 4] },
} as const;

export const sealStructs = { Record: SealRecord } as const;
