// An engine as a worker has it: its parts put together around a model, its crank, its sweeps, and what
// it tells. What it runs on (the model, a clock, turns of the thread, shared files) are ports, so that
// the thread (role/engine-thread.ts) and the simulation build the same thing.

import { Engine } from '../engine/engine.ts';
import { Loop, Outbox } from '../engine/loop.ts';
import type { EngineParts } from '../engine/parts.ts';
import type { Runner } from '../engine/runner.ts';
import { GrammarStore } from '../grammar/store.ts';
import type { Vocabulary } from '../grammar/vocabulary.ts';
import { Arena } from '../kv/arena.ts';
import { BlockStore } from '../kv/block-store.ts';
import { KvIdentity } from '../kv/identity.ts';
import { PeerArenas } from '../kv/peers.ts';
import type { KvSlots } from '../kv/pool.ts';
import { type OwnArena, PrefixCache } from '../kv/prefix-cache.ts';
import { ShmExport } from '../kv/shm-export.ts';
import type { ShmFiles } from '../kv/shm-files.ts';
import { ShmImport } from '../kv/shm-import.ts';
import type { EngineCommand, EngineEvent, Load } from '../protocol/engine.ts';
import type { KvDtype } from '../protocol/kv-size.ts';
import { limit } from '../protocol/limit.ts';
import type { Counters, WorkerRole } from '../protocol/message.ts';
import type { Geometry } from '../protocol/ticket.ts';
import type { Clock, Timer } from '../std/clock.ts';
import type { WorkerGrammars } from './grammar.ts';

export type RoomOptions = {
  /** Deployments with different ones share no KV. */
  readonly namespace: string;
  readonly workerId: string;
  readonly role: WorkerRole;
  readonly modelDigest: string;
  readonly geometry: Geometry;
  /** How blocks store KV. */
  readonly kvDtype: KvDtype;
  readonly eosIds: readonly number[];
  readonly ignoreEos: boolean;
  readonly maxModelLen: number;
  readonly slots: number;
  /** Positions of KV in use at most, over all slots. */
  readonly tokensMax: number;
  readonly queueCountMax: number;
  readonly arenaBytes: number;
  readonly prefixCaching: boolean;
};

export type RoomPorts = {
  readonly runner: Runner;
  readonly pool: KvSlots;
  readonly clock: Clock;
  readonly files: ShmFiles;
  /** Tokens of one step. */
  readonly stepTokens: number;
  /** Calls back after pending commands were delivered (setImmediate). */
  readonly nextTurn: (run: () => void) => void;
  readonly onEvents: (events: EngineEvent[], load: Load) => void;
  /** Absent: grammars are matched in place, within the engine's steps. @param wake turns the crank. */
  readonly openGrammars?: (wake: () => void) => WorkerGrammars;
  /** Which blocks are cached, when that has changed; heartbeats carry it on. */
  readonly onPrefixes: (keys: readonly string[]) => void;
};

export type EngineRoom = {
  readonly engine: Engine;
  readonly own: OwnArena | null;
  submit(command: EngineCommand): void;
  /** The model's tokens as bytes have come: sequences with a grammar can begin. */
  learn(vocabulary: Vocabulary): void;
  /** Pool and runner stay open: whoever made them closes them. */
  close(): void;
};

