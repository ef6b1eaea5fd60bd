import { describe, expect, test } from 'bun:test';
import { groupChunks, longestOf, paddingOf } from '../../src/engine/group.ts';
import type { Chunk } from '../../src/engine/plan.ts';
import { createSequence } from '../../src/engine/sequence.ts';
import { seededChance } from '../../src/std/prng.ts';
import { greedy } from './rig.ts';

function chunkOf(slot: number, count: number, past = 0): Chunk {
  const request = { requestId: `s${slot}`, promptIds: [1], sampling: greedy, priority: 0 };
  const sequence = createSequence(request, { kind: 'generate', awaitsImport: false, nowMs: 0 });
  return { sequence, slot, past, count, isLast: true };
}

/** Slots of each group. */
const slots = (chunks: readonly Chunk[], tokensMax = 256): number[][] =>
  groupChunks(chunks, tokensMax).map((group) => group.map(({ slot }) => slot));

describe('groupChunks', () => {
  test('neighbours with like lengths run together', () => {
    expect(slots([chunkOf(0, 10), chunkOf(1, 12), chunkOf(2, 11)])).toEqual([[0, 1, 2]]);
    expect(slots([])).toEqual([]);
    expect(slots([chunkOf(4, 9)])).toEqual([[4]]);
  });

  test('a gap between slots parts them', () => {
    expect(slots([chunkOf(0, 10), chunkOf(2, 10), chunkOf(3, 10)])).toEqual([[0], [2, 3]]);
  });

  test('only first tokens: whoever has a past runs alone', () => {
    expect(slots([chunkOf(0, 10), chunkOf(1, 10, 8), chunkOf(2, 10)])).toEqual([[0], [1], [2]]);
    expect(slots([chunkOf(0, 10, 8), chunkOf(1, 10)])).toEqual([[0], [1]]);
  });

  test('padding up to a quarter of the real tokens, and no more', () => {
    expect(slots([chunkOf(0, 10), chunkOf(1, 6)])).toEqual([[0, 1]]); // 4 on 16
    expect(slots([chunkOf(0, 10), chunkOf(1, 5)])).toEqual([[0], [1]]); // 5 on 15
    expect(slots([chunkOf(0, 6), chunkOf(1, 10)])).toEqual([[0, 1]]); // whichever comes first
  });

  test('rows of one run are bounded, the padding counted', () => {
    expect(slots([chunkOf(0, 8), chunkOf(1, 8), chunkOf(2, 8)], 24)).toEqual([[0, 1, 2]]);
    expect(slots([chunkOf(0, 8), chunkOf(1, 8), chunkOf(2, 8)], 23)).toEqual([[0, 1], [2]]);
    expect(slots([chunkOf(0, 7), chunkOf(1, 8)], 15)).toEqual([[0], [1]]); // 16 with padding
  });

  test('any chunks: all of them, in order, each group as it must be', () => {
    const chance = seededChance(4);
    const below = (count: number): number => chance.u32() % count;
    for (let round = 0; round < 300; round++) {
      let slot = 0;
      const chunks = Array.from({ length: below(9) }, () => {
        slot += below(5) === 0 ? 2 : 1;
        return chunkOf(slot, 1 + below(40), below(4) === 0 ? 7 : 0);
      });
      const tokensMax = 40 + below(200);
      const groups = groupChunks(chunks, tokensMax);
      expect(groups.flat()).toEqual(chunks);
      for (const group of groups) {
        const real = group.reduce((sum, { count }) => sum + count, 0);
        expect(longestOf(group)).toBe(Math.max(...group.map(({ count }) => count)));
        expect(paddingOf(group)).toBe(longestOf(group) * group.length - real);
        if (group.length === 1) continue;
        expect(real + paddingOf(group)).toBeLessThanOrEqual(tokensMax);
        expect(paddingOf(group)).toBeLessThanOrEqual(real / 4);
        expect(group.every(({ past }) => past === 0)).toBeTrue();
        expect(group.every((chunk, i) => chunk.slot === group[0].slot + i)).toBeTrue();
      }
    }
  });
});
