// A worker's native half as role/engine-thread puts it together, without thread and bus.

import { Engine } from '../../src/engine/engine.ts';
import type { Scheduler } from '../../src/engine/scheduler.ts';
import type { Grammars } from '../../src/grammar/guide.ts';
import { Arena } from '../../src/kv/arena.ts';
import { BlockStore } from '../../src/kv/block-store.ts';
import { KvIdentity } from '../../src/kv/identity.ts';
import { PeerArenas } from '../../src/kv/peers.ts';
import type { KvPool } from '../../src/kv/pool.ts';
import { type OwnArena, PrefixCache } from '../../src/kv/prefix-cache.ts';
import { ShmExport } from '../../src/kv/shm-export.ts';
import { ShmImport } from '../../src/kv/shm-import.ts';
import type { EngineEvent } from '../../src/protocol/engine.ts';
import type { KvDtype } from '../../src/protocol/kv-size.ts';
import type { Sampling } from '../../src/protocol/request.ts';
import { realClock } from '../../src/std/clock.ts';
import { digest } from '../../src/std/hash.ts';
import { realChance } from '../../src/std/prng.ts';
import type { TinyModel } from '../model/tiny-session.ts';

export type Request = {
  readonly requestId: string;
  readonly promptIds: readonly number[];
  readonly sampling: Sampling;
  readonly priority: number;
};

export type WorkerOptions = {
  readonly role: 'baseline' | 'context' | 'generate';
  readonly slots: number;
  readonly stepTokens: number;
  readonly arenaBytes?: number;
  /** Workers of one name find each other's cached blocks; null: nothing is remembered. */
  readonly cacheName?: string | null;
  readonly tokensMax?: number;
  /** Of blocks; float32 where none is given. */
  readonly kvDtype?: KvDtype;
  readonly grammars?: Grammars;
};

const blockTokens = 16;
export const maxModelLen = 320;

export class TwinWorker {
  readonly engine: Engine;
  readonly pool: KvPool;
  readonly own: OwnArena | null;
  readonly peers: PeerArenas;
  /** How many prompts were prefilled together with others. */
  togetherCount = 0;
  #events: EngineEvent[] = [];

  constructor(tiny: TinyModel, options: WorkerOptions) {
    const { role, slots, stepTokens, cacheName = null, kvDtype: dtype = 'float32' } = options;
    const { tokensMax = slots * maxModelLen } = options;
    const { modelDigest, config } = tiny.model;
    const opened = tiny.session({ slots, capacity: maxModelLen, stepTokens, blockTokens });
    const { session, pool } = opened;
    const id = `twin-${realChance.id()}`;
    this.pool = pool;
    const identity = digest(cacheName ?? id);
    this.own =
      role === 'context' || cacheName !== null
        ? openArena(
            pool,
            { id, identity, dtype, sizeBytes: options.arenaBytes ?? 1 << 22 },
            cacheName,
          )
        : null;
    this.peers = new PeerArenas({ identity, ownName: this.own?.arena.name ?? null });
    const kv = new KvIdentity({ modelDigest, dtype, geometry: pool.geometry });
    const common = { pool, kv, peers: this.peers };
    this.engine = new Engine({
      scheduler: { slots, stepTokens, tokensMax, queueCountMax: 1000 },
      runner: {
        vocabSize: session.vocabSize,
        prefill: (step) => session.prefill(step),
        prefillTogether: (step) => {
          this.togetherCount += step.prompts.length;
          return session.prefillTogether(step);
        },
        decode: (step) => session.decode(step),
      },
      memory: {
        move: (from, to, tokens) => pool.moveSlot(from, to, tokens),
        touch: (slot, tokens) => pool.touch(slot, tokens),
        forget: (slot, keep) => pool.forget(slot, keep),
        residentTokens: () => pool.residentTokens(),
      },
      kvExport:
        role === 'context' && this.own !== null
          ? new ShmExport({ ...common, own: this.own, clock: realClock, owner: id })
          : null,
      kvImport: role === 'generate' ? new ShmImport({ ...common, worker: id }) : null,
      kvCache:
        cacheName !== null && this.own !== null
          ? new PrefixCache({ ...common, own: this.own })
          : null,
      ...(options.grammars === undefined ? {} : { grammars: options.grammars }),
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

  get scheduler(): Scheduler {
    return this.engine.scheduler;
  }

  close(): void {
    this.peers.close();
    this.own?.arena.close();
  }
}

function openArena(
  pool: KvPool,
  options: { id: string; identity: string; dtype: KvDtype; sizeBytes: number },
  cacheName: string | null,
): OwnArena {
  const arena = new Arena({ ...options, geometry: pool.geometry });
  const onEvict = (index: number): void => arena.announce(index, null);
  return { arena, store: new BlockStore(arena.blockCount, { keeps: cacheName !== null, onEvict }) };
}

/** Tokens by request, and how each ended. Throws at a refusal or a fault. */
export class Answers {
  readonly #ids = new Map<string, number[]>();
  readonly #ends = new Map<string, string>();
  readonly #begun: ReadonlyMap<string, number>;

  /** @param begun requests of whose answers some is out already: the rest is numbered behind it. */
  constructor(begun: readonly { requestId: string; emittedIds: readonly number[] }[] = []) {
    this.#begun = new Map(begun.map(({ requestId, emittedIds }) => [requestId, emittedIds.length]));
  }

  hear(event: EngineEvent): void {
    if (event.type === 'refused') throw new Error(`${event.requestId}: ${event.message}`);
    if (event.type !== 'tokens') return;
    const { requestId, first, ids, finish, fault } = event;
    if (fault !== undefined) throw new Error(`${requestId}: ${fault.message}`);
    const known = this.#ids.get(requestId) ?? [];
    if ((this.#begun.get(requestId) ?? 0) + known.length !== first)
      throw new Error(`${requestId}: gap or repeat at ${first}`);
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
