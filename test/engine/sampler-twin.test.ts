// The sampler against its slow brother, exactly: every field at random, over logits with and without
// ties, and over vocabularies that fill several blocks.

import { describe, expect, test } from 'bun:test';
import { heaviest } from '../../src/engine/candidate.ts';
import { keepRaw, tokenLogprobs } from '../../src/engine/logprob.ts';
import { createScratch, type Scratch } from '../../src/engine/row.ts';
import { sampleToken } from '../../src/engine/sampler.ts';
import type { Sampling } from '../../src/protocol/request.ts';
import { seededChance } from '../../src/std/prng.ts';
import { naiveCandidates, naiveLogprobs, naiveToken } from './naive-sampler.ts';
import { greedy } from './rig.ts';

const warm: Sampling = { ...greedy, temperature: 1 };

type Request = Parameters<typeof sampleToken>[1];

function choose(logits: readonly number[], request: Request, scratch?: Scratch): number {
  const row = { logits: Float32Array.from(logits), begin: 0, end: logits.length };
  return sampleToken(row, request, scratch ?? createScratch(logits.length));
}

/** Logits, fields and a past, all at random. */
function dice(seed: number) {
  const chance = seededChance(seed);
  const below = (count: number): number => chance.u32() % count;
  const pick = <T>(...values: readonly T[]): T => values[below(values.length)] as T; // never empty
  return {
    below,
    logits: (size: number, isCoarse: boolean): number[] =>
      Array.from({ length: size }, () =>
        isCoarse ? below(5) - 2 : (below(1e6) + below(1e6)) / 1e5 - 10,
      ),
    request: (size: number): Request => {
      const promptLength = 1 + below(12);
      const some = (count: number): number[] => Array.from({ length: count }, () => below(size));
      return {
        history: { ids: some(promptLength + below(20)), promptLength },
        banned: some(below(3)),
        sampling: {
          ...warm,
          temperature: pick(0, 0.2, 0.7, 1, 1.9, 5e-324, 1e-30, 1e6),
          topK: pick(0, 1, 2, 3, 7, 40, 1000),
          topP: pick(1, 0.99, 0.9, 0.5, 0.1, 0.001),
          minP: pick(0, 0, 0.01, 0.1, 0.5, 1),
          presencePenalty: pick(0, 0, -2, 0.7, 2),
          frequencyPenalty: pick(0, 0, -0.3, 1.1, 2),
          repetitionPenalty: pick(1, 1, 0.5, 1.3, 1e-300, 1e300),
          logitBias: [...new Set(some(below(4)))].map((id): [number, number] => [
            id,
            pick(-100, -1, 0.5, 100),
          ]),
          seed: chance.u32(),
        },
      };
    },
  };
}

describe('the same token as the slow brother', () => {
  for (const [name, sizeMax, isCoarse, rounds] of [
    ['small vocabularies', 40, false, 3000],
    ['ties everywhere', 40, true, 3000],
    ['several blocks', 700, false, 600],
    ['several blocks, ties', 700, true, 600],
    ['so many that top_p works with buckets', 6000, false, 200],
    ['so many, ties', 6000, true, 200],
  ] as const) {
    test(name, () => {
      const { below, logits, request } = dice(sizeMax + Number(isCoarse));
      for (let round = 0; round < rounds; round++) {
        const size = 1 + below(sizeMax);
        const [raw, one] = [logits(size, isCoarse), request(size)];
        expect([round, choose(raw, one)]).toEqual([round, naiveToken(raw, one)]);
      }
    });
  }

  test('one scratch for all, in the middle of a batch: nothing stays behind in it', () => {
    const { logits, request } = dice(8);
    const scratch = createScratch(200);
    for (let round = 0; round < 300; round++) {
      const raw = logits(200, round % 2 === 0);
      const one = request(200);
      const batch = new Float32Array(600).fill(99);
      batch.set(raw, 200);
      const token = sampleToken({ logits: batch, begin: 200, end: 400 }, one, scratch);
      expect(token).toBe(naiveToken(raw, one));
      expect(scratch.counts.every((count) => count === 0)).toBeTrue();
      const outside = [...batch.subarray(0, 200), ...batch.subarray(400)];
      expect(outside.every((value) => value === 99)).toBeTrue();
    }
  });
});

