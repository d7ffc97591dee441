/** `keys save FILE`, `keys show FILE`: makes and shows what one is known by on sealed connections. */

import { loadKeys, saveKeys } from "../crypto/key-file.ts";
import { keyPair } from "../crypto/key-pair.ts";
import { UsageError } from "../services/option.ts";
import { commonOptions, readArguments } from "./arguments.ts";
import { help, run, status } from "./command.ts";
import { tell, writeAll } from "./output.ts";

const options = { ...commonOptions } as const;

const command = {
  name: "keys",
  usage: "save FILE | show FILE | --help",
  about: `
  save FILE   makes a key pair, and writes it to a new file that only you can read (mode 0600)
  show FILE   reads it again, and checks that it is in order

Both print the public key, a line of 43 characters, which is for others to know: a service lists
the clients that it lets in by it, and a client names the service that it means. The secret key
stays in the file. Who has it can pass for you; if others may have seen it, make another.`,
  options,
};

await run(command, main);

function main(given: readonly string[]): number {
  const { words, values } = readArguments(given, options);
  if (values.help === true) {
    tell(1, help(command));
    return status.done;
  }
  const [verb, file, ...rest] = words;
  if (verb !== "save" && verb !== "show") {
    throw new UsageError(
      verb === undefined ? "save or show?" : `"${verb}" is neither save nor show`,
    );
  }
  if (file === undefined) throw new UsageError("which file?");
  if (rest.length > 0) throw new UsageError(`"${rest[0]}" is one word too many`);
  const { publicKey } = verb === "save" ? make(file) : loadKeys(file);
  writeAll(1, Buffer.from(`${publicKey}\n`));
  return status.done;
}

function make(file: string) {
  const keys = keyPair();
  saveKeys(file, keys);
  return keys;
}
