/** earshot/crypto: the keys that ends of sealed connections are known by. */

export { loadKeys, saveKeys } from "./key-file.ts";
export { KeyPair, keyPair } from "./key-pair.ts";