describe('top_p over many tokens leaves what the slow brother leaves', () => {
  /** Ids that are kept, in order. */
  function nucleus(logits: readonly number[], temperature: number, topP: number): number[] {
    const scratch = createScratch(logits.length);
    const top = logits.reduce((a, b) => Math.max(a, b));
    let total = 0;
    for (const [id, logit] of logits.entries()) {
      scratch.weights[id] = Math.exp((logit - top) * (1 / temperature));
      total += scratch.weights[id] ?? 0;
    }
    const candidates = { ids: scratch.everyId, count: logits.length };
    const last = heaviest(candidates, { mass: total * topP, total }, scratch);
    expect(scratch.weights[last.id]).toBe(last.weight);
    const kept = [...scratch.everyId].filter((id) => {
      const weight = scratch.weights[id] ?? 0;
      return weight > last.weight || (weight === last.weight && id <= last.id);
    });
    const sum = kept.reduce((a, id) => a + (scratch.weights[id] ?? 0), 0);
    expect(Math.abs(last.total - sum)).toBeLessThan(1e-9 * total);
    return kept;
  }
  const noise = (size: number, spread: number, seed: number): number[] => {
    const chance = seededChance(seed);
    return Array.from({ length: size }, () => Math.fround((chance.u32() / 2 ** 32) * spread));
  };

  for (const [name, logits] of [
    ['flat', noise(9000, 5, 1)],
    ['almost level: all in one bucket', noise(9000, 1e-3, 2)],
    ['all equal', new Array<number>(9000).fill(3)],
    ['steep: most lighter than any bucket', noise(9000, 500, 3)],
    ['one far above the rest', [...noise(9000, 5, 4), 200]],
    ['banned ones', noise(9000, 5, 5).map((x, i) => (i % 3 === 0 ? Number.NEGATIVE_INFINITY : x))],
    ['a vocabulary of 128k', noise(131_072, 20, 6)],
  ] as const) {
    test(name, () => {
      for (const temperature of logits.length > 10_000 ? [0.8] : [1e-3, 0.8, 2]) {
        for (const topP of [1e-9, 0.1, 0.5, 0.9, 0.999, 1 - 1e-9]) {
          const request = {
            sampling: { ...warm, temperature, topP },
            history: { ids: [1], promptLength: 1 },
            banned: [],
          };
          const wanted = naiveCandidates(logits, request).map(([id]) => id);
          const found = nucleus(logits, temperature, topP);
          expect([temperature, topP, found.length]).toEqual([temperature, topP, wanted.length]);
          expect(Bun.deepEquals(found, wanted)).toBeTrue();
        }
      }
    });
  }

  test('the mass is reached only among those lighter than any bucket', () => {
    // Their sum counts against 1, each alone is lost in rounding: any of them may be the last.
    const logits = [...noise(40_000, 1, 7).map((x) => x - 45.4), 0];
    expect(nucleus(logits, 1, 1 - 2 ** -53)).toContain(40_000);
  });
});

describe('what may be drawn', () => {
  const raw = Array.from({ length: 150 }, (_, i) => ((i * 67) % 150) / 20);
  const drawn = (sampling: Partial<Sampling>): number[] => {
    const seen = new Set<number>();
    const scratch = createScratch(raw.length);
    for (let seed = 0; seed < 3000; seed++) {
      const request = {
        sampling: { ...warm, temperature: 2, ...sampling, seed },
        history: { ids: [1], promptLength: 1 },
        banned: [],
      };
      seen.add(choose(raw, request, scratch));
    }
    return [...seen].sort((a, b) => a - b);
  };
  const best = (count: number): number[] =>
    raw
      .map((logit, id) => ({ logit, id }))
      .sort((a, b) => b.logit - a.logit)
      .slice(0, count)
      .map(({ id }) => id)
      .sort((a, b) => a - b);

  test('top_k: exactly the k likeliest', () => {
    for (const topK of [1, 2, 5, 10, 20]) expect(drawn({ topK })).toEqual(best(topK));
  });

  test('min_p: those with this share of the best one’s probability', () => {
    for (const minP of [0.5, 0.8, 1]) {
      const count = raw.filter((logit) => Math.exp((logit - 149 / 20) / 2) >= minP).length;
      expect(drawn({ minP })).toEqual(best(count));
    }
  });

  test('all three together: what the slow brother leaves', () => {
    const sampling = { ...warm, temperature: 2, topK: 30, topP: 0.6, minP: 0.6 };
    const request = { sampling, history: { ids: [1], promptLength: 1 }, banned: [] };
    expect(drawn(sampling)).toEqual(naiveCandidates(raw, request).map(([id]) => id));
  });

  test('a bias of ±100 forces and bans', () => {
    expect(drawn({ logitBias: [[3, 100]] })).toEqual([3]);
    expect(drawn({ topK: 2, logitBias: best(2).map((id) => [id, -100]) })).toEqual(
      best(4).filter((id) => !best(2).includes(id)),
    );
  });
});

