/**
 * The memory that a context and this side share: the events of a batch, the bytes they speak of, and the messages to
 * send. Each view keeps the mapping alive, so that one which outlives its context reads old bytes and never faults.
 */

import { Areas as AreasLayout, Control } from "./layout.ts";
import type { IpcLibrary } from "./library.ts";
import { borrow, own } from "./library.ts";
import { Struct } from "./struct.ts";
import type { Address } from "./symbols.ts";

export type Areas = {
  /** Eight words an event; see `Event` in `layout.ts`. */
  readonly events: Uint32Array;
  readonly inbox: Uint8Array;
  readonly outbox: Uint8Array;
  /** What the last failed call left behind. It may only be read while the context is open. */
  readonly control: Struct<typeof Control>;
};

export function mapAreas(library: IpcLibrary, context: Address): Areas {
  const { calls } = library;
  const found = new Struct(AreasLayout);
  const result = calls.earshot_ipc_context_areas(context, found.bytes);
  // The context has just been made by this thread, and nothing else is asked of it here.
  if (result !== 0) throw new Error(`areas: ${result}`);
  const control = found.get("control") as Address;
  const release = library.address("earshot_ipc_area_release");
  const map = (area: "events" | "inbox" | "outbox"): ArrayBuffer => {
    calls.earshot_ipc_area_reference(control);
    return own(found.get(area) as Address, found.get(`${area}_bytes`), control, release);
  };
  const events = new Uint32Array(map("events"));
  const inbox = new Uint8Array(map("inbox"));
  const outbox = new Uint8Array(map("outbox"));
  // A worker that is terminated closes nothing; its views go all the same, and the context with the last of them.
  calls.earshot_ipc_context_entrust(context);
  return {
    events,
    inbox,
    outbox,
    control: new Struct(Control, new Uint8Array(borrow(control, Control.size))),
  };
}
