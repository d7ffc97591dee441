/**
 * The row `passwords-get`: a `get` from the copy of a client of `service passwords`, over the pipes
 * that it was given. The value is set before each, and is not timed.
 */

import { basename, dirname } from "node:path";
import { Passwords } from "../../src/services/passwords/client.ts";
import { sumOfEnds } from "./pattern.ts";
import { readRole } from "./role.ts";
import { driveLoans } from "./round-trips.ts";

const { path, options } = readRole();
const passwords = await Passwords.open({ name: basename(path), rundir: dirname(path) });
if (options[0] === "sealed") passwords.seal(crypto.getRandomValues(new Uint8Array(32)));
const key = Buffer.from("key");

driveLoans({
  begin: () => undefined,
  fill(loan) {
    const value = new Uint8Array(loan.bytes);
    loan.fill(value);
    passwords.set(key, value);
  },
  trip: () => sumOfEnds(passwords.get(key)),
});
passwords.close();
