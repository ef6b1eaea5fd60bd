import { describe, expect, test } from 'bun:test';
import { textOfBytes, wordBytesOf } from '../../src/text/token-bytes.ts';
import { loadTokenizer } from '../../src/text/tokenizer.ts';
import { bytesOf, imEndId, tinyAssets, tinyVocabSize } from './tiny-tokenizer.ts';

describe('what a token stands for', () => {
  test('byte level: each id of the tiny tokenizer is its bytes', () => {
    const tokenizer = loadTokenizer(tinyAssets());
    for (let byte = 0; byte < 256; byte++) expect(tokenizer.describe(byte).bytes).toEqual([byte]);
    expect(tokenizer.describe(256 + 5)).toEqual({ text: ' wo', bytes: bytesOf(' wo') });
    expect(tokenizer.describe(0xc3)).toEqual({ text: '\ufffd', bytes: [0xc3] });
    expect(tokenizer.describe(imEndId)).toEqual({
      text: '<|im_end|>',
      bytes: bytesOf('<|im_end|>'),
    });
    expect(tokenizer.describe(tinyVocabSize)).toEqual({ text: '', bytes: null });
  });

  test('byte fallback with ▁ for a space, as Llama 2 has it', () => {
    const bytes = wordBytesOf({
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    });
    expect(bytes('▁the')).toEqual(bytesOf(' the'));
    expect(bytes('<0xE2>')).toEqual([0xe2]);
    expect(bytes('é')).toEqual(bytesOf('é'));
  });

  test('no decoder: the word itself', () => {
    for (const config of [null, undefined, 5, {}, { type: 'WordPiece' }]) {
      expect(wordBytesOf(config)('<0x41>▁')).toEqual(bytesOf('<0x41>▁'));
    }
  });

  test('a byte order mark is text', () => {
    expect(textOfBytes([0xef, 0xbb, 0xbf, 97])).toBe('\ufeffa');
  });
});
