/** earshot: processes on one machine find each other by name and talk. */

import "./transports.ts";

export type { Activated } from "./ipc/activation.ts";
export { activated, launched } from "./ipc/activation.ts";
export type { ConnectOptions, Reconnect } from "./ipc/connect.ts";
export { connect } from "./ipc/connect.ts";
export type { RequestOptions } from "./ipc/connection.ts";
export { Connection } from "./ipc/connection.ts";
export type { Peer } from "./ipc/context.ts";
export { Context } from "./ipc/context.ts";
export type {
  AdoptOptions,
  Allow,
  ContextOptions,
  SendOptions,
  ServiceOptions,
} from "./ipc/context-options.ts";
export { Descriptor } from "./ipc/descriptor.ts";
export { Event } from "./ipc/event.ts";
export type { Converted, Format } from "./ipc/format.ts";
export { Verdict } from "./ipc/format.ts";
export type { ClientHandlers, End, Handlers, Lost } from "./ipc/handlers.ts";
export type { InternetAddress } from "./ipc/internet-address.ts";
export type { DescriptorLimits, Limits } from "./ipc/limits.ts";
export type { Payload } from "./ipc/message.ts";
export { Message } from "./ipc/message.ts";
export { notify } from "./ipc/notify.ts";
export type { Found, RunDirectoryOptions } from "./ipc/run-directory.ts";
export { inspect, list, runDirectory } from "./ipc/run-directory.ts";
export type { ClientSeal, OwnKeys, ServiceSeal } from "./ipc/seal.ts";
export { serve } from "./ipc/serve.ts";
export type { ServeHandlers, ServeOptions, Trouble } from "./ipc/service.ts";
export { Service } from "./ipc/service.ts";
export type { Statistics } from "./ipc/statistics.ts";
export type { SwitchEnd } from "./ipc/switch.ts";
export { bind, Switch } from "./ipc/switch.ts";
export type { OfferOptions, TakeOverOptions } from "./ipc/takeover.ts";
export { Offer, offerTakeover, Takeover, takeOver } from "./ipc/takeover.ts";
export type { RingOption } from "./ipc/transport.ts";
export type { IpcErrorCode } from "./native/errors.ts";
export { IpcError } from "./native/errors.ts";
export type { PollerKind, Reason } from "./native/layout.ts";
export { EventType } from "./native/layout.ts";
