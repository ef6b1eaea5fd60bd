// The engine's thread: the one place where a worker's native parts are put together. Everything that
// ONNX Runtime reads or writes is made here, used here and let go of here; the main thread knows this
// one by messages alone.

import { Engine } from '../engine/engine.ts';
import { Loop, Outbox } from '../engine/loop.ts';
import type { EngineParts } from '../engine/parts.ts';
import { GrammarStore } from '../grammar/store.ts';
import type { Vocabulary } from '../grammar/vocabulary.ts';
import { Arena } from '../kv/arena.ts';
import { BlockStore } from '../kv/block-store.ts';
import { KvIdentity } from '../kv/identity.ts';
import { PeerArenas } from '../kv/peers.ts';
import { KvPool } from '../kv/pool.ts';
import { type OwnArena, PrefixCache } from '../kv/prefix-cache.ts';
import { ShmExport } from '../kv/shm-export.ts';
import { ShmImport } from '../kv/shm-import.ts';
import { Ort } from '../model/ort.ts';
import { OrtSession } from '../model/session.ts';
import type { EngineCommand, EngineEvent, Load } from '../protocol/engine.ts';
import type { KvDtype } from '../protocol/kv-size.ts';
import { limit } from '../protocol/limit.ts';
import type { Counters, WorkerRole } from '../protocol/message.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { realClock } from '../std/clock.ts';
import { toFault } from '../std/fault.ts';

export type EngineOptions = {
  /** Deployments with different ones share no KV. */
  readonly namespace: string;
  readonly workerId: string;
  readonly role: WorkerRole;
  readonly libraryPath: string;
  readonly modelPath: string;
  readonly modelDigest: string;
  readonly geometry: Geometry;
  /** How blocks store KV. */
  readonly kvDtype: KvDtype;
  readonly vocabSize: number;
  readonly eosIds: readonly number[];
  readonly ignoreEos: boolean;
  readonly maxModelLen: number;
  readonly slots: number;
  /** Positions of KV in use at most, over all slots. */
  readonly tokensMax: number;
  readonly threads: number;
  readonly queueCountMax: number;
  readonly arenaBytes: number;
  readonly prefixCaching: boolean;
};

export type ToEngine =
  | { readonly type: 'start'; readonly options: EngineOptions }
  | { readonly type: 'command'; readonly command: EngineCommand }
  | { readonly type: 'vocabulary'; readonly vocabulary: Vocabulary }
  | { readonly type: 'stop' };

export type FromEngine =
  | { readonly type: 'started' }
  | { readonly type: 'failed'; readonly code: string; readonly message: string }
  | { readonly type: 'events'; readonly events: EngineEvent[]; readonly load: Load }
  | { readonly type: 'prefixes'; readonly keys: readonly string[] }
  | { readonly type: 'stopped' };

type Running = {
  submit(command: EngineCommand): void;
  learn(vocabulary: Vocabulary): void;
  close(): void;
};

/** `self` of a Worker; the DOM's types are not loaded, so only what is used is named. */
declare const self: {
  onmessage: ((event: { data: ToEngine }) => void) | null;
  postMessage(message: FromEngine): void;
};

let running: Running | null = null;

self.onmessage = ({ data: message }) => {
  switch (message.type) {
    case 'start':
      try {
        running = start(message.options);
        self.postMessage({ type: 'started' });
      } catch (thrown) {
        const { code, message: text } = toFault(thrown, 'engine');
        self.postMessage({ type: 'failed', code, message: text });
      }
      return;
    case 'command':
      return running?.submit(message.command);
    case 'vocabulary':
      return running?.learn(message.vocabulary);
    case 'stop':
      running?.close();
      running = null;
      return self.postMessage({ type: 'stopped' });
  }
};

