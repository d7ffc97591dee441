/**
 * What the native libraries export, as data: the one list of signatures on this side. The types of the calls derive
 * from it, and a test holds it against what each library says of itself.
 */

/** Types of the boundary. `bytes` is a typed array that is passed for the length of one call. */
export type NativeType = "pointer" | "bytes" | "function" | "i32" | "u32" | "i64" | "void";

type Signature = { readonly arguments: readonly NativeType[]; readonly result: NativeType };

export type SymbolTable = Readonly<Record<string, Signature>>;

function call<const Result extends NativeType, const Arguments extends readonly NativeType[]>(
  result: Result,
  ...args: Arguments
): { readonly arguments: Arguments; readonly result: Result } {
  return { arguments: args, result };
}

export const ipcSymbols = {
  earshot_ipc_abi: call("i32"),
  earshot_ipc_manifest: call("pointer"),
  earshot_ipc_context_open: call("i32", "bytes", "bytes", "bytes"),
  earshot_ipc_context_close: call("i32", "pointer"),
  earshot_ipc_context_entrust: call("i32", "pointer"),
  earshot_ipc_context_areas: call("i32", "pointer", "bytes"),
  earshot_ipc_area_reference: call("void", "pointer"),
  earshot_ipc_area_release: call("void", "pointer", "pointer"),
  earshot_ipc_loan_take: call("i32", "pointer", "pointer"),
  earshot_ipc_loan_release: call("void", "pointer", "pointer"),
  earshot_ipc_wait: call("i32", "pointer", "i64", "i64", "u32"),
  earshot_ipc_next: call("i32", "pointer", "i64", "bytes", "bytes"),
  earshot_ipc_flush: call("i32", "pointer", "u32"),
  earshot_ipc_bell: call("i32", "pointer"),
  earshot_ipc_bell_on: call("i32", "pointer", "i32"),
  earshot_ipc_bell_beside: call("i32", "pointer", "i32", "i32"),
  earshot_ipc_bell_heard: call("i32", "pointer"),
  earshot_ipc_bell_end: call("i32", "pointer"),
  earshot_ipc_arm: call("i32", "pointer", "function"),
  earshot_ipc_ring: call("void", "pointer"),
  earshot_ipc_serve: call(
    "i32",
    "pointer", // context
    "bytes", // run directory
    "u32",
    "bytes", // name
    "u32",
    "bytes", // ServiceOptions
    "bytes", // allowed users
    "u32",
    "bytes", // allowed groups
    "u32",
  ),
  earshot_ipc_connect: call("i32", "pointer", "bytes", "u32", "bytes", "u32", "bytes"),
  earshot_ipc_lookup: call(
    "i32",
    "pointer", // context
    "bytes", // run directory
    "u32",
    "bytes", // name
    "u32",
    "bytes", // network
    "u32",
    "i64", // how long at most
    "bytes", // ConnectOptions
    "bytes", // room for the reason
  ),
  earshot_ipc_watch: call("i32", "pointer", "i32"),
  earshot_ipc_timer: call("i32", "pointer", "i64", "i64"),
  earshot_ipc_switch: call("i32", "pointer", "u32", "u32", "u32"),
  earshot_ipc_switch_callbacks: call(
    "i32",
    "pointer", // context
    "u32", // switch
    "u32", // which end
    "function", // input
    "function", // output
    "pointer", // argument
  ),
  earshot_ipc_switch_converters: call(
    "i32",
    "pointer", // context
    "u32", // switch
    "u32", // which end
    "function", // decode
    "function", // encode
    "pointer", // argument
  ),
  earshot_ipc_convert: call("i32", "pointer", "bytes", "u32"),
  earshot_ipc_schedule: call("i32", "pointer", "u32", "bytes", "u32", "i32"),
  earshot_ipc_write: call("i32", "pointer", "u32", "bytes", "u32"),
  earshot_ipc_send: call("i32", "pointer", "u32", "bytes", "u32", "bytes", "u32"),
  earshot_ipc_take: call("i32", "pointer", "i32", "bytes"),
  earshot_ipc_adopt: call(
    "i32",
    "pointer", // context
    "i32", // descriptor
    "bytes", // ServiceOptions
    "bytes", // allowed users
    "u32",
    "bytes", // allowed groups
    "u32",
  ),
  earshot_ipc_take_over: call(
    "i32",
    "pointer", // context
    "bytes", // run directory
    "u32",
    "bytes", // name
    "u32",
    "i32", // what listens
    "i32", // the lock
    "bytes", // ServiceOptions
    "bytes", // allowed users
    "u32",
    "bytes", // allowed groups
    "u32",
  ),
  earshot_ipc_copies: call("i32", "pointer", "u32", "bytes"),
  earshot_ipc_pair: call("i32", "pointer", "bytes"),
  earshot_ipc_listen: call("i32", "pointer", "bytes", "u32", "bytes"),
  earshot_ipc_dial: call("i32", "pointer", "bytes", "bytes"),
  earshot_ipc_address: call("i32", "pointer", "u32", "bytes"),
  earshot_ipc_own_address: call("i32", "pointer", "u32", "bytes"),
  earshot_ipc_pause: call("i32", "pointer", "u32", "u32"),
  earshot_ipc_limit_messages: call("i32", "pointer", "u32", "u32"),
  earshot_ipc_close: call("i32", "pointer", "u32", "u32"),
  earshot_ipc_close_all: call("i32", "pointer", "u32"),
  earshot_ipc_peer: call("i32", "pointer", "u32", "bytes"),
  earshot_ipc_peer_process: call("i32", "pointer", "u32"),
  earshot_ipc_statistics: call("i32", "pointer", "u32", "bytes"),
  earshot_ipc_inspect: call("i32", "bytes", "u32", "u32", "bytes", "u32", "bytes", "bytes"),
  earshot_ipc_run_directory: call(
    "i32",
    "bytes", // the caller's option
    "u32",
    "bytes", // EARSHOT_RUNDIR
    "u32",
    "bytes", // RUNDIR
    "u32",
    "bytes", // XDG_RUNTIME_DIR
    "u32",
    "bytes", // where the path goes
    "u32",
  ),
  earshot_ipc_pipe: call("i32", "bytes", "bytes"),
  earshot_ipc_pipe_block: call("i32", "i32", "u32", "bytes"),
  earshot_ipc_pipe_read: call("i32", "i32", "bytes", "u32", "i32", "i64", "bytes"),
  earshot_ipc_pipe_write: call("i32", "i32", "bytes", "u32", "i32", "i64", "bytes"),
  earshot_ipc_lock: call("i32", "i32", "bytes"),
  earshot_ipc_inherit: call("i32", "i32", "bytes", "u32", "bytes"),
  earshot_ipc_launch_sockets: call("i32", "bytes", "u32", "bytes", "bytes"),
  earshot_ipc_notify: call("i32", "bytes", "u32", "bytes", "u32", "bytes"),
} as const;

