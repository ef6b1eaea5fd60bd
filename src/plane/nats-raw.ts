// The body of plane/raw-plane.ts over the NATS library, whose functions plane/nats.ts hands in. Connects
// at the first use, then keeps connected; what is published while there is no connection is refused.

import type { MsgHdrs, NatsConnection } from 'nats';
import { type Clock, withDeadline } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import { ConnectionKeeper } from './connection-keeper.ts';
import { reason } from './nats-fault.ts';
import type { RawLink, RawMessage, RawPlane } from './raw-plane.ts';
import { Trouble } from './trouble.ts';
import { type PlaneUri, parsePlaneUris } from './uri.ts';

const closeTimeoutMs = 2000;

type Library = {
  readonly connect: (target: PlaneUri) => Promise<NatsConnection>;
  readonly headers: () => MsgHdrs;
  readonly createInbox: () => string;
};

type Waiter = { readonly resolve: (link: RawLink) => void; readonly reject: (f: Fault) => void };

export class NatsRawPlane implements RawPlane {
  readonly #library: Library;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #trouble: Trouble;
  readonly #keeper: ConnectionKeeper;
  readonly #name: string;
  #link: NatsRawLink | null = null;
  #waiting: Waiter[] = [];
  #isStarted = false;
  #isClosed = false;

  constructor(options: {
    readonly uris: readonly string[];
    readonly name: string;
    readonly log: Log;
    readonly clock: Clock;
    readonly library: Library;
  }) {
    const { log, clock, library } = options;
    this.#library = library;
    this.#log = log;
    this.#clock = clock;
    this.#name = options.name;
    this.#trouble = new Trouble({ log, clock, initial: null });
    this.#keeper = new ConnectionKeeper({
      uris: options.uris.flatMap((text) => parsePlaneUris(text)),
      clock,
      connect: library.connect,
      up: (connection, target) => this.#up(connection, target),
      down: (target, why) => this.#down(target, why),
    });
  }

  trouble(): string | null {
    return this.#isClosed ? `${this.#name} is closed` : this.#trouble.text;
  }

  link(): Promise<RawLink> {
    if (this.#isClosed) return Promise.reject(new Fault('plane', `${this.#name} is closed`));
    if (this.#link !== null) return Promise.resolve(this.#link);
    const text = this.#trouble.text;
    if (text !== null) return Promise.reject(new Fault('plane', text));
    if (!this.#isStarted) this.#start();
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#keeper.stop();
    this.#refuse(new Fault('plane', `${this.#name} is closed`));
    const connection = this.#link?.connection;
    if (connection === undefined) return;
    const late = () => new Fault('timeout', 'NATS did not take the last messages');
    await withDeadline(this.#clock, closeTimeoutMs, connection.drain(), late).catch((error) => {
      this.#log.debug(`${this.#name}: closed without drain`, { reason: reason(error) });
    });
    await connection.close();
  }

  #start(): void {
    this.#isStarted = true;
    this.#keeper.run().catch((error: unknown) => {
      this.#log.error(`${this.#name}: connection loop ended`, { reason: String(error) });
    });
  }

  #up(connection: NatsConnection, target: PlaneUri): void {
    const link = new NatsRawLink(connection, target.shown, this.#library);
    this.#link = link;
    this.#log.debug(`${this.#name}: connected`, { uri: target.shown });
    this.#trouble.clear();
    for (const { resolve } of this.#waiting.splice(0)) resolve(link);
  }

  #down(target: PlaneUri, why: string): void {
    const text = `${this.#name}: ${target.shown} unreachable: ${why}; trying again`;
    if (!this.#isClosed) this.#trouble.report(text);
    const fault = new Fault('plane', text);
    this.#refuse(fault);
    this.#link?.lose(fault);
    this.#link = null;
  }

  #refuse(fault: Fault): void {
    for (const { reject } of this.#waiting.splice(0)) reject(fault);
  }
}

export class NatsRawLink implements RawLink {
  readonly connection: NatsConnection;
  readonly shown: string;
  readonly maxPayloadBytes: number;
  readonly #library: Library;
  readonly #lost = new Set<(fault: Fault) => void>();
  readonly #refused = new Set<(subject: string) => void>();
  #fault: Fault | null = null;

  constructor(connection: NatsConnection, shown: string, library: Library) {
    this.connection = connection;
    this.shown = shown;
    this.maxPayloadBytes = connection.info?.max_payload ?? 1024 * 1024; // NATS's default
    this.#library = library;
    void this.#listen();
  }

  inbox(): string {
    return this.#library.createInbox();
  }

  publish(
    subject: string,
    payload: Uint8Array,
    options: { readonly reply?: string; readonly headers?: Readonly<Record<string, string>> } = {},
  ): void {
    const { reply } = options;
    try {
      this.connection.publish(subject, payload, {
        ...(reply === undefined ? {} : { reply }),
        ...(options.headers === undefined ? {} : { headers: this.#headers(options.headers) }),
      });
    } catch (error) {
      throw new Fault('plane', `publish on ${subject}: ${reason(error)}`, { cause: error });
    }
  }

  subscribe(subject: string, handler: (message: RawMessage) => void): () => void {
    try {
      const subscription = this.connection.subscribe(subject, {
        callback: (error, message) => {
          if (error === null) handler(message); // a refused one comes by `onRefused`
        },
      });
      return () => {
        if (!subscription.isClosed()) subscription.unsubscribe();
      };
    } catch (error) {
      throw new Fault('plane', `subscribe to ${subject}: ${reason(error)}`, { cause: error });
    }
  }

  onLost(act: (fault: Fault) => void): () => void {
    if (this.#fault !== null) act(this.#fault);
    else this.#lost.add(act);
    return () => this.#lost.delete(act);
  }

  onRefused(act: (subject: string) => void): () => void {
    this.#refused.add(act);
    return () => this.#refused.delete(act);
  }

  lose(fault: Fault): void {
    this.#fault = fault;
    for (const act of [...this.#lost]) act(fault);
    this.#lost.clear();
  }

  #headers(record: Readonly<Record<string, string>>): MsgHdrs {
    const headers = this.#library.headers();
    for (const [name, value] of Object.entries(record)) headers.set(name, value);
    return headers;
  }

  async #listen(): Promise<void> {
    for await (const { permissionContext } of this.connection.status()) {
      if (permissionContext === undefined) continue;
      for (const act of [...this.#refused]) act(permissionContext.subject);
    }
  }
}