export function openEngineRoom(options: RoomOptions, ports: RoomPorts): EngineRoom {
  const { runner, pool, clock, stepTokens } = ports;
  const kv = openKv(options, ports);
  const count = (): Counters => ({
    moves: engine.scheduler.moveCount,
    preemptions: engine.scheduler.preemptionCount,
    recomputes: engine.recomputes(),
    kvBlocks: kv.own?.store.counts() ?? null,
  });
  /** Counting takes longer than a step should: not at each step. */
  const tellLoad = (): void =>
    outbox.put({ type: 'load', load: { ...engine.load(), counters: count() } });
  const outbox = new Outbox(() => engine.load(), ports.onEvents);
  const grammars = ports.openGrammars?.(() => loop.wake()) ?? inPlace();
  const engine: Engine = new Engine({
    scheduler: {
      slots: options.slots,
      tokensMax: options.tokensMax,
      stepTokens,
      queueCountMax: options.queueCountMax,
    },
    runner,
    memory: {
      move: (from, to, tokens) => pool.moveSlot(from, to, tokens),
      touch: (slot, tokens) => pool.touch(slot, tokens),
      forget: (slot, keep) => pool.forget(slot, keep),
      residentTokens: () => pool.residentTokens(),
    },
    ...kv.ports,
    grammars,
    clock,
    eosIds: options.eosIds,
    ignoreEos: options.ignoreEos,
    maxModelLen: options.maxModelLen,
    emit: (event) => outbox.put(event),
    flush: () => outbox.flush(),
  });
  const loop = new Loop(engine, outbox, ports.nextTurn);
  const sweeper = every(clock, limit.sweepMs, () => {
    engine.sweep();
    kv.peers.sweep();
    const { runningCount, waitingCount } = engine.scheduler;
    if (runningCount + waitingCount === 0) kv.own?.store.assertIdle();
    tellLoad(); // expired leases make no event
    outbox.flush();
    loop.wake();
  });
  const teller = every(clock, limit.prefixTellMs, tellPrefixes(kv.own, ports.onPrefixes));
  return {
    engine,
    own: kv.own,
    learn: (vocabulary) => grammars.learn(vocabulary),
    submit(command) {
      engine.submit(command);
      // These two end something without an event of their own.
      if (command.type === 'release' || command.type === 'abort') tellLoad();
      outbox.touch();
      outbox.flush();
      loop.wake();
    },
    close() {
      sweeper.cancel();
      teller.cancel();
      grammars.stop();
      kv.peers.close();
      kv.own?.arena.close();
    },
  };
}

function inPlace(): WorkerGrammars {
  const store = new GrammarStore();
  return {
    open: (spec) => store.open(spec),
    learn: (vocabulary) => store.learn(vocabulary),
    stop: () => undefined,
  };
}

type Kv = {
  readonly own: OwnArena | null;
  readonly peers: PeerArenas;
  readonly ports: Pick<EngineParts, 'kvExport' | 'kvImport' | 'kvCache'>;
};

/** What of KV leaves and enters this worker: an arena where it hands over or remembers. */
function openKv(options: RoomOptions, { pool, clock, files }: RoomPorts): Kv {
  const { geometry, modelDigest, kvDtype: dtype, workerId, role, prefixCaching } = options;
  const kv = new KvIdentity({ modelDigest, dtype, geometry });
  const identity = kv.arenaIdentity(options.namespace);
  const { arenaBytes: sizeBytes } = options;
  const own =
    role === 'context' || prefixCaching
      ? openArena({ id: workerId, geometry, dtype, sizeBytes, identity, files }, prefixCaching)
      : null;
  const peers = new PeerArenas({ identity, ownName: own?.arena.name ?? null, files });
  if (prefixCaching) peers.sweep();
  const common = { pool, kv };
  const ports = {
    kvExport:
      role === 'context' && own !== null
        ? new ShmExport({ ...common, own, clock, owner: workerId })
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

function tellPrefixes(own: OwnArena | null, tell: (keys: readonly string[]) => void): () => void {
  let told = 0;
  return () => {
    if (own === null || own.store.version === told) return;
    told = own.store.version;
    tell(own.store.hashes(limit.prefixKeyMax).map((hash) => hash.slice(0, 16)));
  };
}

function every(clock: Clock, periodMs: number, act: () => void): Timer {
  let timer = clock.after(periodMs, fire);
  function fire(): void {
    timer = clock.after(periodMs, fire);
    act();
  }
  return { cancel: () => timer.cancel() };
}
