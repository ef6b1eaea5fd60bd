// Both ends of a KV hand-over as a worker wires them: arena, block store, pools, export and import, and the
// paths of role/kv-paths.ts. In place of the engines stands what they do with blocks, and no more.

import { Arena } from '../../src/kv/arena.ts';
import { BlockStore } from '../../src/kv/block-store.ts';
import { KvIdentity } from '../../src/kv/identity.ts';
import { PeerArenas } from '../../src/kv/peers.ts';
import { KvPool } from '../../src/kv/pool.ts';
import type { OwnArena } from '../../src/kv/prefix-cache.ts';
import { ShmExport } from '../../src/kv/shm-export.ts';
import { ShmImport } from '../../src/kv/shm-import.ts';
import type { KvPaths } from '../../src/kv/transfer.ts';
import type { ObjectStore } from '../../src/plane/object-store.ts';
import type { EngineCommand } from '../../src/protocol/engine.ts';
import type { KvDtype } from '../../src/protocol/kv-size.ts';
import { limit } from '../../src/protocol/limit.ts';
import type {
  BlockRef,
  Geometry,
  ObjectBlock,
  ShmTicket,
  Ticket,
} from '../../src/protocol/ticket.ts';
import { openKvPaths } from '../../src/role/kv-paths.ts';
import type { Clock, Timer } from '../../src/std/clock.ts';
import { Fault, toFault } from '../../src/std/fault.ts';
import { realChance } from '../../src/std/prng.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { arenaBytes, fillRows, geometry, identity, modelDigest } from '../kv/pool-rows.ts';

export const capacity = 576;

/** Any clock, and how many of its timers are still to come. */
export class WatchedClock implements Clock {
  pendingCount = 0;
  readonly #inner: Clock;

  constructor(inner: Clock) {
    this.#inner = inner;
  }

  nowMs(): number {
    return this.#inner.nowMs();
  }

  epochS(): number {
    return this.#inner.epochS();
  }

  after(delayMs: number, fire: () => void): Timer {
    this.pendingCount++;
    let isPending = true;
    const end = (): void => {
      if (isPending) this.pendingCount--;
      isPending = false;
    };
    const timer = this.#inner.after(delayMs, () => {
      end();
      fire();
    });
    return {
      cancel: () => {
        end();
        timer.cancel();
      },
    };
  }
}

export type EndOptions = {
  readonly path: 'shm' | 'object';
  readonly clock: Clock;
  readonly openStore: () => ObjectStore;
  /** Workers of one namespace share buckets. */
  readonly namespace: string;
  readonly dtype?: KvDtype;
  readonly modelDigest?: string;
  readonly geometry?: Geometry;
  readonly bytesMax?: number;
  readonly ttlMs?: number;
};

/** With the store under them, which goes last. */
export type OpenPaths = KvPaths & { close(): Promise<void> };

/** A worker’s paths, over a store of the test’s. */
export function pathsOf(
  options: EndOptions,
  worker: { readonly workerId: string; readonly role: 'context' | 'generate' },
  submit: (command: EngineCommand) => void,
): OpenPaths {
  const { clock, namespace, openStore, dtype = 'float32' } = options;
  const { bytesMax = 2 ** 28, ttlMs = 600_000 } = options;
  const store = openStore();
  const paths = openKvPaths({
    store,
    config: {
      kvPath: 'auto',
      kvObject: { storage: 'memory', bytesMax, ttlMs, replicaCount: 1 },
    },
    worker: {
      ...worker,
      namespace,
      modelDigest: options.modelDigest ?? modelDigest,
      geometry: options.geometry ?? geometry,
      kvDtype: dtype,
    },
    engine: {
      submit,
      listen: () => undefined,
      load: () => {
        throw new Error('nobody asks for the load');
      },
    },
    clock,
    log: silentLog,
  });
  return {
    ...paths,
    async close() {
      await paths.close();
      await store.close();
    },
  };
}

/** A context worker. */
export class Writer {
  readonly pool = new KvPool(geometry, { slots: 1, capacity });
  readonly own: OwnArena;
  readonly paths: OpenPaths;
  readonly kv: KvIdentity;
  readonly #export: ShmExport;
  readonly #path: 'shm' | 'object';
  readonly #prompts = new Map<string, readonly number[]>();

  constructor(options: EndOptions & { readonly blocks?: number; readonly keeps?: boolean }) {
    const { dtype = 'float32', blocks = 16, keeps = true, path, clock } = options;
    const id = `test-${realChance.id()}`;
    const sizeBytes = arenaBytes(blocks, dtype);
    const arena = new Arena({ id, geometry, dtype, sizeBytes, identity });
    const onEvict = (index: number): void => arena.announce(index, null);
    this.own = { arena, store: new BlockStore(arena.blockCount, { keeps, onEvict }) };
    this.kv = new KvIdentity({ modelDigest: options.modelDigest ?? modelDigest, dtype, geometry });
    const common = { own: this.own, pool: this.pool, clock, kv: this.kv };
    this.#export = new ShmExport({ ...common, owner: id });
    this.paths = pathsOf(options, { workerId: id, role: 'context' }, () => undefined);
    this.#path = path;
  }

