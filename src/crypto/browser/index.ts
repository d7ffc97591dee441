/** earshot/browser: sealed connections of a page, which is bundled with it. */

export { type PageSeal, type PageSocket, SealedConnection } from "./connection.ts";
export { keyPair, type PageKeys } from "./keys.ts";
export { SealError } from "./noise.ts";
