// The engine's thread: the one place where a worker's native parts are put together. Everything that
// ONNX Runtime reads or writes is made here, used here and let go of here; the main thread knows this
// one by messages alone.

import { Engine } from '../engine/engine.ts';
import { Loop, Outbox } from '../engine/loop.ts';
import { Scheduler } from '../engine/scheduler.ts';
import { Arena } from '../kv/arena.ts';
import { KvPool } from '../kv/pool.ts';
import { ShmExport } from '../kv/shm-export.ts';
import { ShmImport } from '../kv/shm-import.ts';
import { Ort } from '../model/ort.ts';
import { OrtSession } from '../model/session.ts';
import type { EngineCommand, EngineEvent, Load } from '../protocol/engine.ts';
import { limit } from '../protocol/limit.ts';
import type { WorkerRole } from '../protocol/message.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { realClock } from '../std/clock.ts';
import { toFault } from '../std/fault.ts';

export type EngineOptions = {
  readonly workerId: string;
  readonly role: WorkerRole;
  readonly libraryPath: string;
  readonly modelPath: string;
  readonly modelDigest: string;
  readonly geometry: Geometry;
  readonly vocabSize: number;
  readonly eosIds: readonly number[];
  readonly ignoreEos: boolean;
  readonly maxModelLen: number;
  readonly slots: number;
  readonly threads: number;
  readonly queueCountMax: number;
  readonly arenaBytes: number;
};

export type ToEngine =
  | { readonly type: 'start'; readonly options: EngineOptions }
  | { readonly type: 'command'; readonly command: EngineCommand }
  | { readonly type: 'stop' };

export type FromEngine =
  | { readonly type: 'started' }
  | { readonly type: 'failed'; readonly code: string; readonly message: string }
  | { readonly type: 'events'; readonly events: EngineEvent[]; readonly load: Load }
  | { readonly type: 'stopped' };

type Running = { submit(command: EngineCommand): void; close(): void };

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
    case 'stop':
      running?.close();
      running = null;
      return self.postMessage({ type: 'stopped' });
  }
};

function start(options: EngineOptions): Running {
  const { geometry, modelDigest, workerId: worker } = options;
  const pool = new KvPool(geometry, { slots: options.slots, capacity: options.maxModelLen });
  const session = new OrtSession(new Ort(options.libraryPath), {
    modelPath: options.modelPath,
    pool,
    vocabSize: options.vocabSize,
    threads: options.threads,
    chunkTokens: limit.chunkTokens,
  });
  const clock = realClock;
  const arena = options.role === 'context' ? new Arena(worker, geometry, options.arenaBytes) : null;
  const kvExport =
    arena === null ? null : new ShmExport({ arena, pool, clock, modelDigest, owner: worker });
  const kvImport =
    options.role === 'generate' ? new ShmImport({ pool, modelDigest, worker }) : null;
  const outbox = new Outbox(
    () => engine.load(),
    (events, load) => self.postMessage({ type: 'events', events, load }),
  );
  const engine: Engine = new Engine({
    scheduler: new Scheduler({
      slots: options.slots,
      chunkTokens: limit.chunkTokens,
      queueCountMax: options.queueCountMax,
    }),
    runner: session,
    moveSlot: (from, to, tokens) => pool.moveSlot(from, to, tokens),
    kvExport,
    kvImport,
    clock,
    eosIds: options.eosIds,
    ignoreEos: options.ignoreEos,
    maxModelLen: options.maxModelLen,
    emit: (event) => outbox.put(event),
    flush: () => outbox.flush(),
  });
  warmUp(session, options.slots);
  const loop = new Loop(engine, outbox, (turn) => setImmediate(turn));
  const sweeper = setInterval(() => {
    engine.sweep();
    kvImport?.sweep();
    outbox.flush();
    loop.wake();
  }, limit.sweepMs);
  return {
    submit(command) {
      engine.submit(command);
      outbox.touch();
      outbox.flush();
      loop.wake();
    },
    close() {
      clearInterval(sweeper);
      kvImport?.close();
      session.close();
      arena?.close();
      pool.close();
    },
  };
}

/** The first runs of each shape are slower; better here than in somebody's first request. */
function warmUp(session: OrtSession, slots: number): void {
  for (const length of [1, 16, limit.chunkTokens]) {
    session.prefill({ slot: 0, past: 0, ids: new Array<number>(length).fill(0) });
  }
  const count = Math.min(slots, 4);
  session.decode({ count, ids: new Int32Array(count), pasts: new Int32Array(count) });
}
