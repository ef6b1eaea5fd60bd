// The request plane within one process, for tests and the simulation: the semantics of plane/nats.ts
// without a server. A hub plays the server; each handle plays one connection and can be cut off.
// Deliveries happen in a microtask of their own, in the order in which they were published.

import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { Bus, BusHandler, Ending, Endpoint, Service } from './bus.ts';
import { oneLine, remoteFault } from './remote-fault.ts';

type Subscription = { readonly pattern: string; readonly handler: BusHandler; on: boolean };
type Pending = (fault: Fault) => void;

export class MemoryHub {
  readonly clock: Clock;
  readonly maxPayloadBytes: number;
  readonly buses = new Set<MemoryBus>();

  constructor(options: { readonly clock: Clock; readonly maxPayloadBytes?: number }) {
    this.clock = options.clock;
    this.maxPayloadBytes = options.maxPayloadBytes ?? 1024 * 1024;
  }

  open(): MemoryBus {
    const bus = new MemoryBus(this);
    this.buses.add(bus);
    return bus;
  }
}

export class MemoryBus implements Bus {
  readonly #hub: MemoryHub;
  readonly #subscriptions = new Set<Subscription>();
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #services = new Set<Service>();
  readonly #pending = new Set<Pending>();
  readonly #handlers: ((trouble: string | null) => void)[] = [];
  #trouble: string | null = null;

  constructor(hub: MemoryHub) {
    this.#hub = hub;
  }

  get maxPayloadBytes(): number {
    return this.#hub.maxPayloadBytes;
  }

  /** What `nats micro ls` would show of this connection. */
  get services(): readonly Service[] {
    return [...this.#services];
  }

  trouble(): string | null {
    return this.#trouble;
  }

  onTrouble(handler: (trouble: string | null) => void): void {
    this.#handlers.push(handler);
  }

  /** Cuts the connection: nothing leaves or arrives, waiting requests fail. */
  disconnect(why = 'request plane memory: cut by the test'): void {
    this.#setTrouble(why);
    for (const lose of [...this.#pending]) lose(new Fault('plane', why));
  }

  reconnect(): void {
    this.#setTrouble(null);
  }

  publish(subject: string, payload: Uint8Array): void {
    this.#check(subject, payload);
    const copy = payload.slice();
    for (const bus of this.#hub.buses) bus.#deliver(subject, copy);
  }

  subscribe(pattern: string, handler: BusHandler): Ending {
    const subscription = { pattern, handler, on: true };
    this.#subscriptions.add(subscription);
    return {
      stop: async () => {
        subscription.on = false;
        this.#subscriptions.delete(subscription);
      },
    };
  }

  async request(
    subject: string,
    payload: Uint8Array,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Uint8Array> {
    const { timeoutMs, signal } = options;
    if (signal?.aborted === true) throw new Fault('cancelled', `${subject}: cancelled`);
    this.#check(subject, payload);
    const copy = payload.slice();
    return await new Promise<Uint8Array>((resolve, reject) => {
      const lose: Pending = (fault) => settle(() => reject(fault));
      const abort = () => lose(new Fault('cancelled', `${subject}: cancelled`));
      const late = () => lose(new Fault('timeout', `${subject}: no answer within ${timeoutMs} ms`));
      const timer = this.#hub.clock.after(timeoutMs, late);
      const settle = (act: () => void) => {
        timer.cancel();
        this.#pending.delete(lose);
        signal?.removeEventListener('abort', abort);
        act();
      };
      this.#pending.add(lose);
      signal?.addEventListener('abort', abort, { once: true });
      queueMicrotask(() => {
        const server = [...this.#hub.buses].find((bus) => bus.#serves(subject));
        if (server === undefined) {
          lose(new Fault('no_worker', `${subject}: nobody serves it`));
          return;
        }
        server.#answer(subject, copy).then(
          (reply) => server.#trouble === null && settle(() => resolve(reply)),
          (fault: Fault) => server.#trouble === null && lose(fault),
        ); // a reply of a server that was cut off meanwhile is lost: the timer ends the wait
      });
    });
  }

  serve(service: Service): Ending {
    this.#services.add(service);
    for (const endpoint of service.endpoints) this.#endpoints.set(endpoint.subject, endpoint);
    return {
      stop: async () => {
        if (!this.#services.delete(service)) return;
        for (const endpoint of service.endpoints) this.#endpoints.delete(endpoint.subject);
      },
    };
  }

  async flush(): Promise<void> {
    if (this.#trouble !== null) throw new Fault('plane', this.#trouble);
  }

  async close(): Promise<void> {
    this.disconnect('the request plane is closed');
    this.#hub.buses.delete(this);
  }

  #serves(subject: string): boolean {
    return this.#trouble === null && this.#endpoints.has(subject);
  }

  /** Rejects with Faults only, as they would look after a journey over the wire. */
  async #answer(subject: string, payload: Uint8Array): Promise<Uint8Array> {
    const endpoint = this.#endpoints.get(subject);
    if (endpoint === undefined) throw new Fault('no_worker', `${subject}: nobody serves it`);
    try {
      const reply = await endpoint.handle(payload);
      this.#check(subject, reply);
      return reply.slice();
    } catch (error) {
      const fault = toFault(error);
      throw remoteFault(fault.code, oneLine(fault.message));
    }
  }

  #deliver(subject: string, payload: Uint8Array): void {
    if (this.#trouble !== null) return;
    for (const subscription of this.#subscriptions) {
      if (!matches(subscription.pattern, subject)) continue;
      queueMicrotask(() => {
        if (subscription.on && this.#trouble === null) subscription.handler(payload, subject);
      });
    }
  }

  #check(subject: string, payload: Uint8Array): void {
    if (this.#trouble !== null) throw new Fault('plane', this.#trouble);
    const bytes = payload.byteLength;
    const bytesMax = this.maxPayloadBytes;
    if (bytes > bytesMax) {
      throw new Fault('too_large', `${subject}: message of ${bytes} bytes, at most ${bytesMax}`);
    }
  }

  #setTrouble(trouble: string | null): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    for (const handler of this.#handlers) handler(trouble);
  }
}

/** NATS's wildcards: `*` is one token, `>` the rest. */
export function matches(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.');
  const found = subject.split('.');
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return found.length > index;
    if (found[index] === undefined || (token !== '*' && token !== found[index])) return false;
  }
  return wanted.length === found.length;
}
