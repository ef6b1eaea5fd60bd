// A simulated gateway process: the production client behind the production queue, and the part of
// HTTP that matters here: a client that may go away.

import { type Exchange, Gate } from '../api/gate.ts';
import { AdmissionQueue } from '../api/queue.ts';
import { withClaims } from '../plane/claim.ts';
import { createClient, type PlaneClient } from '../plane/client.ts';
import { limit } from '../protocol/limit.ts';
import { toFault } from '../std/fault.ts';
import { SimBus } from './bus.ts';
import type { Call } from './call.ts';
import type { Ground } from './ground.ts';
import { Link } from './link.ts';
import { SimStore } from './store.ts';
import { Lane } from './world.ts';

export type GatewaySpec = {
  readonly place: string;
  readonly localPrefillTokens: number | null;
  readonly queueLimit: number;
  readonly queueTimeoutMs: number;
};

export class SimGateway {
  readonly spec: GatewaySpec;
  readonly id: string;
  readonly lane: Lane;
  readonly link: Link;
  readonly bus: SimBus;
  readonly client: PlaneClient;
  readonly queue: AdmissionQueue;
  readonly gate: Gate;
  readonly #calls = new Set<Call>();
  readonly #ground: Ground;

  constructor(ground: Ground, spec: GatewaySpec, start: number) {
    const { world, dice, server, objects, maxPayloadBytes, namespace } = ground;
    this.#ground = ground;
    this.spec = spec;
    this.id = `${spec.place}-${start}`;
    this.lane = new Lane(world, this.id, dice.between(0, 1e6));
    this.link = new Link(dice);
    this.link.oddShare = ground.oddShare;
    const { lane, link } = this;
    const { clock } = lane;
    const isUp = (): boolean => server.isUp && server.hasJetStream;
    const store = new SimStore({ objects, lane, link, dice, isUp });
    this.bus = new SimBus({ server, lane, link, dice, maxPayloadBytes });
    const log = ground.logOf(lane);
    const chance = dice.asChance();
    const bus = withClaims({ bus: this.bus, store, namespace, clock, chance, log });
    this.client = createClient({
      bus,
      clock,
      chance,
      log,
      namespace,
      gatewayId: this.id,
      localPrefillTokens: spec.localPrefillTokens,
      migrationLimit: 3,
      migrationWaitMs: spec.queueTimeoutMs,
      inboxBound: { deltaMax: ground.inboxDeltaMax, bytesMax: limit.waitingBytesMax },
    });
    this.gate = new Gate({ clock, limitMs: 0 });
    this.queue = new AdmissionQueue({
      countMax: spec.queueLimit,
      timeoutMs: spec.queueTimeoutMs,
      clock,
    });
  }

  get isAlive(): boolean {
    return this.lane.isAlive;
  }

  /** kill -9: its clients see their connections end. */
  crash(): void {
    this.lane.end();
    this.bus.die();
    this.#ground.world.note(`${this.id} ended`);
    for (const call of this.#calls) call.end('gateway_died');
    this.#calls.clear();
  }

  /** The connection is there from now on, whenever it is looked at. */
  admitCall(call: Call): void {
    this.#calls.add(call);
    this.lane.world.after(0, this.lane, () => void this.#serve(call));
  }

  /** Serves one request, from its arrival to its end. */
  async #serve(call: Call): Promise<void> {
    const { request } = call.ask;
    const leaving = new AbortController();
    if (call.hasLeft) leaving.abort();
    call.onLeave = () => this.lane.world.after(0, this.lane, () => leaving.abort());
    try {
      const exchange = this.gate.enter(leaving.signal);
      try {
        const generation = await this.queue.admit(
          exchange,
          () => this.client.unready(),
          (signal, onPlaced) => this.client.generate(request, { signal, onPlaced }),
        );
        const { readMs, stop } = call.ask;
        for await (const delta of generation.deltas) {
          call.take(delta);
          if (readMs > 0) await this.#pause(readMs, exchange);
          if (stop?.afterTokens === call.ids.length) await this.#pause(stop.forMs, exchange);
        }
        call.end('finished');
      } finally {
        exchange.close();
      }
    } catch (thrown) {
      call.end(toFault(thrown).code);
    } finally {
      this.#calls.delete(call);
    }
  }

  /** Not beyond the request's end: nobody reads then. */
  #pause(ms: number, { signal }: Exchange): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', go);
        resolve();
      };
      const timer = this.lane.clock.after(ms, go);
      signal.addEventListener('abort', go);
    });
  }
}
