// A client: asks the service "pong", which 01-pong-service.ts serves.

import { connect, IpcError } from "earshot";

try {
  await using pong = await connect("pong");

  const answer = await pong.request("hello", { timeout: 5000 });
  console.log(answer.text());

  // Answers come in the order of the requests, so that many can be on their way at once.
  const answers = await Promise.all(["one", "two", "three"].map((text) => pong.request(text)));
  console.log(answers.map((one) => one.text()).join(" "));
} catch (error) {
  if (!(error instanceof IpcError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
