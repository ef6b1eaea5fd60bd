// What is used of a thread of grammars, and its start.

import type { FromGrammar, ToGrammar } from './grammar-thread.ts';

export type GrammarThread = {
  onmessage: ((event: { readonly data: FromGrammar }) => void) | null;
  onerror: ((event: { readonly message: string }) => void) | null;
  postMessage(message: ToGrammar): void;
  terminate(): void;
};

/** In the executable all entry points lie under one root; from sources the thread is a neighbour. */
const threadUrl = import.meta.url.includes('/$bunfs/')
  ? // Also from within the engine's thread, which lies beside it.
    new URL('/$bunfs/root/role/grammar-thread.js', import.meta.url).href
  : new URL('./grammar-thread.ts', import.meta.url).href;

export function startGrammarThread(): GrammarThread {
  const thread: Worker = new Worker(threadUrl);
  thread.unref();
  const ends: GrammarThread = {
    onmessage: null,
    onerror: null,
    postMessage: (message) => thread.postMessage(message),
    terminate: () => thread.terminate(),
  };
  thread.onmessage = (event: MessageEvent<FromGrammar>) => ends.onmessage?.(event);
  thread.onerror = (event) => ends.onerror?.(event);
  return ends;
}
