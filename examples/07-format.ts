// Lines of text over TCP on one side, messages on the other: a switch with a format, and a service that knows of neither.

import { bind, connect, type Format, serve } from "earshot";

function lines(): Format {
  let rest = "";
  const read = (bytes: Uint8Array) => {
    const whole = (rest + Buffer.from(bytes).toString()).split("\n");
    rest = whole.pop()!;
    return whole;
  };
  return { in: read, out: (message) => `${Buffer.from(message)}\n` };
}

const shout = await serve("shout", {
  message: (connection, message) => void connection.send(message.text().toUpperCase()),
});
const gate = await serve(
  "gate",
  { open: async (remote) => void bind(await connect("shout"), remote, lines()) },
  { address: { host: "127.0.0.1", port: 0 }, raw: true },
);

const remote = await connect("anybody", { address: gate.address, raw: true });
remote.send("hello\n");
for await (const message of remote) {
  console.log(message.text().trimEnd());
  break;
}
await Promise.all([remote, gate, shout].map((each) => each.close()));
