// A worker's native half as role/engine-thread puts it together, without thread and bus.

import { Engine } from '../../src/engine/engine.ts';
import { Scheduler } from '../../src/engine/scheduler.ts';
import { Arena } from '../../src/kv/arena.ts';
import type { KvPool } from '../../src/kv/pool.ts';
import { ShmExport } from '../../src/kv/shm-export.ts';
import { ShmImport } from '../../src/kv/shm-import.ts';
import type { EngineEvent } from '../../src/protocol/engine.ts';
import type { Sampling } from '../../src/protocol/request.ts';
import { realClock } from '../../src/std/clock.ts';
import { realChance } from '../../src/std/prng.ts';
import type { TinyModel } from '../model/tiny-session.ts';

export type Request = {
  readonly requestId: string;
  readonly promptIds: readonly number[];
  readonly sampling: Sampling;
};

export type WorkerOptions = {
  readonly role: 'baseline' | 'context' | 'generate';
  readonly slots: number;
  readonly chunkTokens: number;
  readonly arenaBytes?: number;
};

const blockTokens = 16;
const maxModelLen = 320;

export class TwinWorker {
  readonly engine: Engine;
  readonly scheduler: Scheduler;
  readonly pool: KvPool;
  readonly arena: Arena | null;
  readonly #import: ShmImport | null;
  #events: EngineEvent[] = [];

  constructor(tiny: TinyModel, options: WorkerOptions) {
    const { role, slots, chunkTokens } = options;
    const { modelDigest, config } = tiny.model;
    const opened = tiny.session({ slots, capacity: maxModelLen, chunkTokens, blockTokens });
    const { session, pool } = opened;
    const id = `twin-${realChance.id()}`;
    this.pool = pool;
    this.arena =
      role === 'context' ? new Arena(id, pool.geometry, options.arenaBytes ?? 1 << 24) : null;
    this.#import = role === 'generate' ? new ShmImport({ pool, modelDigest, worker: id }) : null;
    this.scheduler = new Scheduler({ slots, chunkTokens, queueCountMax: 1000 });
    this.engine = new Engine({
      scheduler: this.scheduler,
      runner: session,
      moveSlot: (from, to, tokens) => pool.moveSlot(from, to, tokens),
      kvExport:
        this.arena === null
          ? null
          : new ShmExport({ arena: this.arena, pool, clock: realClock, modelDigest, owner: id }),
      kvImport: this.#import,
      clock: realClock,
      eosIds: config.eosIds,
      ignoreEos: false,
      maxModelLen,
      emit: (event) => this.#events.push(event),
      flush: () => undefined,
    });
  }

  /** Events since the last call. */
  take(): EngineEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  close(): void {
    this.#import?.close();
    this.arena?.close();
  }
}

/** Tokens by request, and how each ended. Throws at a refusal or a fault. */
export class Answers {
  readonly #ids = new Map<string, number[]>();
  readonly #ends = new Map<string, string>();

  hear(event: EngineEvent): void {
    if (event.type === 'refused') throw new Error(`${event.requestId}: ${event.message}`);
    if (event.type !== 'tokens') return;
    const { requestId, first, ids, finish, fault } = event;
    if (fault !== undefined) throw new Error(`${requestId}: ${fault.message}`);
    const known = this.#ids.get(requestId) ?? [];
    if (known.length !== first) throw new Error(`${requestId}: gap or repeat at ${first}`);
    this.#ids.set(requestId, [...known, ...ids]);
    if (finish !== null) this.#ends.set(requestId, finish);
  }

  get endedCount(): number {
    return this.#ends.size;
  }

  /** "id,id,… finish" by request, in the order of their names. */
  all(): Record<string, string> {
    const names = [...this.#ids.keys()].sort();
    return Object.fromEntries(
      names.map((name) => [name, `${this.#ids.get(name)} ${this.#ends.get(name)}`]),
    );
  }
}
