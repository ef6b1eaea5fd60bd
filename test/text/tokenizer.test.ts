import { describe, expect, test } from 'bun:test';
import { Fault } from '../../src/std/fault.ts';
import { loadTokenizer } from '../../src/text/tokenizer.ts';
import { bytesOf, imEndId, imStartId, tinyAssets, tinyTokenizerJson } from './tiny-tokenizer.ts';

const tokenizer = loadTokenizer(tinyAssets());
const whole = { skipSpecial: true };

describe('Tokenizer', () => {
  test('merges where it can and falls back to bytes', () => {
    const ids = tokenizer.encode('hello world é', { addSpecialTokens: false });
    expect(ids).toEqual([259, 261, ...bytesOf('rld é')]);
    expect(tokenizer.decode(ids, whole)).toBe('hello world é');
  });

  test('knows the special tokens, in text and in ids', () => {
    const ids = tokenizer.encode('<|im_start|>a<|im_end|>', { addSpecialTokens: false });
    expect(ids).toEqual([imStartId, 97, imEndId]);
    expect(tokenizer.decode(ids, whole)).toBe('a');
    expect(tokenizer.decode(ids, { skipSpecial: false })).toBe('<|im_start|>a<|im_end|>');
    expect(tokenizer.specialIds.has(imEndId)).toBe(true);
  });

  test('does not clean up spaces, whatever the configuration says', () => {
    expect(tokenizer.decode(bytesOf("Hello , world . I 'm"), whole)).toBe("Hello , world . I 'm");
  });

  test('nothing, and ids above the vocabulary, are no text', () => {
    expect(tokenizer.encode('', { addSpecialTokens: false })).toEqual([]);
    expect(tokenizer.decode([], whole)).toBe('');
    expect(tokenizer.decode([97, 100_000, 98], whole)).toBe('ab');
  });

  test('measures its longest word', () => {
    expect(tokenizer.tokenCharsMax).toBe('<|endoftext|>'.length);
  });

  test.each([
    [null, {}, 'null'],
    ['text', {}, 'string'],
    [{}, {}, 'model'],
    [tinyTokenizerJson(), [], 'a list'],
    [{ ...tinyTokenizerJson(), model: { type: 'Nonsense' } }, {}, 'tokenizer.json'],
  ])('an unusable file is a config fault (%#)', (json, config, hint) => {
    const load = (): unknown => loadTokenizer({ tokenizer: json, tokenizerConfig: config });
    expect(load).toThrow(Fault);
    expect(load).toThrow(hint);
  });
});
