/** Says on stderr what is being done, on one line where that is a terminal. */

const terminal = process.stderr.isTTY;

export function progress(what: string): void {
  process.stderr.write(terminal ? `\r\x1b[K${what}` : `${what}\n`);
}

export function progressDone(): void {
  if (terminal) process.stderr.write("\r\x1b[K");
}
