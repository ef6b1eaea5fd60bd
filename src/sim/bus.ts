// A process's connection to the simulated server: the third body of plane/bus.ts. As plane/nats.ts it
// reconnects by itself, fails what waits when the connection goes, and sends nothing later that was
// published into an outage.

import type { Bus, BusHandler, Ending, Service } from '../plane/bus.ts';
import { oneLine, remoteFault } from '../plane/remote-fault.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { Dice } from './dice.ts';
import type { Link } from './link.ts';
import type { Connection, Delivery, Reply, SimServer, Subscriber } from './server.ts';
import type { Lane } from './world.ts';

type RequestOptions = { readonly timeoutMs: number; readonly signal?: AbortSignal };

export class SimBus implements Bus {
  readonly maxPayloadBytes: number;
  readonly #server: SimServer;
  readonly #lane: Lane;
  readonly #link: Link;
  readonly #dice: Dice;
  readonly #subscribers = new Set<Subscriber>();
  readonly #pending = new Set<(fault: Fault) => void>();
  readonly #handlers: ((trouble: string | null) => void)[] = [];
  #connection: Connection | null = null;
  #trouble: string | null = 'not connected yet';
  #isClosed = false;

  constructor(options: {
    readonly server: SimServer;
    readonly lane: Lane;
    readonly link: Link;
    readonly dice: Dice;
    readonly maxPayloadBytes: number;
  }) {
    this.#server = options.server;
    this.#lane = options.lane;
    this.#link = options.link;
    this.#dice = options.dice;
    this.maxPayloadBytes = options.maxPayloadBytes;
    this.#dial();
  }

  /** Requests that wait for an answer. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  get connection(): Connection | null {
    return this.#connection;
  }

  trouble(): string | null {
    return this.#trouble;
  }

  onTrouble(handler: (trouble: string | null) => void): void {
    this.#handlers.push(handler);
  }

  publish(subject: string, payload: Uint8Array): void {
    const connection = this.#live(subject, payload);
    const from = this.#lane.name;
    const delivery = { from, subject, payload: payload.slice(), answer: null };
    connection.up(() => this.#server.route(delivery));
  }

  subscribe(pattern: string, handler: BusHandler): Ending {
    return this.#attach([{ pattern, take: ({ payload, subject }) => handler(payload, subject) }]);
  }

  serve(service: Service): Ending {
    return this.#attach(
      service.endpoints.map(({ subject, handle }) => ({
        pattern: subject,
        take: (delivery) => void this.#answer(delivery, handle),
      })),
    );
  }

  async request(
    subject: string,
    payload: Uint8Array,
    { timeoutMs, signal }: RequestOptions,
  ): Promise<Uint8Array> {
    if (signal?.aborted === true) throw new Fault('cancelled', `${subject}: cancelled`);
    const connection = this.#live(subject, payload);
    const copy = payload.slice();
    return await new Promise<Uint8Array>((resolve, reject) => {
      const lose = (fault: Fault): void => settle(() => reject(fault));
      const abort = (): void => lose(new Fault('cancelled', `${subject}: cancelled`));
      const timer = this.#lane.clock.after(timeoutMs, () =>
        lose(new Fault('timeout', `${subject}: no answer within ${timeoutMs} ms`)),
      );
      const settle = (act: () => void): void => {
        timer.cancel();
        this.#pending.delete(lose);
        signal?.removeEventListener('abort', abort);
        act();
      };
      const take = (reply: Reply): void => {
        if (reply.kind === 'data') return settle(() => resolve(reply.payload));
        if (reply.kind === 'fault') return lose(remoteFault(reply.code, reply.message));
        lose(new Fault('no_worker', `${subject}: nobody serves it`));
      };
      this.#pending.add(lose);
      signal?.addEventListener('abort', abort, { once: true });
      const answer = (reply: Reply): void => connection.down(() => take(reply));
      const from = this.#lane.name;
      connection.up(() => this.#server.route({ from, subject, payload: copy, answer }));
    });
  }

  async flush(): Promise<void> {
    const connection = this.#connection;
    if (connection === null) throw new Fault('plane', this.#trouble ?? 'closed');
    await new Promise<void>((resolve, reject) => {
      const lose = (fault: Fault): void => {
        this.#pending.delete(lose);
        reject(fault);
      };
      this.#pending.add(lose);
      connection.up(() =>
        connection.down(() => {
          this.#pending.delete(lose);
          resolve();
        }),
      );
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const connection = this.#connection;
    if (connection !== null) {
      await this.flush().catch(() => undefined); // the connection went first: nothing to wait for
      connection.lose('closed');
    }
    this.#down('the request plane is closed');
  }

  /** As kill -9 leaves it: the kernel closes the socket, nobody here hears of anything. */
  die(): void {
    this.#isClosed = true;
    this.#connection?.lose('its process died');
    this.#connection = null;
  }

