// The main thread's end of the engine's thread: starts it, passes commands, hears events.

import type { Vocabulary } from '../grammar/vocabulary.ts';
import type { EngineCommand, EngineEvent, EnginePort, Load } from '../protocol/engine.ts';
import { Fault, type FaultCode } from '../std/fault.ts';
import type { RoomOptions } from './engine-room.ts';
import type { EngineOptions, FromEngine, ToEngine } from './engine-thread.ts';

export type EngineHandle = EnginePort & {
  /** What grammars are matched with; requests that have one are refused before. */
  learn(vocabulary: Vocabulary): void;
  /** Tokens of one step at most. */
  readonly stepTokens: number;
  /** Tokens generated since the start. */
  tokenCount(): number;
  /** Lets go of everything native and ends the thread. */
  stop(): Promise<void>;
};

/** In the executable all entry points lie under one root; from sources the thread is a neighbour. */
const threadUrl = import.meta.url.includes('/$bunfs/')
  ? new URL('./role/engine-thread.ts', import.meta.url).href
  : new URL('./engine-thread.ts', import.meta.url).href;

/** What is used of a Worker. */
export type EngineThread = {
  onmessage: ((event: { readonly data: FromEngine }) => void) | null;
  onerror: ((event: { readonly message: string }) => void) | null;
  postMessage(message: ToEngine, moved?: ArrayBuffer[]): void;
  terminate(): void;
};

/**
 * Resolves when the model is loaded and warm; rejects with the thread's Fault else.
 * @param onCrash the thread died by itself: nothing can go on in this process.
 */
export function startEngine(
  options: EngineOptions,
  onCrash: (reason: string) => void,
): Promise<EngineHandle> {
  const thread: Worker = new Worker(threadUrl);
  const ends: EngineThread = {
    onmessage: null,
    onerror: null,
    postMessage: (message, moved = []) => thread.postMessage(message, moved),
    terminate: () => thread.terminate(),
  };
  thread.onmessage = (event: MessageEvent<FromEngine>) => ends.onmessage?.(event);
  thread.onerror = (event) => ends.onerror?.(event);
  return attachEngine(ends, { start: { type: 'start', options }, sizes: options }, onCrash);
}

/** The same to any thread that speaks its messages. */
export async function attachEngine(
  thread: EngineThread,
  {
    start,
    sizes,
  }: {
    readonly start: ToEngine;
    readonly sizes: Pick<RoomOptions, 'slots' | 'tokensMax'>;
  },
  onCrash: (reason: string) => void,
): Promise<EngineHandle> {
  let handler: (event: EngineEvent) => void = () => undefined;
  let load: Load = {
    running: 0,
    waiting: 0,
    slots: sizes.slots,
    freeTokens: sizes.tokensMax,
    pendingTokens: 0,
    decoding: 0,
    prefixKeys: [],
  };
  let tokenCount = 0;
  let counters: Load['counters'];
  let prefixKeys: readonly string[] = [];
  let stepTokens = 0;
  const started = Promise.withResolvers<number>();
  const stopped = Promise.withResolvers<void>();
  const post = (message: ToEngine): void => thread.postMessage(message);
  let state: 'starting' | 'running' | 'stopping' = 'starting';

  thread.onmessage = ({ data: message }) => {
    switch (message.type) {
      case 'started':
        return started.resolve(message.stepTokens);
      case 'failed':
        // The code crossed a thread as text; it was one of ours when it left.
        return started.reject(new Fault(message.code as FaultCode, message.message));
      case 'events':
        load = message.load;
        for (const event of message.events) {
          if (event.type === 'tokens') tokenCount += event.ids.length;
          if (event.type === 'load') counters = event.load.counters;
          handler(event);
        }
        return;
      case 'prefixes':
        prefixKeys = message.keys;
        return;
      case 'stopped':
        return stopped.resolve();
    }
  };
  thread.onerror = (event) => {
    const reason = event.message || 'the engine thread failed';
    if (state === 'starting') started.reject(new Fault('engine', reason));
    else if (state === 'running') onCrash(reason);
    stopped.resolve();
  };
  post(start);
  try {
    stepTokens = await started.promise;
  } catch (thrown) {
    thread.terminate();
    throw thrown;
  }
  state = 'running';
  return {
    submit: (command: EngineCommand) => {
      // A block's bytes change threads instead of being copied.
      const moved = command.type === 'block' ? [command.frame.buffer] : [];
      thread.postMessage({ type: 'command', command }, moved);
    },
    listen: (listener) => {
      handler = listener;
    },
    load: () => ({ ...load, counters, prefixKeys }),
    learn: (vocabulary) => post({ type: 'vocabulary', vocabulary }),
    stepTokens,
    tokenCount: () => tokenCount,
    async stop() {
      state = 'stopping';
      post({ type: 'stop' });
      await stopped.promise;
      thread.terminate();
    },
  };
}
