// Makes a vocabulary out of tokenizer.json, in a thread that does this once and ends: for 128 k tokens
// it takes a quarter of a second, in which neither the engine nor the worker's messages may stand still.

import { makeVocabulary, type Vocabulary } from '../grammar/vocabulary.ts';
import { toFault } from '../std/fault.ts';
import { tokenBytes } from '../text/token-list.ts';

export type VocabularyOrder = {
  readonly tokenizer: Uint8Array;
  readonly tokenizerConfig: Uint8Array;
  /** Of the model: ids beyond it do not exist for it. */
  readonly vocabSize: number;
  /** End an answer; no text. */
  readonly eosIds: readonly number[];
};

export type FromVocabulary =
  | { readonly type: 'made'; readonly vocabulary: Vocabulary }
  | { readonly type: 'failed'; readonly message: string };

/** `self` of a Worker; the DOM's types are not loaded, so only what is used is named. */
declare const self: {
  onmessage: ((event: { data: VocabularyOrder }) => void) | null;
  postMessage(message: FromVocabulary): void;
};

self.onmessage = ({ data: order }) => {
  try {
    self.postMessage({ type: 'made', vocabulary: make(order) });
  } catch (thrown) {
    self.postMessage({ type: 'failed', message: toFault(thrown).message });
  }
};

function make({ tokenizer, tokenizerConfig, vocabSize, eosIds }: VocabularyOrder): Vocabulary {
  const parse = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));
  const tokens = tokenBytes({
    tokenizer: parse(tokenizer),
    tokenizerConfig: parse(tokenizerConfig),
  }).slice(0, vocabSize);
  for (const id of eosIds) if (id < tokens.length) tokens[id] = null;
  return makeVocabulary(tokens);
}
