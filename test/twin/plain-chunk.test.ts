// The quick look at a token chunk against the schema: what it passes the schema passes unchanged.

import { expect, test } from 'bun:test';
import * as v from 'valibot';
import { isPlainChunk } from '../../src/plane/plain-chunk.ts';
import { tokensSchema } from '../../src/protocol/message.ts';
import { chunk } from '../plane/make.ts';

const plain = { ...chunk(3, [5, 0, 0x7fff_ffff]) };

test('a chunk of ids alone is plain, in any order of its fields', () => {
  expect(isPlainChunk(plain)).toBe(true);
  expect(isPlainChunk({ ...chunk(0, []) })).toBe(true);
  expect(isPlainChunk(Object.fromEntries(Object.entries(plain).reverse()))).toBe(true);
});

test('a chunk with more in it is left to the schema', () => {
  for (const more of [{ timing: {} }, { finish: 'stop' }, { logprobs: [] }, { stopToken: 1 }]) {
    expect(isPlainChunk({ ...plain, ...more })).toBe(false);
  }
});

test('every field of every odd kind: never plain where the schema refuses', () => {
  const odd = [
    undefined,
    null,
    true,
    -1,
    0.5,
    2,
    2 ** 31,
    2 ** 53,
    Number.NaN,
    '',
    'a.b',
    'r',
    [],
    [-1],
    ['1'],
    [2 ** 31],
    [null],
    {},
    'x'.repeat(65),
  ];
  let bothCount = 0;
  for (const name of [...Object.keys(plain), 'other']) {
    for (const value of odd) {
      const changed: Record<string, unknown> = { ...plain, [name]: value };
      const { [name]: _, ...without } = changed;
      for (const candidate of [changed, without]) {
        if (!isPlainChunk(candidate)) continue;
        const parsed = v.safeParse(tokensSchema, candidate);
        expect([candidate, parsed.success && parsed.output]).toEqual([candidate, candidate]);
        bothCount++;
      }
    }
  }
  expect(bothCount).toBeGreaterThan(3);
  for (const other of [null, 5, 'x', [], [plain]]) expect(isPlainChunk(other)).toBe(false);
});
