// The NATS server of the simulation, as far as guarantees go: each connection keeps its order in both
// directions, a message reaches whoever is subscribed when it arrives, and is lost only with a
// connection. Messages of a link that is cut wait until it heals or the connection is given up.

import { matches } from '../plane/memory.ts';
import type { Link } from './link.ts';
import type { Lane, World } from './world.ts';

export type Delivery = {
  /** Name of the process that sent it. */
  readonly from: string;
  readonly subject: string;
  readonly payload: Uint8Array;
  /** Set where an answer is wanted. */
  readonly answer: ((reply: Reply) => void) | null;
};

export type Reply =
  | { readonly kind: 'data'; readonly payload: Uint8Array }
  | { readonly kind: 'fault'; readonly code: string; readonly message: string }
  | { readonly kind: 'nobody' };

export type Subscriber = { readonly pattern: string; take(delivery: Delivery): void };

/** One connection, the server's end of it and the way there and back. */
export class Connection {
  readonly lane: Lane;
  readonly link: Link;
  readonly subscribers = new Set<Subscriber>();
  isOpen = true;
  readonly #server: SimServer;
  readonly #onLost: (why: string) => void;
  readonly #stuck: (() => void)[] = [];
  #upMs = 0;
  #downMs = 0;

  constructor(server: SimServer, lane: Lane, link: Link, onLost: (why: string) => void) {
    this.#server = server;
    this.lane = lane;
    this.link = link;
    this.#onLost = onLost;
  }

  /** To the server, in order. */
  up(arrive: () => void): void {
    if (!this.isOpen) return;
    if (this.link.isCut) {
      this.#stuck.push(() => this.up(arrive));
      return;
    }
    const { world } = this.#server;
    this.#upMs = Math.max(this.#upMs, this.lane.nowMs() + this.link.delayMs());
    world.after(this.#upMs - world.nowMs, null, () => {
      if (this.isOpen && this.#server.isUp) arrive();
    });
  }

  /** To the client, in order; `isOdd`: it may meet what NATS would not do. */
  down(arrive: () => void, isOdd = false): void {
    if (!this.isOpen) return;
    if (this.link.isCut) {
      this.#stuck.push(() => this.down(arrive, isOdd));
      return;
    }
    const { world } = this.#server;
    const arrival = (): void => {
      if (this.isOpen) arrive();
    };
    const atMs = Math.max(this.#downMs, world.nowMs + this.link.delayMs());
    const oddity = isOdd ? this.link.oddity() : 'none';
    if (oddity !== 'none') {
      this.#server.onOddity(oddity);
      world.after(atMs + this.link.latenessMs() - world.nowMs, this.lane, arrival);
    }
    if (oddity === 'late') return;
    this.#downMs = atMs;
    world.after(atMs - world.nowMs, this.lane, arrival);
  }

  /** The link is there again before anybody gave up: TCP sends what waited. */
  resend(): void {
    for (const send of this.#stuck.splice(0)) send();
  }

  /** Both ends learn of it, the client a moment later. */
  lose(why: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#stuck.length = 0;
    this.#server.connections.delete(this);
    this.#server.world.after(0, this.lane, () => this.#onLost(why));
  }
}

export class SimServer {
  readonly world: World;
  readonly connections = new Set<Connection>();
  readonly hasJetStream: boolean;
  isUp = true;
  /** Told of each message that is routed. */
  onRoute: (delivery: Delivery) => void = () => undefined;
  onOddity: (kind: 'twice' | 'late') => void = () => undefined;

  constructor(world: World, hasJetStream: boolean) {
    this.world = world;
    this.hasJetStream = hasJetStream;
  }

  /** Null: nobody answers there. */
  accept(lane: Lane, link: Link, onLost: (why: string) => void): Connection | null {
    if (!this.isUp || link.isCut) return null;
    const connection = new Connection(this, lane, link, onLost);
    this.connections.add(connection);
    return connection;
  }

  stop(): void {
    this.isUp = false;
    for (const connection of [...this.connections]) connection.lose('the server has gone');
  }

  start(): void {
    this.isUp = true;
  }

  route(delivery: Delivery): void {
    this.onRoute(delivery);
    if (delivery.subject === '$JS.API.INFO' && delivery.answer !== null) {
      const payload = new TextEncoder().encode('{}');
      delivery.answer(this.hasJetStream ? { kind: 'data', payload } : { kind: 'nobody' });
      return;
    }
    let heardCount = 0;
    for (const connection of this.connections) {
      for (const subscriber of connection.subscribers) {
        if (!matches(subscriber.pattern, delivery.subject)) continue;
        heardCount++;
        connection.down(() => {
          if (connection.subscribers.has(subscriber)) subscriber.take(delivery);
        }, true);
      }
    }
    if (heardCount === 0) delivery.answer?.({ kind: 'nobody' });
  }
}
