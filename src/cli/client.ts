/** `client NAME [TEXT…]`: speaks to a service, in one sentence or line by line. */

import { loadKeys } from "../crypto/key-file.ts";
import { Context } from "../ipc/context.ts";
import { limitDefaults } from "../ipc/limits.ts";
import { isClosed } from "../native/errors.ts";
import { EventType } from "../native/layout.ts";
import { choice, count, flag, text, UsageError } from "../services/option.ts";
import { commonOptions, readArguments, readWords } from "./arguments.ts";
import { CommandError, help, run, status } from "./command.ts";
import { Conversation, type Terms } from "./conversation.ts";
import { endMs, FirstAnswer } from "./first-answer.ts";
import { tell, writeAll } from "./output.ts";
import { askInLoop, type Call, Talk } from "./talk.ts";

/** Long enough for a service that is busy; one that never answers is not waited for all day. */
const lastAnswersTimeoutMs = 2000;
/** A service that takes nothing for so long does not read. */
const sendTimeoutMs = 5000;
const nsPerMs = 1e6;

const options = {
  rundir: text("DIR", "the run directory (default: EARSHOT_RUNDIR, RUNDIR, then the user's own)"),
  shared: flag("accept a run directory that others use too"),
  timeout: count(
    "MS",
    `how long to wait for an answer (default: for ever; at the end of input ${lastAnswersTimeoutMs})`,
  ),
  "message-max": count("BYTES", "the longest message, or line (default 16 MiB)"),
  transport: choice(
    "KIND",
    ["unix", "memory"],
    "what the messages go through, a socket (the default) or shared memory, where NAME offers it",
  ),
  keys: text(
    "FILE",
    "seal what is sent, with the keys in FILE (of keys save), for the service that --peer names",
  ),
  peer: text("KEY", "with --keys: the public key of the service"),
  ...commonOptions,
} as const;

const command = {
  name: "client",
  usage: "NAME [TEXT…] [OPTIONS…] | --help",
  about: `
Sends TEXT to the service NAME, and prints its answer. Put -- before a TEXT that begins with a dash.

Without TEXT, sends each line of standard input, and prints each answer as a line. At the end of
input it waits until as many answers as lines have come, or none has for the time that --timeout
says, which is a failure; with --timeout 0 it does not wait.

With --keys and --peer nobody between here and the service sees or changes what is sent, nor whoever
carries it; the service has to be sealed as well, and to allow the public key of FILE. Who speaks to
a sealed service without them is told so, which is a failure.

The service passwords is spoken to in commands: client passwords --help.`,
  options,
};

await run(command, main);

async function main(given: readonly string[]): Promise<number> {
  // It has more to say than text, and options of its own.
  if (readWords(given, options)[0] === "passwords") return await speakToPasswords(given);
  const { words, values } = readArguments(given, options);
  if (values.help === true) {
    tell(1, help(command));
    return status.done;
  }
  const [name, ...rest] = words;
  if (name === undefined) throw new UsageError("which service?");
  const { rundir, shared, timeout } = values;
  const messageBytesMax = values["message-max"];
  const { transport = "unix" } = values;
  const call = { rundir, shared, messageBytesMax, transport, seal: sealOf(values) };
  const terms = {
    sendTimeout: timeout || sendTimeoutMs,
    answerTimeout: timeout ?? lastAnswersTimeoutMs,
    lineBytesMax: messageBytesMax ?? limitDefaults.messageBytesMax,
    queueBytesHigh: limitDefaults.queueBytesHigh,
  };
  const sentence = rest.length === 0 ? undefined : rest.join(" ");
  const unanswered =
    transport === "memory" || call.seal !== undefined
      ? await speakInLoop(name, call, sentence, terms, timeout)
      : speak(name, call, sentence, terms, timeout);
  if (unanswered === 0 || values.timeout === 0) return status.done;
  tell(2, `client: ${unanswered} of the lines had no answer\n`);
  return status.failed;
}

/** With whom it is sealed, if it is to be. */
function sealOf({ keys, peer }: { keys?: string | undefined; peer?: string | undefined }) {
  if (keys === undefined && peer === undefined) return undefined;
  if (keys !== undefined && peer !== undefined) return { keys: loadKeys(keys), peer };
  throw new UsageError("a seal takes both, --keys FILE and --peer KEY");
}

async function speakToPasswords(given: readonly string[]): Promise<number> {
  const passwords = await import("./passwords.ts");
  const { rundir, shared, timeout, help: shown } = options;
  const all = {
    ...passwords.options,
    rundir,
    shared,
    timeout: patience(timeout, passwords.answerTimeoutMs),
    help: shown,
  };
  const { words, values } = readArguments(given, all);
  if (values.help !== true) return await passwords.main(words.slice(1), values, values);
  const { usage, about } = passwords;
  tell(1, help({ name: command.name, usage, about, options: all }));
  return status.done;
}

function patience(timeout: typeof options.timeout, ms: number): typeof options.timeout {
  return { ...timeout, help: `how long to wait for each answer (default ${ms})` };
}

/** Returns how many lines had no answer. */
function speak(
  name: string,
  { rundir, shared, messageBytesMax }: Call,
  sentence: string | undefined,
  terms: Terms,
  timeout: number | undefined,
): number {
  using context = new Context({ rundir });
  const connection = context.connect(name, { shared, messageBytesMax });
  if (sentence === undefined) return new Conversation(context, name, connection, terms).run();
  ask(context, name, connection, sentence, timeout);
  return 0;
}

async function speakInLoop(
  name: string,
  call: Call,
  sentence: string | undefined,
  terms: Terms,
  timeout: number | undefined,
): Promise<number> {
  if (sentence === undefined) return await new Talk(name, terms).run(call);
  await askInLoop(name, call, sentence, timeout);
  return 0;
}

/** Whether there was one: what comes behind it is nobody's. */
function printed([answer]: readonly Uint8Array[]): boolean {
  if (answer === undefined) return false;
  writeAll(1, Buffer.concat([answer, Buffer.from("\n")]));
  return true;
}

/** Sends one message and prints its answer. */
function ask(
  context: Context,
  service: string,
  connection: number,
  sentence: string,
  timeout: number | undefined,
): void {
  const first = new FirstAnswer();
  first.send(Buffer.from(sentence));
  context.schedule(connection, sentence);
  if (timeout !== undefined) context.timer(Math.min(timeout * nsPerMs, Number.MAX_SAFE_INTEGER));
  for (const event of context) {
    switch (event.type) {
      case EventType.MessageRx:
        if (printed(first.hear(event.message.bytes))) return;
        context.timer(endMs * nsPerMs);
        break;
      case EventType.Disconnection:
        first.end(service);
        throw new CommandError(`"${service}" went away without an answer (${event.reason})`);
      case EventType.Timer:
        if (printed(first.release())) return;
        throw new CommandError(`"${service}" did not answer within ${timeout} ms`);
      case EventType.Error:
        if (event.error !== undefined && !isClosed(event.error)) throw event.error;
        break;
      default:
        break;
    }
  }
}
