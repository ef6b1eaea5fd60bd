// What a request must get, worked out one token at a time from the model's definition and the
// request's fields alone. Shares no code with engine, sampler, caches or the simulated runner, so that a
// mistake in one of them is none here: even the model's hash is written down a second time.

import type { Sampling } from '../protocol/request.ts';

export type Expected = { readonly ids: readonly number[]; readonly finish: 'stop' | 'length' };

/** Tokens of the first set and of the second in turns, so many pairs of them. */
export type Rule = {
  readonly turns: readonly [readonly number[], readonly number[]];
  readonly least: number;
  readonly most: number;
};

export function expectedOf(
  promptIds: readonly number[],
  sampling: Sampling,
  model: { readonly vocabSize: number; readonly eosIds: readonly number[] },
  rule: Rule | null = null,
): Expected {
  const ids: number[] = [];
  const { maxTokens, minTokens, stopTokenIds, ignoreEos } = sampling;
  for (;;) {
    if (rule !== null && ids.length === 2 * rule.most) return { ids, finish: 'stop' };
    if (ids.length === maxTokens) return { ids, finish: 'length' };
    const logits = logitsAfter([...promptIds, ...ids], model.vocabSize);
    if (ids.length < minTokens) {
      for (const id of [...model.eosIds, ...stopTokenIds]) logits[id] = Number.NEGATIVE_INFINITY;
    }
    if (rule !== null) {
      const isPair = ids.length % 2 === 0;
      const mayEnd = isPair && ids.length >= 2 * rule.least;
      const wanted = [...rule.turns[isPair ? 0 : 1], ...(mayEnd ? model.eosIds : [])];
      for (const id of logits.keys()) if (!wanted.includes(id)) logits[id] = -Infinity;
    }
    const token = choose(logits, sampling, promptIds.length + ids.length);
    const heedsEos = ignoreEos !== true || rule !== null;
    if (heedsEos && model.eosIds.includes(token)) return { ids, finish: 'stop' };
    if (stopTokenIds.includes(token)) return { ids, finish: 'stop' };
    ids.push(token);
  }
}

function logitsAfter(ids: readonly number[], vocabSize: number): number[] {
  let state = 0;
  for (const id of ids) {
    let x = Math.imul((state + 0x9e37) ^ Math.imul(id + 11, 0x0100_0193), 0x85eb_ca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35);
    state = (x ^ (x >>> 16)) & 0xff_ffff;
  }
  return Array.from({ length: vocabSize }, (_, id) => {
    let x = Math.imul(state ^ Math.imul(id + 1, 0x9e37_79b1), 0x85eb_ca6b);
    x = Math.imul(x ^ (x >>> 15), 0xc2b2_ae35);
    return ((x ^ (x >>> 13)) >>> 8) / 2 ** 21;
  });
}

function choose(logits: readonly number[], sampling: Sampling, position: number): number {
  const { temperature, topK, topP, seed } = sampling;
  const sorted = logits.map((value, id) => ({ value, id }));
  sorted.sort((a, b) => b.value - a.value || a.id - b.id);
  const best = sorted[0] ?? { value: 0, id: 0 };
  if (temperature === 0) return best.id;
  const some = topK === 0 ? sorted : sorted.slice(0, topK);
  const weighed = some.map(({ value, id }) => ({
    id,
    weight: Math.exp((value - best.value) * (1 / temperature)),
  }));
  const sum = (list: readonly { weight: number }[]): number =>
    list.reduce((total, { weight }) => total + weight, 0);
  const byId = (list: typeof weighed) => list.toSorted((a, b) => a.id - b.id);
  const mass = sum(byId(weighed)) * topP;
  const nucleus: typeof weighed = [];
  for (const one of weighed) {
    if (topP < 1 && sum(nucleus) >= mass) break;
    nucleus.push(one);
  }
  const kept = byId(nucleus);
  const target = draw(seed, position) * sum(kept);
  let reached = 0;
  for (const { id, weight } of kept) {
    reached += weight;
    if (reached > target) return id;
  }
  return best.id;
}

/** The draw that belongs to a seed and a position, as ARCHITECTURE promises it for ever. */
function draw(seed: number, position: number): number {
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  const key = murmur(seed >>> 0, (high ^ 0x9e37_79b9) | 0);
  const upper = murmur(key, position * 2) >>> 5;
  const lower = murmur(key, position * 2 + 1) >>> 6;
  return (upper * 2 ** 26 + lower) / 2 ** 53;
}

function murmur(key: number, counter: number): number {
  let h = (key ^ Math.imul(counter + 0x7f4a_7c15, 0x85eb_ca6b)) >>> 0;
  for (const _round of [1, 2]) {
    h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
    h = (h ^ (h >>> 16) ^ key) >>> 0;
  }
  return h;
}
