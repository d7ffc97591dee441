/** Numbers that tell sealed records of one connection apart by what they are for; see `Seal`. */
export const sealKinds = { message: 0, proof: 1, end: 2 } as const;
