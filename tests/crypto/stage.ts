/** A sealed service `pong`, whoever lies before it, and what it was told. */

import type { ClientSeal, Connection, ConnectOptions, End, Trouble } from "../../src/index.ts";
import { connect, type ServeOptions, type Service, serve } from "../../src/index.ts";
import { Middle } from "../kit/middle.ts";
import { clientKeys, served, serviceKeys } from "../kit/over.ts";
import { Scratch } from "../kit/scratch.ts";

export class SealedStage implements AsyncDisposable {
  readonly there = new Scratch();
  readonly here = new Scratch();
  readonly messages: string[] = [];
  readonly troubles: Trouble[] = [];
  readonly ends: End[] = [];
  /** Whom it was told of. */
  opened = 0;
  service!: Service;
  middle!: Middle;
  readonly seal: ClientSeal = { keys: clientKeys, peer: serviceKeys.publicKey };

  static async open(options: ServeOptions = {}): Promise<SealedStage> {
    const stage = new SealedStage();
    stage.service = await serve(
      "pong",
      {
        open: () => {
          stage.opened += 1;
        },
        message(connection, message) {
          stage.messages.push(message.text());
          connection.send(message.bytes);
        },
        close: (_, end) => void stage.ends.push(end),
        trouble: (_, trouble) => void stage.troubles.push(trouble),
      },
      { rundir: stage.there.path, ...served("sealed"), ...options },
    );
    stage.middle = await Middle.open("pong", stage.here.path, stage.there.path);
    return stage;
  }

  /** A client that goes there directly. */
  direct(options: ConnectOptions = {}): Promise<Connection> {
    return connect("pong", { rundir: this.there.path, seal: this.seal, ...options });
  }

  /** One that goes by whoever lies between. */
  through(options: ConnectOptions = {}): Promise<Connection> {
    return connect("pong", { rundir: this.here.path, seal: this.seal, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.middle[Symbol.asyncDispose]();
    await this.service.close({ now: true });
    this.there[Symbol.dispose]();
    this.here[Symbol.dispose]();
  }
}