  #attach(subscribers: readonly Subscriber[]): Ending {
    const attached = new Set<Subscriber>();
    for (const subscriber of subscribers) {
      this.#subscribers.add(subscriber);
      attached.add(subscriber);
      const connection = this.#connection;
      connection?.up(() => {
        if (this.#subscribers.has(subscriber)) connection.subscribers.add(subscriber);
      });
    }
    return {
      stop: async () => {
        for (const subscriber of attached) {
          this.#subscribers.delete(subscriber);
          const connection = this.#connection;
          connection?.up(() => connection.subscribers.delete(subscriber));
        }
      },
    };
  }

  async #answer(
    { payload, answer }: Delivery,
    handle: (payload: Uint8Array) => Promise<Uint8Array>,
  ): Promise<void> {
    let reply: Reply;
    try {
      const data = await handle(payload);
      if (data.byteLength > this.maxPayloadBytes) throw new Fault('too_large', 'reply too large');
      reply = { kind: 'data', payload: data.slice() };
    } catch (thrown) {
      const fault = toFault(thrown);
      reply = { kind: 'fault', code: fault.code, message: oneLine(fault.message) };
    }
    // By the connection there is now: the asker's inbox does not mind which.
    if (answer !== null) this.#connection?.up(() => answer(reply));
  }

  #dial(): void {
    if (this.#isClosed || !this.#lane.isAlive) return;
    const connection = this.#server.accept(this.#lane, this.#link, (why) => this.#lost(why));
    if (connection === null) {
      this.#lane.world.after(this.#dice.between(100, 900), this.#lane, () => this.#dial());
      return;
    }
    connection.up(() => {
      for (const subscriber of this.#subscribers) connection.subscribers.add(subscriber);
      connection.down(() => this.#up(connection));
    });
    // What is subscribed before the answer goes along: the connection is there, trouble still stands.
    this.#connection = connection;
  }

  #up(connection: Connection): void {
    if (this.#connection !== connection || this.#isClosed) return;
    this.#tell(null);
  }

  #lost(why: string): void {
    this.#connection = null;
    this.#down(`request plane sim: ${why}; trying again`);
    this.#lane.world.after(this.#dice.between(20, 600), this.#lane, () => this.#dial());
  }

  #down(text: string): void {
    this.#tell(text);
    for (const lose of [...this.#pending]) lose(new Fault('plane', text));
  }

  #tell(trouble: string | null): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    for (const handler of this.#handlers) handler(trouble);
  }

  #live(subject: string, payload: Uint8Array): Connection {
    const connection = this.#connection;
    if (connection === null || this.#trouble !== null) {
      throw new Fault('plane', this.#trouble ?? 'the request plane is closed');
    }
    const bytes = payload.byteLength;
    if (bytes > this.maxPayloadBytes) {
      const text = `${subject}: message of ${bytes} bytes, at most ${this.maxPayloadBytes}`;
      throw new Fault('too_large', text);
    }
    return connection;
  }
}
