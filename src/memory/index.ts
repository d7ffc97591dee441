/** earshot/memory: messages between processes through shared memory. */

export { loadKeys, saveKeys } from "../crypto/key-file.ts";
export { KeyPair, keyPair } from "../crypto/key-pair.ts";
export type { RingOption } from "../ipc/transport.ts";
export type { ClientOptions } from "./client-socket.ts";
export { ClientSocket } from "./client-socket.ts";
export type { RingSizes } from "./hello.ts";
export { Hold } from "./hold.ts";
export { MemorySocket } from "./memory-socket.ts";
export { ServerConnection } from "./server-connection.ts";
export type { ServerOptions } from "./server-socket.ts";
export { ServerSocket } from "./server-socket.ts";
