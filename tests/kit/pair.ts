/** Contexts driven by hand: what a test of the synchronous side waits for, and a context that talks to itself. */

import type {
  ConnectOptions,
  ContextOptions,
  Event,
  Message,
  ServiceOptions,
} from "../../src/index.ts";
import { Context, EventType } from "../../src/index.ts";
import { Scratch } from "./scratch.ts";

/** Long enough for a machine that is busy with something else. */
const patienceMs = 30_000;
/** How long one context is waited on before the next has its turn. */
const turnMs = 1;

/** Hands over every event of the contexts, which have their turns, until `done`. An event is good while it is handed over. */
export function drive(
  what: string,
  contexts: readonly Context[],
  done: () => boolean,
  onEvent: (event: Event, context: Context) => void = () => undefined,
): void {
  const giveUpAt = performance.now() + patienceMs;
  while (!done()) {
    if (performance.now() >= giveUpAt) throw new Error(`waited in vain until ${what}`);
    for (const context of contexts) {
      for (const event of context.wait(turnMs)) onEvent(event, context);
    }
  }
}

/** The next `count` events of one type, good until the next wait but for their messages; others are passed over. */
export function events(context: Context, type: EventType, count = 1): Event[] {
  const found: Event[] = [];
  drive(
    `there are ${count} events of type ${type}`,
    [context],
    () => found.length >= count,
    (event) => {
      if (event.type === type) found.push(event);
    },
  );
  return found;
}

/** The next event of one type. */
export function event(context: Context, type: EventType): Event {
  return events(context, type)[0]!;
}

/** The next `count` messages, kept; other events are passed over. */
export function messages(context: Context, count: number): Message[] {
  const found: Message[] = [];
  drive(
    `there are ${count} messages`,
    [context],
    () => found.length >= count,
    (each) => {
      if (each.type === EventType.MessageRx) found.push(each.message.copy());
    },
  );
  return found;
}

/** The same as text. */
export function texts(context: Context, count: number): string[] {
  return messages(context, count).map((message) => message.text());
}

export type PairOptions = {
  context?: ContextOptions;
  service?: ServiceOptions;
  connect?: ConnectOptions;
};

/** A context that serves `self` and is its own client: both ends of a conversation in one hand. */
export class Pair implements Disposable {
  readonly scratch = new Scratch();
  readonly context: Context;
  readonly service: number;
  /** The end that connected. */
  readonly client: number;
  /** The end that was accepted. */
  readonly server: number;

  constructor(options: PairOptions = {}) {
    this.context = new Context({ rundir: this.scratch.path, ...options.context });
    this.service = this.context.serve("self", options.service);
    this.client = this.context.connect("self", options.connect);
    this.server = event(this.context, EventType.Connection).connection;
  }

  [Symbol.dispose](): void {
    this.context.close();
    this.scratch[Symbol.dispose]();
  }
}
