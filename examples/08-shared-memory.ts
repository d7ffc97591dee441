// One process produces messages, another consumes them, through memory that both share: `consumed 1k messages`, …

import { ClientSocket, ServerSocket } from "earshot/memory";

const messages = 10_000;

if (process.argv[2] === "produce") {
  const producer = new ClientSocket();
  await producer.connect("numbers");
  for (let number = 1; number <= messages; number++) {
    // Not taken while there is no room: the consumer is slower, and says when it has come on.
    while (!producer.write(`message ${number}`)) {
      await new Promise<void>((resolve) => (producer.onDrain = resolve));
    }
  }
  await producer.close();
} else {
  let consumed = 0;
  const consumer = new ServerSocket();
  consumer.onData = (_, bytes) => {
    consumed += 1;
    if (new TextDecoder().decode(bytes) !== `message ${consumed}`) throw new Error("out of order");
    if (consumed % 1000 === 0) console.log(`consumed ${consumed / 1000}k messages`);
  };
  // What was written before the producer left has been read by then.
  consumer.onClose = () => consumer.close();
  await consumer.listen("numbers", { ring: 65_536 });
  Bun.spawn([process.execPath, import.meta.path, "produce"], { stdio: ["ignore", 1, 2] });
}
