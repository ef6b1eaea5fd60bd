// Our byte-pair encoder gives the ids that the library gives, on random texts for the tokenizer of each family.
// What the library gets wrong is left out here and held against the reference in golden/text: white space that
// is JavaScript's alone, and numerals beyond ASCII.

import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers';
import { seededChance } from '../../src/std/prng.ts';
import { loadTokenizer } from '../../src/text/tokenizer.ts';

const folder = join(import.meta.dir, '../golden/text');
const families = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
  .sort();

const letters = [...'abcdehilnorstuwTHE 0123456789.,;:\'"!?<>|_-=/+\n\r\t()[]{}'];
const others = [...'éüßПрмه日本語中文テキ한국😀🚀👍🏽\u200d\u00a0\u3000▁Ġ\u0000\u{10ffff}\u0301'];
const words = ['the ', ' of', 'def f(x):\n    ', '  ', '        ', '\n\n', "'ll", "'S", 'ab', 'aa'];
const added = ['<|im_end|>', '<|end|>', '[INST]', '<s>', '</s>', '<0x0A>', '<think>', '▁▁', '<|'];

function textsOf(seed: number): string[] {
  const { u32 } = seededChance(seed);
  const oneOf = (some: readonly string[]): string => some[u32() % some.length] ?? '';
  const all = [letters, others, words, added];
  return Array.from({ length: 60 }, (_, i) => {
    const kinds = i % 3 === 0 ? all : [all[u32() % all.length] ?? letters];
    const count = 2 ** (u32() % 9);
    // Few different pieces repeat themselves: long words, in which many pairs have the same rank.
    const pool = kinds.flat().filter(() => i % 2 === 0 || u32() % 8 === 0);
    return Array.from({ length: count }, () => oneOf(pool)).join('');
  });
}

describe.each(families)('%s', (family) => {
  const read = (file: string): Record<string, unknown> =>
    JSON.parse(readFileSync(join(folder, family, file), 'utf8'));
  const tokenizerConfig = read('tokenizer_config.json');
  const ours = loadTokenizer({ tokenizer: read('tokenizer.json'), tokenizerConfig });
  const hub = new HubTokenizer(read('tokenizer.json'), tokenizerConfig);
  const libraryIds = (text: string): number[] =>
    text === '' ? [] : hub.encode(text, { add_special_tokens: true }).ids;

  test.each([1, 2, 3, 4])('random texts, seed %d', (seed) => {
    for (const text of textsOf(seed)) {
      const found = ours.encode(text, { addSpecialTokens: true });
      expect({ text, ids: found }).toEqual({ text, ids: libraryIds(text) });
    }
  });

  test.each([
    ['one letter', 'a'.repeat(3000)],
    ['spaces', `${' '.repeat(3000)}x`],
    ['base64', Buffer.from('The sun is a star. '.repeat(150)).toString('base64')],
    ['one emoji', '😀'.repeat(700)],
    ['a word as long as any', 'banana'.repeat(500)],
  ])('long without a break: %s', (_, text) => {
    expect(ours.encode(text, { addSpecialTokens: false })).toEqual(
      hub.encode(text, { add_special_tokens: false }).ids,
    );
  });

  test('a word of half a million letters ends', () => {
    const ids = ours.encode('ab'.repeat(250_000), { addSpecialTokens: false });
    expect(ours.decode(ids, { skipSpecial: true }).length).toBe(500_000);
  });
});
