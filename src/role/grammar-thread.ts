// A thread that works with grammars: masks for one engine, whose steps must not wait for them, or for a
// gateway, whether a grammar can be held to at all. Both end it and start another when it takes too long.

import { compileGrammar } from '../grammar/compile.ts';
import { type GrammarAnswer, type GrammarAsk, GrammarDesk } from '../grammar/desk.ts';
import { GrammarStore } from '../grammar/store.ts';
import type { Vocabulary } from '../grammar/vocabulary.ts';
import type { GrammarSpec } from '../protocol/grammar.ts';
import { toFault } from '../std/fault.ts';

export type ToGrammar =
  /** Comes before the first asks. */
  | { readonly type: 'vocabulary'; readonly vocabulary: Vocabulary }
  | { readonly type: 'asks'; readonly asks: readonly GrammarAsk[] }
  | { readonly type: 'check'; readonly job: number; readonly spec: GrammarSpec };

export type FromGrammar =
  | GrammarAnswer
  | { readonly type: 'ready' }
  /** Fault null: it can be held to. */
  | {
      readonly type: 'checked';
      readonly job: number;
      readonly fault: { readonly code: string; readonly message: string } | null;
    };

/** `self` of a Worker; the DOM's types are not loaded, so only what is used is named. */
declare const self: {
  onmessage: ((event: { data: ToGrammar }) => void) | null;
  postMessage(message: FromGrammar): void;
};

const store = new GrammarStore();
const desk = new GrammarDesk(store, (answer) => self.postMessage(answer));

self.onmessage = ({ data: message }) => {
  switch (message.type) {
    case 'vocabulary':
      store.learn(message.vocabulary);
      return;
    case 'asks':
      for (const ask of message.asks) desk.take(ask);
      return;
    case 'check':
      self.postMessage({ type: 'checked', job: message.job, fault: faultOf(message.spec) });
  }
};
self.postMessage({ type: 'ready' });

function faultOf(spec: GrammarSpec): { code: string; message: string } | null {
  try {
    compileGrammar(spec);
    return null;
  } catch (thrown) {
    const { code, message } = toFault(thrown);
    return { code, message };
  }
}
