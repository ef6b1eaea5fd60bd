// The engine's thread: the one place where a worker's native parts are put together. Everything that
// ONNX Runtime reads or writes is made here, used here and let go of here; the main thread knows this
// one by messages alone.

import type { Vocabulary } from '../grammar/vocabulary.ts';
import { shmFolder } from '../kv/arena.ts';
import { KvPool } from '../kv/pool.ts';
import { shmFiles } from '../kv/shm-files.ts';
import { Ort } from '../model/ort.ts';
import { OrtSession } from '../model/session.ts';
import type { EngineCommand, EngineEvent, Load } from '../protocol/engine.ts';
import { limit } from '../protocol/limit.ts';
import { realClock } from '../std/clock.ts';
import { toFault } from '../std/fault.ts';
import { openEngineRoom, type RoomOptions } from './engine-room.ts';
import { ThreadGrammars } from './grammar.ts';
import { startGrammarThread } from './grammar-port.ts';

export type EngineOptions = RoomOptions & {
  readonly libraryPath: string;
  readonly modelPath: string;
  readonly vocabSize: number;
  readonly threads: number;
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
  const { stepTokens } = limit;
  const session = new OrtSession(new Ort(options.libraryPath), {
    modelPath: options.modelPath,
    pool,
    vocabSize: options.vocabSize,
    threads: options.threads,
    stepTokens,
  });
  warmUp(session, pool);
  const room = openEngineRoom(options, {
    runner: session,
    pool,
    clock: realClock,
    files: shmFiles(shmFolder),
    stepTokens,
    nextTurn: (turn) => setImmediate(turn),
    openGrammars: (wake) =>
      new ThreadGrammars({ clock: realClock, start: startGrammarThread, wake }),
    onEvents: (events, load) => self.postMessage({ type: 'events', events, load }),
    onPrefixes: (keys) => self.postMessage({ type: 'prefixes', keys }),
  });
  return {
    submit: (command) => room.submit(command),
    learn: (vocabulary) => room.learn(vocabulary),
    close() {
      room.close();
      session.close();
      pool.close();
    },
  };
}

/** Longer runs of a large model are not tried: they would take longer than they spare anybody. */
const warmUpRunMs = 1000;

/** The first runs of each shape are slower; better here than in somebody's first request. */
function warmUp(session: OrtSession, pool: KvPool): void {
  let tokenMs = 0;
  // The very first run says nothing of how long the next takes.
  for (const length of [1, 1, 16, limit.stepTokens]) {
    const count = Math.min(length, pool.capacity);
    if (count * tokenMs > warmUpRunMs) break;
    pool.touch(0, count);
    const beginMs = realClock.nowMs();
    session.prefill({ slot: 0, past: 0, ids: new Array<number>(count).fill(0) });
    tokenMs = (realClock.nowMs() - beginMs) / count;
  }
  const count = Math.min(pool.slots, 4);
  for (let slot = 0; slot < count; slot++) pool.touch(slot, 1);
  session.decode({ count, ids: new Int32Array(count), pasts: new Int32Array(count) });
}