  /** @param options.tell called with announced blocks */
  begin(
    requestId: string,
    ids: readonly number[],
    options: {
      readonly heldTokens?: number;
      readonly tell?: (blocks: readonly ObjectBlock[]) => void;
    } = {},
  ): void {
    const { heldTokens = 0, tell = () => undefined } = options;
    this.#prompts.set(requestId, ids);
    this.paths.send[this.#path].begin({ requestId, heldTokens, announce: tell });
  }

  /** The prompt's KV up to there, each value telling its place (and `salt`), and out with its blocks. */
  compute(requestId: string, computed: number, salt = 1000): void {
    const blocks = this.stage(requestId, this.#idsOf(requestId), computed, salt);
    if (this.#path === 'object') this.paths.send.object.stage(requestId, blocks);
  }

  /** The engine's part alone. */
  stage(
    requestId: string,
    ids: readonly number[],
    computed: number,
    salt = 1000,
  ): readonly BlockRef[] {
    fillRows(this.pool, 0, computed, salt);
    return this.#export.append({ requestId, ids, slot: 0, computed });
  }

  /** The engine's ticket: the lease begins. */
  ticket(requestId: string): ShmTicket {
    const ticket = this.#export.offer(requestId, limit.leaseMs);
    if (ticket === null) throw new Error('the arena has no room');
    return ticket;
  }

  async offer(requestId: string): Promise<Ticket> {
    return await this.paths.send[this.#path].offer(requestId, this.ticket(requestId));
  }

  /** As when the lease expires: the arena may use the blocks again. */
  loseArena(requestId: string): void {
    this.#export.release(requestId);
  }

  end(requestId: string): void {
    this.#prompts.delete(requestId);
    this.paths.send[this.#path].end(requestId);
    this.#export.release(requestId);
  }

  async close(): Promise<void> {
    await this.paths.close();
    this.own.arena.close();
    this.pool.close();
  }

  #idsOf(requestId: string): readonly number[] {
    const ids = this.#prompts.get(requestId);
    if (ids === undefined) throw new Error(`${requestId} has not begun`);
    return ids;
  }
}

type Waiting = { readonly ids: readonly number[]; readonly slot: number; computed: number };

/** A generate worker. */
export class Reader {
  readonly pool: KvPool;
  readonly paths: OpenPaths;
  /** Blocks that the engine has been given. */
  blockCount = 0;
  /** The engine is in a long step: blocks wait for `step`. */
  isBusy = false;
  readonly #queue: Extract<EngineCommand, { type: 'block' }>[] = [];
  readonly #import: ShmImport;
  readonly #path: 'shm' | 'object';
  readonly #dtype: KvDtype;
  readonly #peers = new PeerArenas({ identity, ownName: null });
  readonly #waiting = new Map<string, Waiting>();

  constructor(options: EndOptions & { readonly slots?: number }) {
    const { path, dtype = 'float32', slots = 2 } = options;
    this.pool = new KvPool(geometry, { slots, capacity });
    const kv = new KvIdentity({
      modelDigest: options.modelDigest ?? modelDigest,
      dtype,
      geometry,
    });
    this.#import = new ShmImport({ peers: this.#peers, pool: this.pool, kv, worker: 'reader' });
    const worker = { workerId: `test-${realChance.id()}`, role: 'generate' } as const;
    this.paths = pathsOf(options, worker, (command) => {
      if (command.type !== 'block') return;
      this.#queue.push(command);
      if (!this.isBusy) queueMicrotask(() => this.step());
    });
    this.#path = path;
    this.#dtype = dtype;
  }

  begin(
    requestId: string,
    ids: readonly number[],
    options: { readonly slot?: number; readonly heldTokens?: number } = {},
  ): void {
    const { slot = 0, heldTokens = 0 } = options;
    fillRows(this.pool, slot, capacity, 90_000);
    if (heldTokens > 0) fillRows(this.pool, slot, heldTokens, 1000);
    this.#waiting.set(requestId, { ids, slot, computed: heldTokens });
    const receiving = { requestId, promptTokens: ids.length, heldTokens };
    this.paths.receive[this.#path].begin(receiving);
  }

  announce(requestId: string, blocks: readonly ObjectBlock[]): void {
    this.paths.receive[this.#path].announce(requestId, this.#dtype, blocks);
  }

  /** As the engine's `import`: bytes copied out of an arena (0 where they came as blocks). */
  async finish(requestId: string, ticket: Ticket): Promise<number> {
    await this.paths.receive[ticket.kind].finish(requestId, ticket);
    const waiting = this.#waiting.get(requestId);
    if (waiting === undefined) throw new Fault('cancelled', `${requestId} is not here`);
    const { ids, slot, computed: from } = waiting;
    if (ticket.kind === 'shm') return this.#import.fetch({ ticket, ids, slot, from });
    if (from !== ids.length) throw new Error(`${from} of ${ids.length} tokens are there`);
    return 0;
  }

  /** The engine takes what has come since the last step; how many blocks that was. */
  step(): number {
    const taken = this.#queue.splice(0);
    for (const command of taken) this.#place(command);
    return taken.length;
  }

  /** The slot is filled up to there. */
  computedOf(requestId: string): number {
    return this.#waiting.get(requestId)?.computed ?? -1;
  }

  end(requestId: string): void {
    this.#waiting.delete(requestId);
    this.paths.receive[this.#path].end(requestId);
  }

  async close(): Promise<void> {
    await this.paths.close();
    this.#peers.close();
    this.pool.close();
  }

  #place({ requestId, frame }: Extract<EngineCommand, { type: 'block' }>): void {
    const waiting = this.#waiting.get(requestId);
    if (waiting === undefined) return;
    this.blockCount++;
    const { receive } = this.paths;
    try {
      const { ids, slot, computed: from } = waiting;
      waiting.computed += this.#import.put({ frame, ids, slot, from });
      receive[this.#path].placed(requestId, waiting.computed, null);
    } catch (thrown) {
      receive[this.#path].placed(requestId, waiting.computed, toFault(thrown, 'transfer'));
    }
  }
}