function start(options: EngineOptions): Running {
  const pool = new KvPool(options.geometry, {
    slots: options.slots,
    capacity: options.maxModelLen,
  });
  const session = new OrtSession(new Ort(options.libraryPath), {
    modelPath: options.modelPath,
    pool,
    vocabSize: options.vocabSize,
    threads: options.threads,
    stepTokens: limit.stepTokens,
  });
  const kv = openKv(options, pool);
  const count = (): Counters => ({
    moves: engine.scheduler.moveCount,
    preemptions: engine.scheduler.preemptionCount,
    recomputes: engine.recomputes(),
    kvBlocks: kv.own?.store.counts() ?? null,
  });
  /** Counting takes longer than a step should: not at each step. */
  const tellLoad = (): void =>
    outbox.put({ type: 'load', load: { ...engine.load(), counters: count() } });
  const outbox = new Outbox(
    () => engine.load(),
    (events, load) => self.postMessage({ type: 'events', events, load }),
  );
  const grammars = new GrammarStore();
  const engine: Engine = new Engine({
    scheduler: {
      slots: options.slots,
      tokensMax: options.tokensMax,
      stepTokens: limit.stepTokens,
      queueCountMax: options.queueCountMax,
    },
    runner: session,
    memory: {
      move: (from, to, tokens) => pool.moveSlot(from, to, tokens),
      touch: (slot, tokens) => pool.touch(slot, tokens),
      forget: (slot, keep) => pool.forget(slot, keep),
      residentTokens: () => pool.residentTokens(),
    },
    ...kv.ports,
    grammars,
    clock: realClock,
    eosIds: options.eosIds,
    ignoreEos: options.ignoreEos,
    maxModelLen: options.maxModelLen,
    emit: (event) => outbox.put(event),
    flush: () => outbox.flush(),
  });
  warmUp(session, pool);
  const loop = new Loop(engine, outbox, (turn) => setImmediate(turn));
  const sweeper = setInterval(() => {
    engine.sweep();
    kv.peers.sweep();
    const { runningCount, waitingCount } = engine.scheduler;
    if (runningCount + waitingCount === 0) kv.own?.store.assertIdle();
    tellLoad(); // expired leases make no event
    outbox.flush();
    loop.wake();
  }, limit.sweepMs);
  const teller = setInterval(tellPrefixes(kv.own), limit.prefixTellMs);
  return {
    submit(command) {
      engine.submit(command);
      // These two end something without an event of their own.
      if (command.type === 'release' || command.type === 'abort') tellLoad();
      outbox.touch();
      outbox.flush();
      loop.wake();
    },
    learn: (vocabulary) => grammars.learn(vocabulary),
    close() {
      clearInterval(sweeper);
      clearInterval(teller);
      kv.peers.close();
      session.close();
      kv.own?.arena.close();
      pool.close();
    },
  };
}

type Kv = {
  readonly own: OwnArena | null;
  readonly peers: PeerArenas;
  readonly ports: Pick<EngineParts, 'kvExport' | 'kvImport' | 'kvCache'>;
};

/** What of KV leaves and enters this worker: an arena where it hands over or remembers. */
function openKv(options: EngineOptions, pool: KvPool): Kv {
  const { geometry, modelDigest, kvDtype: dtype, workerId, role, prefixCaching } = options;
  const kv = new KvIdentity({ modelDigest, dtype, geometry });
  const identity = kv.arenaIdentity(options.namespace);
  const { arenaBytes: sizeBytes } = options;
  const own =
    role === 'context' || prefixCaching
      ? openArena({ id: workerId, geometry, dtype, sizeBytes, identity }, prefixCaching)
      : null;
  const peers = new PeerArenas({ identity, ownName: own?.arena.name ?? null });
  if (prefixCaching) peers.sweep();
  const common = { pool, kv };
  const ports = {
    kvExport:
      role === 'context' && own !== null
        ? new ShmExport({ ...common, own, clock: realClock, owner: workerId })
        : null,
    kvImport: role === 'generate' ? new ShmImport({ ...common, peers, worker: workerId }) : null,
    kvCache: prefixCaching && own !== null ? new PrefixCache({ ...common, own, peers }) : null,
  };
  return { own, peers, ports };
}

function openArena(options: ConstructorParameters<typeof Arena>[0], keeps: boolean): OwnArena {
  const arena = new Arena(options);
  const onEvict = (index: number): void => arena.announce(index, null);
  return { arena, store: new BlockStore(arena.blockCount, { keeps, onEvict }) };
}

/** Tells the main thread which blocks are cached, when that has changed; heartbeats carry it on. */
function tellPrefixes(own: OwnArena | null): () => void {
  let told = 0;
  return () => {
    if (own === null || own.store.version === told) return;
    told = own.store.version;
    const keys = own.store.hashes(limit.prefixKeyMax).map((hash) => hash.slice(0, 16));
    self.postMessage({ type: 'prefixes', keys });
  };
}

/** The first runs of each shape are slower; better here than in somebody's first request. */
function warmUp(session: OrtSession, pool: KvPool): void {
  for (const length of [1, 16, limit.stepTokens]) {
    const count = Math.min(length, pool.capacity);
    pool.touch(0, count);
    session.prefill({ slot: 0, past: 0, ids: new Array<number>(count).fill(0) });
  }
  const count = Math.min(pool.slots, 4);
  for (let slot = 0; slot < count; slot++) pool.touch(slot, 1);
  session.decode({ count, ids: new Int32Array(count), pasts: new Int32Array(count) });
}
