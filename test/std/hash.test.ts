import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { checksum, digest } from '../../src/std/hash.ts';

describe('checksum', () => {
  test('is 16 hex digits, leading zeros kept', () => {
    // xxHash3-64 of nothing, from its reference implementation (XXH3_64bits, seed 0).
    expect(checksum(new Uint8Array())).toBe('2d06800538d394c2');
    const sums = Array.from({ length: 500 }, (_, i) => checksum(Uint8Array.of(i, i >> 8)));
    for (const sum of sums) expect(sum).toMatch(/^[0-9a-f]{16}$/);
    expect(sums.some((sum) => sum.startsWith('0'))).toBeTrue();
  });

  test('sees one flipped bit anywhere, and the view’s bounds', () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
    const sum = checksum(bytes);
    for (let at = 0; at < bytes.length; at += 37) {
      const flipped = bytes.slice();
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      expect(checksum(flipped)).not.toBe(sum);
    }
    expect(checksum(bytes.subarray(3, 40))).toBe(checksum(bytes.slice(3, 40)));
  });
});

describe('digest', () => {
  test('is SHA-256 over the parts in order', () => {
    const wanted = createHash('sha256').update('abc').digest('hex');
    expect(digest('abc')).toBe(wanted);
    expect(digest('a', new TextEncoder().encode('b'), 'c')).toBe(wanted);
    expect(digest('c', 'b', 'a')).not.toBe(wanted);
  });
});
