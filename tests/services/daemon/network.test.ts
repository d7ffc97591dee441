/** Daemons reach the services of their own run directory, whatever IPC_NETWORK says where they were started. */

import { expect, test } from "bun:test";
import { leaveNoCommand, startService } from "../../kit/command.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { opcodes, RawWebSocket } from "../../kit/raw-websocket.ts";
import { Scratch } from "../../kit/scratch.ts";
import { until } from "../../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

const answers: Record<string, (port: number) => Promise<string>> = {
  async httpd(port) {
    const answer = await fetch(`http://127.0.0.1:${port}/pong`, { method: "POST", body: "hello" });
    return await answer.text();
  },
  async websocketd(port) {
    using remote = await RawWebSocket.open(port, "/pong");
    remote.send(opcodes.text, "hello");
    const [frame] = await remote.received(1);
    return new TextDecoder().decode(frame!.payload);
  },
  async udpd(port) {
    let heard = "";
    const socket = await Bun.udpSocket({
      connect: { hostname: "127.0.0.1", port },
      socket: {
        data: (_, bytes) => {
          heard = bytes.toString();
        },
      },
    });
    socket.send("hello");
    await until("it is answered", () => heard !== "");
    socket.close();
    return heard;
  },
};

test.each(Object.entries(answers))("%s leads to the pong that is here", async (name, ask) => {
  using scratch = new Scratch();
  const rundir = scratch.path;
  await using pong = await startService(["pong"], { rundir });
  const words = [name, "--listen", "127.0.0.1:0", "--allow", "pong"];
  await using daemon = await startService(words, {
    rundir,
    env: { IPC_NETWORK: "pong tcp://127.0.0.1:1/pong" },
  });
  const port = Number(/:(\d+)[/ ]/.exec(daemon.stdout)![1]);
  expect(await ask(port)).toBe("hello");
  expect(pong.stderr + daemon.stderr).toBe("");
});
