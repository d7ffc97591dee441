/** A client in a process of its own: keeps something, says so, and waits to be killed. */

import { Passwords } from "../../../../src/services/passwords/client.ts";

const [rundir, secret] = process.argv.slice(2);
const passwords = await Passwords.open({ rundir });
passwords.set(Buffer.from("secret"), Buffer.from(secret!));
process.stdout.write("set\n");
setInterval(() => undefined, 1000);
