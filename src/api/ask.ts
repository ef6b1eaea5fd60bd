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
  /** Answers to each prompt. */
  readonly choiceCount: number;
  /** Answers that are generated for each prompt; the likeliest `choiceCount` of them are sent. */
  readonly drawCount: number;
  readonly stops: readonly string[];
  /** The stop string that ends the answer is part of it. */
  readonly includeStop: boolean;
  /** Special tokens are no text. */
  readonly skipSpecial: boolean;
  /** Null: as many as fit the context. */
  readonly maxTokens: number | null;
  readonly sampling: Wish;
  /** Lower is served sooner. */
  readonly priority: number;
};
