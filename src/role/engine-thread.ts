// The engine's thread: the one place where a worker's native parts are put together. Everything that
// ONNX Runtime reads or writes is made here, used here and let go of here; the main thread knows this
// one by messages alone.

import type { Vocabulary } from '../grammar/vocabulary.ts';
import { shmFolder } from '../kv/arena.ts';
import { shmFiles } from '../kv/shm-files.ts';
import type { EngineCommand, EngineEvent, Load } from '../protocol/engine.ts';
import { realClock } from '../std/clock.ts';
import { toFault } from '../std/fault.ts';
import { type ComputeOptions, openCompute } from './compute.ts';
import { openEngineRoom, type RoomOptions } from './engine-room.ts';
import { ThreadGrammars } from './grammar.ts';
import { startGrammarThread } from './grammar-port.ts';

export type EngineOptions = RoomOptions & ComputeOptions;

export type ToEngine =
  | { readonly type: 'start'; readonly options: EngineOptions }
  | { readonly type: 'command'; readonly command: EngineCommand }
  | { readonly type: 'vocabulary'; readonly vocabulary: Vocabulary }
  | { readonly type: 'stop' };

export type FromEngine =
  | { readonly type: 'started'; readonly stepTokens: number }
  | { readonly type: 'failed'; readonly code: string; readonly message: string }
  | { readonly type: 'events'; readonly events: EngineEvent[]; readonly load: Load }
  | { readonly type: 'prefixes'; readonly keys: readonly string[] }
  | { readonly type: 'stopped' };

type Running = {
  readonly stepTokens: number;
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
        self.postMessage({ type: 'started', stepTokens: running.stepTokens });
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
  const { runner, pool, stepTokens, close } = openCompute(options);
  const room = openEngineRoom(options, {
    runner,
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
    stepTokens,
    submit: (command) => room.submit(command),
    learn: (vocabulary) => room.learn(vocabulary),
    close() {
      room.close();
      close();
    },
  };
}