export const sealSymbols = {
  earshot_seal_abi: call("i32"),
  earshot_seal_manifest: call("pointer"),
  earshot_seal_suites: call("u32"),
  earshot_seal_choose: call("i32", "u32", "u32"),
  earshot_seal_public_key: call("i32", "bytes", "bytes"),
  earshot_seal_begin: call(
    "i32",
    "u32", // role
    "bytes", // secret key
    "bytes", // the peer's public key
    "bytes", // prologue
    "u32",
    "u32", // suites
  ),
  earshot_seal_from_keys: call("i32", "u32", "bytes", "bytes", "u32", "i64"),
  earshot_seal_write: call("i32", "u32", "bytes", "u32", "bytes", "u32"),
  earshot_seal_read: call("i32", "u32", "bytes", "u32", "bytes", "u32"),
  earshot_seal_suite: call("i32", "u32"),
  earshot_seal_seal: call("i32", "u32", "u32", "bytes", "u32", "bytes", "u32"),
  earshot_seal_open: call("i32", "u32", "u32", "bytes", "u32", "bytes", "u32"),
  earshot_seal_seal_batch: call(
    "i32",
    "u32", // handle
    "bytes", // from
    "u32",
    "bytes", // into
    "u32",
    "bytes", // records
    "u32",
  ),
  earshot_seal_open_batch: call("i32", "u32", "bytes", "u32", "bytes", "u32", "bytes", "u32"),
  earshot_seal_close: call("i32", "u32"),
  earshot_seal_anchor: call("i32", "u32", "bytes"),
  earshot_seal_release: call("void", "pointer", "pointer"),
} as const;

