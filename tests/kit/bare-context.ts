/** A context by its bare calls: for what the classes would never do, and for threads that have no business with it. */

import type { Areas } from "../../src/native/areas.ts";
import { mapAreas } from "../../src/native/areas.ts";
import {
  ConnectOptions,
  ContextOptions,
  Failure,
  Limits,
  ServiceOptions,
} from "../../src/native/layout.ts";
import { ipcLibrary } from "../../src/native/library.ts";
import { Struct } from "../../src/native/struct.ts";
import type { Address } from "../../src/native/symbols.ts";
import { bytesOf } from "./bytes.ts";

export class BareContext implements Disposable {
  readonly library = ipcLibrary();
  readonly calls = this.library.calls;
  readonly address: Address;
  readonly areas: Areas;

  constructor() {
    const address = new BigUint64Array(1);
    const options = new Struct(ContextOptions).set("spin_ns", 0).set("poison", 1);
    const failure = new Struct(Failure);
    const result = this.calls.earshot_ipc_context_open(options.bytes, address, failure.bytes);
    if (result !== 0) throw new Error(`open: ${result}`);
    this.address = Number(address[0]) as Address;
    this.areas = mapAreas(this.library, this.address);
  }

  serve(rundir: string, name: string): number {
    const options = new Struct(ServiceOptions).set("mode", 0o600).set("backlog", 16);
    putLimits(options.within("limits", Limits));
    const directory = bytesOf(rundir);
    const bytes = bytesOf(name);
    const nobody = new Uint32Array(1);
    return this.calls.earshot_ipc_serve(
      this.address,
      directory,
      directory.length,
      bytes,
      bytes.length,
      options.bytes,
      nobody,
      0,
      nobody,
      0,
    );
  }

  connect(rundir: string, name: string): number {
    const options = new Struct(ConnectOptions);
    putLimits(options.within("limits", Limits));
    const directory = bytesOf(rundir);
    const bytes = bytesOf(name);
    return this.calls.earshot_ipc_connect(
      this.address,
      directory,
      directory.length,
      bytes,
      bytes.length,
      options.bytes,
    );
  }

  wait(timeoutNs: number, outboxBytes = 0): number {
    return this.calls.earshot_ipc_wait(this.address, timeoutNs, -1, outboxBytes);
  }

  close(): number {
    return this.calls.earshot_ipc_context_close(this.address);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function putLimits(limits: Struct<typeof Limits>): void {
  limits
    .set("message_bytes_max", 1 << 20)
    .set("connections_max", 16)
    .set("queue_bytes_high", 1 << 20)
    .set("queue_bytes_max", 1 << 24);
}
