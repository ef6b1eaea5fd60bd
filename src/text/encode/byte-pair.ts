// Text → ids for byte-pair models, equal to Hugging Face's tokenizers token by token, and fast on any text:
// added tokens are cut out, what lies between is normalised, cut into words, and each word encoded. The
// JavaScript library does the same with strings for symbols, up to a hundred times slower.

import * as v from 'valibot';
import { type AddedToken, AddedTokens, addedTokenSchema } from './added-token.ts';
import { type WordModel, wordModelOf } from './word-model.ts';
import { type CompilePattern, type WordSplit, wordSplitOf } from './word-split.ts';

/** What tokenizer.json says, as far as it is needed here. */
export type BytePairParts = {
  readonly split: WordSplit;
  readonly model: WordModel;
  readonly added: readonly AddedToken[];
};

export type BytePairMeans = {
  readonly normalize: (text: string) => string;
  /** Ids that go before and behind a text. */
  readonly begin: readonly number[];
  readonly end: readonly number[];
};

/** @param tokenizer the parsed tokenizer.json. Null: it is of a kind that only the library knows. */
export function bytePairPartsOf(
  tokenizer: Readonly<Record<string, unknown>>,
  compile: CompilePattern,
): BytePairParts | null {
  const added = v.safeParse(v.array(addedTokenSchema), tokenizer['added_tokens'] ?? []);
  const split = wordSplitOf(tokenizer['pre_tokenizer'], compile);
  const model = split && wordModelOf(tokenizer['model'], split.isByteLevel);
  if (!added.success || split === null || model === null) return null;
  return { split, model, added: added.output };
}

export class BytePairEncoder {
  readonly #parts: BytePairParts;
  readonly #means: BytePairMeans;
  /** Those looked for in the text as it came, and in the normalised text between these. */
  readonly #raw: AddedTokens;
  readonly #normalized: AddedTokens;

  constructor(parts: BytePairParts, means: BytePairMeans) {
    this.#parts = parts;
    this.#means = means;
    const isNormalized = (token: AddedToken): boolean => token.normalized ?? !token.special;
    const normalized = parts.added.filter(isNormalized);
    this.#raw = new AddedTokens(parts.added.filter((token) => !isNormalized(token)));
    this.#normalized = new AddedTokens(
      normalized.map((token) => ({ ...token, content: means.normalize(token.content) })),
    );
  }

  encode(text: string, { addSpecialTokens }: { readonly addSpecialTokens: boolean }): number[] {
    const { begin, end, normalize } = this.#means;
    const out: number[] = addSpecialTokens ? [...begin] : [];
    for (const [at, piece] of this.#raw.split(text).entries()) {
      if (typeof piece === 'number') out.push(piece);
      else this.#encodePiece(normalize(piece), { isFirst: at === 0, out });
    }
    if (addSpecialTokens) for (const id of end) out.push(id);
    return out;
  }

  #encodePiece(
    piece: string,
    { isFirst, out }: { readonly isFirst: boolean; readonly out: number[] },
  ): void {
    const { split, model } = this.#parts;
    for (const [at, part] of this.#normalized.split(piece).entries()) {
      if (typeof part === 'number') out.push(part);
      else for (const word of split.split(part, isFirst && at === 0)) model.encode(word, out);
    }
  }
}
