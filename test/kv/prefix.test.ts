import { describe, expect, test } from 'bun:test';
import { prefixHashes } from '../../src/kv/prefix.ts';
import { modelDigest, promptOf } from './pool-rows.ts';

const options = { modelDigest, dtype: 'float32', blockTokens: 64 };
const hashes = (ids: readonly number[], changes: Partial<typeof options> = {}): string[] =>
  prefixHashes(ids, { ...options, ...changes });

describe('prefixHashes', () => {
  test('one a block, the last perhaps part-filled', () => {
    for (const [length, count] of [
      [0, 0],
      [1, 1],
      [63, 1],
      [64, 1],
      [65, 2],
      [128, 2],
      [200, 4],
    ] as const) {
      const found = hashes(promptOf(length));
      expect(found.length).toBe(count);
      expect(new Set(found).size).toBe(count);
      for (const hash of found) expect(hash).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  test('equal beginnings have equal names, up to the first difference', () => {
    const ids = promptOf(200);
    const other = ids.with(130, 7);
    expect(hashes(other).slice(0, 2)).toEqual(hashes(ids).slice(0, 2));
    expect(hashes(other)[2]).not.toBe(hashes(ids)[2]);
    // The chain carries it on: a later block of equal tokens has another past.
    expect(other.slice(192)).toEqual(ids.slice(192));
    expect(hashes(other)[3]).not.toBe(hashes(ids)[3]);
    expect(hashes(ids.slice(0, 128))).toEqual(hashes(ids).slice(0, 2));
  });

  test('a part-filled block is not the filled one', () => {
    expect(hashes(promptOf(63))[0]).not.toBe(hashes(promptOf(64))[0]);
    expect(hashes([...promptOf(63), 0])[0]).not.toBe(hashes(promptOf(63))[0]);
  });

  test('order, model, dtype and block size all count', () => {
    const ids = promptOf(70);
    const all = [
      hashes(ids),
      hashes(ids.toReversed()),
      hashes(ids, { modelDigest: 'cd'.repeat(32) }),
      hashes(ids, { dtype: 'float16' }),
      hashes(ids, { blockTokens: 32 }),
    ].map((found) => found[0]);
    expect(new Set(all).size).toBe(all.length);
  });

  test('a salt makes other names, each its own; the same one the same', () => {
    const of = (salt?: string): string | undefined =>
      prefixHashes(promptOf(70), { ...options, salt })[0];
    expect(new Set([of(), of('a'), of('b'), of('')]).size).toBe(4);
    expect(of('a')).toBe(of('a'));
    expect(of(undefined)).toBe(hashes(promptOf(70))[0]);
  });

  test('ids beyond 16 bits are not cut', () => {
    expect(hashes([65_536])[0]).not.toBe(hashes([0])[0]);
    expect(hashes([0x7fff_ffff])[0]).not.toBe(hashes([0x7fff_fffe])[0]);
  });

  test('names are for ever: other builds and hosts must find the same', () => {
    expect(hashes([1, 2, 3])[0]).toBe(
      'c89dece7cb4fd8f4e7a878640aa2dca879fa2e4b2567e082f8a837b0bbe1e874',
    );
  });
});
