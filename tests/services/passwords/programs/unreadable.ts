/** Saves a vault as another user: `unreadable.ts PATH UID`. Says what came of it. */

import { Vault } from "../../../../src/services/passwords/vault.ts";

const [path, uid] = process.argv.slice(2);
process.setgroups!([]);
process.setgid!(Number(uid));
process.setuid!(Number(uid));
using vault = Vault.open(path!, Buffer.from("correct horse"));
vault.save(new Map([["key", Uint8Array.of(1)]]));
console.log("saved");
