// The built-in model's tokens, and texts drawn at random from whatever a grammar allows.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileGrammar } from '../../src/grammar/compile.ts';
import { Grammar, Matcher } from '../../src/grammar/matcher.ts';
import { makeVocabulary, type Vocabulary } from '../../src/grammar/vocabulary.ts';
import type { GrammarSpec } from '../../src/protocol/grammar.ts';
import type { Chance } from '../../src/std/prng.ts';
import { tokenBytes } from '../../src/text/token-list.ts';

const folder = join(import.meta.dir, '../../src/demo/model');
const read = (file: string): unknown => JSON.parse(readFileSync(join(folder, file), 'utf8'));

export const demoTokens = tokenBytes({
  tokenizer: read('tokenizer.json'),
  tokenizerConfig: read('tokenizer_config.json'),
});
export const demoVocabulary: Vocabulary = makeVocabulary(demoTokens);

/** Tokens of the mask, ascending. */
export function allowedIds({ words }: { words: Uint32Array }): number[] {
  const ids: number[] = [];
  for (const [i, word] of words.entries()) {
    for (let bit = 0; bit < 32; bit++) if ((word >>> bit) & 1) ids.push(i * 32 + bit);
  }
  return ids;
}

/** Tokens until the grammar is over, or null after `countMax`. Each allowed one is equally likely. */
export function draw(spec: GrammarSpec, chance: Chance, countMax = 400): number[] | null {
  const matcher = new Matcher(new Grammar(compileGrammar(spec), demoVocabulary));
  const ids: number[] = [];
  while (ids.length < countMax) {
    const mask = matcher.mask(ids, 0);
    if (mask.isEmpty && mask.mayEnd) return ids;
    const allowed = allowedIds(mask);
    // Where it may end it does so every second time.
    if (mask.mayEnd && chance.u32() % 2 === 0) return ids;
    const id = allowed[chance.u32() % allowed.length];
    if (id === undefined) throw new Error(`nothing can follow ${textOf(ids)}`);
    ids.push(id);
  }
  return null;
}

export function textOf(ids: readonly number[]): string {
  const bytes = ids.flatMap((id) => [...(demoTokens[id] ?? [])]);
  return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
}
