import { describe, expect, test } from 'bun:test';
import { createScratch } from '../../src/engine/row.ts';
import { sampleToken } from '../../src/engine/sampler.ts';
import type { Sampling } from '../../src/protocol/request.ts';
import { drawAt } from '../../src/std/prng.ts';
import { greedy } from './rig.ts';

const warm = (changes: Partial<Sampling> = {}): Sampling => ({
  ...greedy,
  temperature: 1,
  ...changes,
});

/** The token chosen from these logits; the array itself stays as it is. */
function choose(
  logits: readonly number[],
  sampling: Sampling,
  position = 0,
  banned: readonly number[] = [],
): number {
  const row = { logits: Float32Array.from(logits), begin: 0, end: logits.length };
  const history = { ids: new Array<number>(position).fill(0), promptLength: position };
  return sampleToken(row, { sampling, history, banned }, createScratch(logits.length));
}

const nowhere = { ids: [], promptLength: 0 };

/** Shares of each token over many positions. */
function shares(logits: readonly number[], sampling: Sampling, count = 20_000): number[] {
  const counts = logits.map(() => 0);
  for (let position = 0; position < count; position++) {
    const token = choose(logits, sampling, position);
    counts[token] = (counts[token] ?? 0) + 1;
  }
  return counts.map((n) => n / count);
}

function softmax(logits: readonly number[], temperature: number): number[] {
  const weights = logits.map((x) => Math.exp(x / temperature));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

function expectShares(found: readonly number[], wanted: readonly number[]): void {
  // 5 standard deviations of a share of 20 000 draws are at most 0.018.
  for (const [token, share] of wanted.entries()) {
    expect(Math.abs((found[token] ?? 0) - share)).toBeLessThan(0.018);
    if (share === 0) expect(found[token]).toBe(0);
  }
}

describe('greedy', () => {
  test('takes the largest, the first of equals', () => {
    expect(choose([1, 3, 2], greedy)).toBe(1);
    expect(choose([5, 7, 7, 7], greedy)).toBe(1);
    expect(choose([-3, -1, -2], greedy)).toBe(1);
    expect(choose([4], greedy)).toBe(0);
  });

  test('whatever seed, position and top_p say', () => {
    for (let i = 0; i < 50; i++) {
      expect(choose([0, 0.1, 0], { ...greedy, seed: i, topP: 0.01 + i / 60 }, i)).toBe(1);
    }
  });

  test('reads its own row of a batch', () => {
    const logits = Float32Array.from([9, 0, 0, 0, 0, 8, 0, 7, 0]);
    const rows = [0, 3, 6].map((begin) =>
      sampleToken(
        { logits, begin, end: begin + 3 },
        { sampling: greedy, history: nowhere, banned: [] },
        createScratch(3),
      ),
    );
    expect(rows).toEqual([0, 2, 1]);
  });
});

describe('bans', () => {
  test('a banned token is chosen by nobody', () => {
    expect(choose([9, 8, 7], greedy, 0, [0])).toBe(1);
    expect(choose([9, 8, 7], greedy, 0, [0, 1])).toBe(2);
    for (let position = 0; position < 300; position++) {
      expect(choose([9, 1, 1], warm(), position, [0])).toBeGreaterThan(0);
      expect(choose([9, 1, 1], warm({ topP: 0.6 }), position, [0])).toBeGreaterThan(0);
    }
  });

  test('a stop token beyond the vocabulary does not reach into the next row', () => {
    const logits = Float32Array.from([1, 2, 3, 9, 0, 0]);
    const request = { sampling: greedy, history: nowhere, banned: [2, 3] };
    sampleToken({ logits, begin: 0, end: 3 }, request, createScratch(3));
    expect([...logits]).toEqual([1, 2, Number.NEGATIVE_INFINITY, 9, 0, 0]);
  });
});

describe('temperature', () => {
  const logits = [1, 2, 0, -1, 2.5];
  for (const temperature of [0.3, 1, 2]) {
    test(`${temperature} draws by softmax`, () => {
      expectShares(shares(logits, warm({ temperature })), softmax(logits, temperature));
    });
  }

  test('next to nothing is greedy, not NaN', () => {
    for (const temperature of [1e-6, 1e-30, Number.MIN_VALUE]) {
      for (let i = 0; i < 50; i++) expect(choose([1, 5, 4.9], warm({ temperature }), i)).toBe(1);
    }
  });

  test('a lone hopeful among −∞ is taken', () => {
    const none = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < 50; i++) expect(choose([none, none, 3, none], warm(), i)).toBe(2);
  });
});

describe('top_p', () => {
  // Weights 8, 4, 2, 1, 1 of 16.
  const logits = [4, 1, 16, 8, 2, 1].map((weight) => Math.log(weight)); // of 32
  test('keeps the fewest tokens that reach it', () => {
    // Heaviest first: id 2 (16/32), 3 (8/32), 0 (4/32), 4 (2/32), 1 and 5 (1/32 each).
    const nuclei: [number, number[]][] = [
      [0.01, [2]],
      [0.49, [2]],
      [0.51, [2, 3]],
      [0.74, [2, 3]],
      [0.76, [0, 2, 3]],
      [0.87, [0, 2, 3]],
      [0.89, [0, 2, 3, 4]],
      [0.95, [0, 1, 2, 3, 4]], // of the two equals the lower id
      [0.98, [0, 1, 2, 3, 4, 5]],
      [1, [0, 1, 2, 3, 4, 5]],
    ];
    for (const [topP, wanted] of nuclei) {
      const seen = new Set<number>();
      for (let i = 0; i < 2000; i++) seen.add(choose(logits, warm({ topP }), i));
      expect([topP, [...seen].sort()]).toEqual([topP, wanted]);
    }
  });

  test('of equals keeps as many as reach it, lowest ids first', () => {
    for (const [topP, size] of [
      [0.1, 1],
      [0.3, 3],
      [0.5, 4],
      [0.9, 8],
    ] as const) {
      const found = shares(new Array<number>(8).fill(1), warm({ topP }), 2000);
      expect([topP, found.filter((share) => share > 0).length]).toEqual([topP, size]);
      expect(found.findLastIndex((share) => share > 0)).toBe(size - 1);
    }
  });

  test('draws within the nucleus by weight', () => {
    const found = shares(logits, warm({ topP: 0.76 }));
    expectShares(found, [4 / 28, 0, 16 / 28, 8 / 28, 0, 0]);
  });
});

describe('draws', () => {
  const logits = Array.from({ length: 40 }, (_, i) => drawAt(77, i) * 3);

  test('a resumed stream goes on as the uninterrupted one', () => {
    const from = (start: number): number[] =>
      Array.from({ length: 60 - start }, (_, i) => choose(logits, warm({ seed: 9 }), start + i));
    const whole = from(0);
    for (const start of [1, 17, 59]) expect(from(start)).toEqual(whole.slice(start));
    expect(new Set(whole).size).toBeGreaterThan(10);
  });

  test('another seed, another stream', () => {
    const stream = (seed: number): string =>
      Array.from({ length: 20 }, (_, i) => choose(logits, warm({ seed }), i)).join();
    expect(new Set([0, 1, -1, 2 ** 32, 2 ** 50].map(stream)).size).toBe(5);
  });
});
