// The sampler's slow brother: whole arrays, a full sort, one step after the other as the request's
// fields are described. Logits are rounded to float32 where they are stored as such.

import type { Sampling, TokenLogprobs } from '../../src/protocol/request.ts';
import { drawAt } from '../../src/std/prng.ts';

type Request = {
  readonly sampling: Sampling;
  readonly history: { readonly ids: readonly number[]; readonly promptLength: number };
  readonly banned: readonly number[];
};

const float32Max = 3.4028234663852886e38;

/** Logits after everything that does not depend on the draw. */
export function naiveLogitsOf(raw: readonly number[], request: Request): number[] {
  const { sampling, history, banned } = request;
  const generated = history.ids.slice(history.promptLength);
  return raw.map((value, id) => {
    let logit = Math.fround(value);
    for (const [biased, bias] of sampling.logitBias) {
      if (biased === id) logit = Math.fround(logit + bias);
    }
    const { repetitionPenalty: repel } = sampling;
    if (repel !== 1 && history.ids.includes(id)) {
      const repelled = logit > 0 ? logit / repel : logit * repel;
      logit = Math.fround(Math.min(float32Max, Math.max(-float32Max, repelled)));
    }
    const count = generated.filter((other) => other === id).length;
    if (count > 0) {
      const penalty = sampling.presencePenalty + sampling.frequencyPenalty * count;
      logit = Math.fround(logit - penalty);
    }
    return banned.includes(id) ? Number.NEGATIVE_INFINITY : logit;
  });
}

/** The tokens that may be drawn, with their weights, in the order of ids. */
export function naiveCandidates(raw: readonly number[], request: Request): [number, number][] {
  const { temperature, topK, topP, minP } = request.sampling;
  const logits = naiveLogitsOf(raw, request);
  const sorted = logits.map((logit, id) => ({ logit, id }));
  sorted.sort((a, b) => (a.logit === b.logit ? a.id - b.id : b.logit - a.logit));
  const top = sorted[0]?.logit ?? 0;
  const some = (topK === 0 ? sorted : sorted.slice(0, topK)).map(
    ({ logit, id }): [number, number] => [id, Math.exp((logit - top) * (1 / temperature))],
  );
  const total = some.toSorted((a, b) => a[0] - b[0]).reduce((sum, [, weight]) => sum + weight, 0);
  const nucleus: [number, number][] = [];
  let sum = 0;
  for (const one of some) {
    if (topP < 1 && sum >= total * topP) break;
    nucleus.push(one);
    sum += one[1];
  }
  return nucleus.filter(([, weight]) => weight >= minP).sort((a, b) => a[0] - b[0]);
}

export function naiveToken(raw: readonly number[], request: Request): number {
  const { sampling, history } = request;
  const logits = naiveLogitsOf(raw, request);
  const best = logits.indexOf(Math.max(...logits));
  if (sampling.temperature === 0) return best;
  const candidates = naiveCandidates(raw, request);
  const total = candidates.reduce((sum, [, weight]) => sum + weight, 0);
  const target = drawAt(sampling.seed, history.ids.length) * total;
  let sum = 0;
  for (const [id, weight] of candidates) {
    sum += weight;
    if (sum > target) return id;
  }
  return best;
}

export function naiveLogprobs(raw: readonly number[], token: number, count: number): TokenLogprobs {
  const logits = raw.map(Math.fround);
  const top = Math.max(...logits);
  const norm = top + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0));
  const all = logits.map((logit, id): [number, number] => [id, Math.max(-9999, logit - norm)]);
  const sorted = all.toSorted((a, b) => b[1] - a[1] || a[0] - b[0]);
  return { logprob: all[token]?.[1] ?? Number.NaN, top: sorted.slice(0, count) };
}