describe('penalties', () => {
  const choice = (sampling: Partial<Sampling>, ids: readonly number[], promptLength: number) =>
    choose([2, 1.5, -1, -1.2], {
      sampling: { ...greedy, ...sampling },
      history: { ids, promptLength },
      banned: [],
    });

  test('presence and frequency see what was generated, not the prompt', () => {
    expect(choice({ presencePenalty: 1 }, [0, 0, 0], 3)).toBe(0);
    expect(choice({ presencePenalty: 1 }, [3, 0], 1)).toBe(1);
    expect(choice({ frequencyPenalty: 0.2 }, [3, 0, 0], 1)).toBe(0);
    expect(choice({ frequencyPenalty: 0.2 }, [3, 0, 0, 0], 1)).toBe(1);
    expect(choice({ presencePenalty: -2 }, [3, 1], 1)).toBe(1);
  });

  test('repetition sees both, and makes a negative logit more negative', () => {
    expect(choice({ repetitionPenalty: 2 }, [0], 1)).toBe(1);
    expect(choice({ repetitionPenalty: 2 }, [0, 0, 1], 3)).toBe(0);
    const lonely = { sampling: { ...greedy, repetitionPenalty: 2 }, banned: [0, 1] };
    const history = { ids: [2], promptLength: 1 };
    expect(choose([2, 1.5, -1, -1.2], { ...lonely, history })).toBe(3);
  });
});

test('logits of a broken model end in some token, never in a hang', () => {
  const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const { below, request } = dice(5);
  for (const [size, rounds] of [
    [130, 500],
    [3000, 50],
  ] as const) {
    for (let round = 0; round < rounds; round++) {
      const raw = Array.from({ length: size }, () => bad[below(3)] ?? 0);
      const token = choose(raw, request(size));
      expect(token >= 0 && token < size).toBeTrue();
    }
  }
});

describe('logprobs', () => {
  const of = (raw: readonly number[], token: number, count: number) => {
    const scratch = createScratch(raw.length);
    keepRaw({ logits: Float32Array.from([7, ...raw]), begin: 1, end: 1 + raw.length }, scratch);
    return tokenLogprobs(token, count, scratch);
  };

  test('equal the plain computation, likeliest first, lower id first of equals', () => {
    const { below, logits } = dice(6);
    for (let round = 0; round < 200; round++) {
      const size = 21 + below(300);
      const raw = logits(size, round % 3 === 0);
      const [token, count] = [below(size), below(21)];
      expect(of(raw, token, count)).toEqual(naiveLogprobs(raw, token, count));
    }
  });

  test('the whole vocabulary sums to 1', () => {
    const { top } = of([1, 2, 3, -4, 0.5], 0, 5);
    expect(top.map(([id]) => id)).toEqual([2, 1, 0, 4, 3]);
    expect(top.reduce((sum, [, logprob]) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 12);
  });

  test('what cannot be is −9999, not −∞', () => {
    const { logprob, top } = of([1, Number.NEGATIVE_INFINITY, -1e38], 1, 3);
    expect([logprob, ...top.map(([, value]) => value)]).toEqual([-9999, 0, -9999, -9999]);
  });
});
