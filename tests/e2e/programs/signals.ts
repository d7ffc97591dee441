/** Bun ignores SIGPIPE, which would hide that it was sent: here it ends a process again, as it ends a C program. */

import { dlopen, FFIType } from "bun:ffi";

const sigpipe = 13;
/** SIG_DFL of signal(2). */
const byDefault = 0;

export function signalsAsInC(): void {
  const libc = dlopen(process.platform === "darwin" ? "libSystem.B.dylib" : libcName(), {
    signal: { args: [FFIType.i32, FFIType.u64], returns: FFIType.u64 },
  });
  libc.symbols.signal(sigpipe, byDefault);
}

function libcName(): string {
  return process.platform === "freebsd" ? "libc.so.7" : "libc.so.6";
}
