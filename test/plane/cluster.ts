// A small cluster in one process: the production client and workers over a memory bus, fake engines, a
// clock that the test moves.

import { type ClientOptions, createClient, type PlaneClient } from '../../src/plane/client.ts';
import { type MemoryBus, MemoryHub } from '../../src/plane/memory.ts';
import {
  createWorkerNode,
  type WorkerNode,
  type WorkerOptions,
  type WorkerState,
} from '../../src/plane/worker.ts';
import type { WorkerRole } from '../../src/protocol/message.ts';
import {
  type GenerateRequest,
  type Generation,
  neutralSampling,
} from '../../src/protocol/request.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { Fault } from '../../src/std/fault.ts';
import { seededChance } from '../../src/std/prng.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { FakeEngine } from './fake-engine.ts';
import { card, settle, ticketsOnly, tokenizer, tokenizerConfig } from './make.ts';

export type TestWorker = {
  readonly id: string;
  readonly bus: MemoryBus;
  readonly engine: FakeEngine;
  readonly node: WorkerNode;
  /** As kill -9: no word more. */
  kill(): void;
};

export class Cluster {
  readonly clock = new ManualClock();
  readonly lines: string[] = [];
  readonly log = createLog({ level: 2, sink: (line) => this.lines.push(line), name: '' });
  readonly hub: MemoryHub;
  readonly bus: MemoryBus;
  readonly client: PlaneClient;

  constructor(change: Partial<ClientOptions> & { readonly maxPayloadBytes?: number } = {}) {
    const { maxPayloadBytes = 1024 * 1024, ...options } = change;
    this.hub = new MemoryHub({ clock: this.clock, maxPayloadBytes });
    this.bus = this.hub.open();
    this.client = this.gateway('gw', { bus: this.bus, ...options });
  }

  /** A gateway; the constructor has made the first one. */
  gateway(gatewayId: string, options: Partial<ClientOptions> = {}): PlaneClient {
    return createClient({
      bus: options.bus ?? this.hub.open(),
      clock: this.clock,
      chance: seededChance(1),
      log: this.log,
      namespace: 'tdist',
      gatewayId,
      localPrefillTokens: 0,
      migrationLimit: 3,
      migrationWaitMs: 30_000,
      ...options,
    });
  }

  async worker(
    id: string,
    role: WorkerRole,
    answer: readonly number[] | null = null,
    change: Partial<WorkerOptions> & { readonly state?: WorkerState } = {},
  ): Promise<TestWorker> {
    const { state = 'ready', ...options } = change;
    const bus = this.hub.open();
    const engine = new FakeEngine(answer);
    const node = createWorkerNode({
      bus,
      clock: this.clock,
      log: this.log,
      namespace: 'tdist',
      workerId: id,
      role,
      card: card(),
      host: 'host-1',
      pid: 1,
      build: '0.1.0',
      engine,
      kv: ticketsOnly,
      kvPath: 'auto',
      sees: () => true,
      objects: () => false,
      assets: { tokenizer, tokenizerConfig },
      ...options,
    });
    node.setState(state);
    await settle();
    const kill = () => {
      bus.disconnect('killed');
      this.hub.buses.delete(bus);
    };
    return { id, bus, engine, node, kill };
  }

  /** Moves time on in steps small enough that heartbeats arrive in between. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      this.clock.advance(Math.min(100, left));
      await settle();
    }
  }

  ask(signal = new AbortController().signal, change: Partial<GenerateRequest> = {}) {
    return this.client.generate(request(change), { signal });
  }
}

export function request(change: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    requestId: 'req',
    model: 'llama',
    promptIds: [1, 2, 3],
    sampling: { ...neutralSampling, temperature: 0, seed: 1, maxTokens: 16, ignoreEos: false },
    priority: 0,
    ...change,
  };
}

/** All tokens of a generation, and how it ended. */
export async function read(generation: Generation): Promise<string> {
  const ids: number[] = [];
  try {
    for await (const delta of generation.deltas) {
      ids.push(...delta.ids);
      if (delta.finish !== null) return `${ids.join(' ')} ${delta.finish}`;
    }
  } catch (error) {
    if (error instanceof Fault) return `${ids.join(' ')} !${error.code}`;
    throw error;
  }
  return `${ids.join(' ')} (no end)`;
}

export async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const error = await work.then(
    () => 'no failure',
    (thrown: unknown) => thrown,
  );
  if (error instanceof Fault) return error;
  throw new Error(`wanted a Fault, found ${String(error)}`);
}
