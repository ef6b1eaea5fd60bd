import { describe, expect, test } from 'bun:test';
import { seededChance } from '../../src/std/prng.ts';
import { type Decoder, Detokenizer } from '../../src/text/detokenizer.ts';
import { loadTokenizer } from '../../src/text/tokenizer.ts';
import {
  byteFallbackTokenizer,
  fallbackVocabSize,
  firstByteId,
  firstWordId,
} from './byte-fallback.ts';
import { bytesOf, imEndId, tinyAssets, tinyVocabSize } from './tiny-tokenizer.ts';

const tokenizer = loadTokenizer(tinyAssets());

function piecesOf(ids: readonly number[]): string[] {
  const detokenizer = new Detokenizer(tokenizer, { skipSpecial: true });
  return [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()];
}

describe('Detokenizer', () => {
  test.each([
    'plain',
    'Ünïcödé',
    '日本語',
    '👩‍👩‍👧‍👦 family',
    'ab\ufeffcd',
    'مرحبا',
    'a\ufffdb\ufffd',
  ])('%s: byte by byte, pieces are whole characters and join to the text', (text) => {
    const pieces = piecesOf(bytesOf(text));
    expect(pieces.join('')).toBe(text);
    for (const piece of pieces) expect(piece.isWellFormed()).toBe(true);
  });

  test('a character leaves with its last byte', () => {
    expect(piecesOf(bytesOf('aé€'))).toEqual(['a', '', 'é', '', '', '€', '']);
  });

  test('an unfinished character is printed at the end only', () => {
    expect(piecesOf([97, 0xf0, 0x9f])).toEqual(['a', '', '', '\ufffd']);
  });

  test('special tokens and ids above the vocabulary make no text', () => {
    expect(piecesOf([97, imEndId, 100_000, 98]).join('')).toBe('ab');
    expect(piecesOf([0xc3, imEndId, 0xa9]).join('')).toBe('é');
  });

  test('special tokens are text where they are not skipped', () => {
    const detokenizer = new Detokenizer(tokenizer, { skipSpecial: false });
    const pieces = [97, imEndId, 98].map((id) => detokenizer.push(id));
    expect(pieces).toEqual(['a', '<|im_end|>', 'b']);
  });

  test('says when a token may have ended inside a character', () => {
    const detokenizer = new Detokenizer(tokenizer, { skipSpecial: true });
    const waits = [97, 0xc3, 0xa9, imEndId].map((id) => {
      detokenizer.push(id);
      return detokenizer.isWaiting;
    });
    expect(waits).toEqual([false, true, false, false]);
  });

  test('random bytes: the same as decoding everything at once', () => {
    const chance = seededChance(7);
    for (let round = 0; round < 50; round++) {
      const ids = Array.from({ length: 200 }, () => chance.u32() % tinyVocabSize);
      expect(piecesOf(ids).join('')).toBe(tokenizer.decode(ids, { skipSpecial: true }));
    }
  });

  describe('with tokens for bytes and ▁ for spaces', () => {
    const fallback = byteFallbackTokenizer();
    const chance = seededChance(11);
    const below = (count: number): number => chance.u32() % count;
    const check = (ids: readonly number[], skipSpecial: boolean): void => {
      const detokenizer = new Detokenizer(fallback, { skipSpecial });
      const pieces = [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()];
      expect([ids, pieces.join('')]).toEqual([ids, fallback.decode(ids, { skipSpecial })]);
      for (const piece of pieces) expect(piece.isWellFormed()).toBeTrue();
    };

    test('text with characters in bytes, whatever their number: the same as all at once', () => {
      const characters = ['é', '€', '😀', '日', 'ß', '\ufeff'].map((one) => bytesOf(one));
      for (let round = 0; round < 300; round++) {
        const ids = Array.from({ length: below(30) }, () => {
          if (below(2) === 0) return [firstWordId + below(fallbackVocabSize - firstWordId)];
          const character = characters[below(characters.length)] ?? [];
          return character.map((byte) => firstByteId + byte);
        }).flat();
        check(ids, round % 2 === 0);
      }
    });

    test('after a long run of broken bytes a space is still a space', () => {
      const broken = Array.from({ length: 40 }, () => firstByteId + 0xf0);
      check([firstWordId + 3, ...broken, firstWordId + 1, firstWordId + 1], true);
    });

    test('random ids, bytes that are no character among them', () => {
      for (let round = 0; round < 300; round++) {
        const ids = Array.from({ length: below(40) }, () => below(fallbackVocabSize + 2));
        check(ids, round % 2 === 0);
      }
    });
  });

  test('an endless run of broken bytes is not held back for ever', () => {
    const detokenizer = new Detokenizer(tokenizer, { skipSpecial: true });
    const ids = Array.from({ length: 100 }, () => 0xf0);
    const early = ids.map((id) => detokenizer.push(id)).join('');
    expect(early.length).toBeGreaterThan(90);
    expect(early + detokenizer.flush()).toBe('\ufffd'.repeat(100));
  });

  test('a token costs the same however long the text is', () => {
    let decodedCount = 0;
    const counting: Decoder = {
      specialIds: tokenizer.specialIds,
      decode: (ids, options) => {
        decodedCount += ids.length;
        return tokenizer.decode(ids, options);
      },
    };
    const detokenizer = new Detokenizer(counting, { skipSpecial: true });
    for (let index = 0; index < 2000; index++) detokenizer.push(97 + (index % 26));
    expect(decodedCount / 2000).toBeLessThan(6);
  });
});
