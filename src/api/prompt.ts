// From what a route calls its prompts to token ids that fit the model, and words to the sequences of
// tokens that spell them.

import type { Sampling } from '../protocol/request.ts';
import { contextFault, type TextModel } from '../text/text-model.ts';
import type { Ask } from './ask.ts';
import { seedOf } from './sampling-fields.ts';

/**
 * Token ids of each prompt of a route. One of which it can be told that more than `tokensMax` tokens
 * come of it is refused before they are made.
 */
export type Prompts = (
  text: TextModel,
  tokensMax: number,
) => Promise<readonly (readonly number[])[]>;

export async function promptIdsOf(
  { ask, promptsOf }: { readonly ask: Ask; readonly promptsOf: Prompts },
  text: TextModel,
  contextTokens: number,
): Promise<readonly (readonly number[])[]> {
  const { keepTokens, keepSide, maxTokens } = ask;
  if (keepTokens === null) return await promptsOf(text, contextTokens);
  const count = keepTokens === -1 ? contextTokens - Math.max(1, maxTokens ?? 1) : keepTokens;
  const prompts = await promptsOf(text, Number.POSITIVE_INFINITY);
  return prompts.map((ids) => {
    if (ids.length <= count || count < 1) return ids;
    return keepSide === 'last' ? ids.slice(-count) : ids.slice(0, count);
  });
}

/**
 * The sampling of a prompt's choice. More tokens than the context has left cannot come: the limit is
 * lowered, as vLLM does.
 */
export function samplingFor(
  ask: Ask,
  at: {
    readonly choice: number;
    readonly promptTokens: number;
    readonly contextTokens: number;
    readonly badWords: readonly (readonly number[])[];
  },
): Sampling {
  const { choice, promptTokens, contextTokens } = at;
  const left = contextTokens - promptTokens;
  if (left < 1) throw contextFault(String(promptTokens), contextTokens, ask.promptField);
  // Who wants no token gets one that nobody sees: the model has to be asked in any case.
  const maxTokens = Math.max(1, Math.min(ask.maxTokens ?? left, left));
  const { logprobs, promptLogprobs } = ask.sampling;
  const isRanked = ask.drawCount > ask.choiceCount;
  return {
    ...ask.sampling,
    seed: seedOf(ask.sampling.seed + BigInt(choice)),
    maxTokens,
    minTokens: Math.min(ask.sampling.minTokens, maxTokens),
    badWords: at.badWords.map((word) => [...word]),
    logprobs: isRanked ? (logprobs ?? 0) : logprobs,
    // The same for all choices of a prompt: the first one's are theirs.
    promptLogprobs: choice === 0 ? promptLogprobs : null,
  };
}

/** Each word at a text's beginning and inside of it, where most vocabularies spell it differently. */
export function badWordIds(words: readonly string[], text: TextModel): number[][] {
  const spellings = words.flatMap((word) => {
    const plain = text.tokenizer.encode(word, { addSpecialTokens: false });
    const spaced = text.tokenizer.encode(` ${word.trimStart()}`, { addSpecialTokens: false });
    // With the space as a token of its own it is the plain one after it: forbidden already.
    const isPlain = spaced.slice(-plain.length).join() === plain.join();
    return isPlain ? [plain] : [plain, spaced];
  });
  return spellings.filter((ids) => ids.length > 0);
}