export const memorySymbols = {
  earshot_memory_abi: call("i32"),
  earshot_memory_manifest: call("pointer"),
  earshot_memory_ring_create: call("i32", "u32"),
  earshot_memory_ring_map: call("i32", "i32", "u32", "bytes"),
  earshot_memory_ring_unmap: call("i32", "pointer", "u32"),
  earshot_memory_writer_begin: call("i32", "bytes", "pointer", "u32"),
  earshot_memory_reserve: call("i32", "bytes", "u32", "bytes"),
  earshot_memory_commit: call("i32", "bytes", "u32", "u32"),
  earshot_memory_publish: call("i32", "bytes"),
  earshot_memory_await_room: call("i32", "bytes", "u32", "i64"),
  earshot_memory_reader_begin: call("i32", "bytes", "pointer", "u32"),
  earshot_memory_next: call("i32", "bytes", "bytes"),
  earshot_memory_release: call("i32", "bytes"),
  earshot_memory_await_message: call("i32", "bytes", "i64"),
  earshot_memory_sleep: call("void", "pointer", "u32", "i64"),
  earshot_memory_wake: call("void", "pointer"),
  earshot_memory_yield: call("i32"),
  earshot_memory_value_create: call("i32", "bytes", "u32"),
  earshot_memory_value_map: call("i32", "i32", "u32", "bytes"),
  earshot_memory_value_unmap: call("void", "pointer", "pointer"),
} as const;

export const zygoteSymbols = {
  earshot_zygote_abi: call("i32"),
  earshot_zygote_manifest: call("pointer"),
  earshot_zygote_threads: call("i32", "bytes", "u32"),
  earshot_zygote_lifeline: call("i32", "bytes"),
  earshot_zygote_serve: call("i32", "bytes", "bytes"),
  earshot_zygote_follow: call("i32", "i32"),
  earshot_zygote_attach: call("i32", "i32"),
  earshot_zygote_read: call("i32", "i32", "bytes", "u32", "bytes", "u32", "bytes"),
  earshot_zygote_write: call("i32", "i32", "bytes", "u32"),
  earshot_zygote_limit: call("i32", "bytes", "bytes"),
  earshot_zygote_harden: call("i32"),
  earshot_zygote_process: call("i32", "i32"),
  earshot_zygote_signal: call("i32", "i32", "i32"),
} as const;

/** An address in this process. */
export type Address = number & { readonly __address: unique symbol };

type ArgumentOf<Type extends NativeType> = Type extends "bytes"
  ? NodeJS.TypedArray
  : Type extends "pointer" | "function"
    ? Address
    : number;

type ResultOf<Type extends NativeType> = Type extends "void"
  ? undefined
  : Type extends "pointer"
    ? Address
    : number;

type ArgumentsOf<Types extends readonly NativeType[]> = {
  -readonly [Index in keyof Types]: ArgumentOf<Types[Index]>;
};

/** The calls of a list of symbols, typed. */
export type Calls<Symbols extends SymbolTable> = {
  readonly [Name in keyof Symbols]: (
    ...args: ArgumentsOf<Symbols[Name]["arguments"]>
  ) => ResultOf<Symbols[Name]["result"]>;
};
