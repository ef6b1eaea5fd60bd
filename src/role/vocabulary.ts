// Gives the engine its vocabulary when the first request with a grammar comes, and holds such requests
// back until it is there. All others go through at once.

import type { Vocabulary } from '../grammar/vocabulary.ts';
import type { EngineCommand, EngineEvent, EnginePort } from '../protocol/engine.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { FromVocabulary, VocabularyOrder } from './vocabulary-thread.ts';

type Held = Extract<EngineCommand, { type: 'generate' | 'prefill' }>;

/** The same engine, which now understands grammars. @param load called once, unless it fails. */
export function withVocabulary(
  engine: EnginePort & { learn(vocabulary: Vocabulary): void },
  load: () => Promise<Vocabulary>,
): EnginePort {
  const held = new Map<string, Held>();
  let handler: (event: EngineEvent) => void = () => undefined;
  let state: 'unknown' | 'loading' | 'known' = 'unknown';
  const release = async (): Promise<void> => {
    try {
      engine.learn(await load());
      state = 'known';
    } catch (thrown) {
      state = 'unknown'; // the next request tries again
      const message = `reading the model's vocabulary for grammars: ${toFault(thrown).message}`;
      for (const requestId of held.keys()) {
        handler({ type: 'refused', requestId, code: 'engine', message });
      }
      held.clear();
    }
    for (const command of held.values()) engine.submit(command);
    held.clear();
  };
  return {
    submit(command) {
      if (command.type === 'abort' && held.delete(command.requestId)) return;
      if (state === 'known' || !needsVocabulary(command)) return engine.submit(command);
      held.set(command.requestId, command);
      if (state === 'loading') return;
      state = 'loading';
      void release(); // fails never: what goes wrong is told to those who wait
    },
    listen(listener) {
      handler = listener;
      engine.listen(listener);
    },
    load: () => engine.load(),
  };
}

function needsVocabulary(command: EngineCommand): command is Held {
  const isStart = command.type === 'generate' || command.type === 'prefill';
  return isStart && command.sampling.grammar !== null;
}

/** In the executable all entry points lie under one root; from sources the thread is a neighbour. */
const threadUrl = import.meta.url.includes('/$bunfs/')
  ? new URL('./role/vocabulary-thread.ts', import.meta.url).href
  : new URL('./vocabulary-thread.ts', import.meta.url).href;

/** In a thread of its own, which ends with it. */
export async function loadVocabulary(order: VocabularyOrder): Promise<Vocabulary> {
  const thread = new Worker(threadUrl);
  const { promise, resolve, reject } = Promise.withResolvers<Vocabulary>();
  thread.onmessage = ({ data: message }: MessageEvent<FromVocabulary>) => {
    if (message.type === 'made') resolve(message.vocabulary);
    else reject(new Fault('config', message.message));
  };
  thread.onerror = (event) => reject(new Fault('engine', event.message || 'the thread failed'));
  thread.postMessage(order);
  try {
    return await promise;
  } finally {
    thread.terminate();
  }
}
