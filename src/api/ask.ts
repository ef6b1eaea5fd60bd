// What a request for generated text asks for, whatever route it came by: how many answers, how tokens
// are chosen, how the text ends, and how the answer is sent.

import type { Wish } from './sampling-fields.ts';

export type Ask = {
  /** Null: the only model there is. */
  readonly model: string | null;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Usage on every chunk, not only at the end. */
  readonly continuousUsage: boolean;
  /** What a refusal of a prompt calls it. */
  readonly promptField: 'messages' | 'prompt' | 'input';
  /** Answers to each prompt. */
  readonly choiceCount: number;
  /** Answers that are generated for each prompt; the likeliest `choiceCount` of them are sent. */
  readonly drawCount: number;
  readonly stops: readonly string[];
  /** Words that may not be completed, as the tokenizer spells them. */
  readonly badWords: readonly string[];
  /** The stop string that ends the answer is part of it. */
  readonly includeStop: boolean;
  /** Special tokens are no text. */
  readonly skipSpecial: boolean;
  /** Null: as many as fit the context. 0: the prompt is only looked at. */
  readonly maxTokens: number | null;
  readonly sampling: Wish;
  /** The field that asked for `sampling.grammar`. */
  readonly formField: string | null;
  /** Lower is served sooner. */
  readonly priority: number;
  /** KV is shared only with requests of the same one; null: with those of none. */
  readonly cacheSalt: string | null;
  /** So many tokens of each prompt are kept, -1: as many as fit; null: all, or it is refused. */
  readonly keepTokens: number | null;
  readonly keepSide: 'first' | 'last';
  /** The answer tells the ids of prompt and answer. */
  readonly returnTokenIds: boolean;
  /** Logprobs call tokens `token_id:17` instead of by their text. */
  readonly namesById: boolean;
};
