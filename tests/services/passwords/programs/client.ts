/** A client in a process of its own: keeps something, says so, and waits to be killed. */

import { Passwords } from "../../../../src/services/passwords/client.ts";

const [rundir, secret] = process.argv.slice(2);
const passwords = await Passwords.open({ rundir });
passwords.set(Buffer.from("secret"), Buffer.from(secret!));
process.stdout.write("set\n");
// What nothing refers to any more is collected, and its pipes are closed.
setInterval(() => passwords.has(Buffer.from("secret")), 1000);
