/** Opens a vault, waits for a line, and saves so many keys of its own, one after the other: `saver.ts PATH NAME COUNT`. */

import { readSync } from "node:fs";
import type { Entries } from "../../../../src/services/passwords/store.ts";
import { Vault } from "../../../../src/services/passwords/vault.ts";

const [path, name, count] = process.argv.slice(2);
using vault = Vault.open(path!, Buffer.from("correct horse"));
const entries = new Map(vault.entries);
const plain = (what: Entries) =>
  new Map([...what].map(([key, value]) => [key, Uint8Array.from(value)]));
process.stdout.write("open\n");
readSync(0, new Uint8Array(16));
process.stdout.write("saving\n");
for (let index = 0; index < Number(count); index += 1) {
  entries.set(`${name}${index}`, Uint8Array.of(index % 256));
  vault.save(plain(entries));
}
process.stdout.write("saved\n");
