// From logits to a token. Greedy at temperature 0; else temperature, then the nucleus (top-p), then
// one draw keyed by (seed, position), so the same request gives the same tokens on any worker.
// Free functions over typed arrays: this runs once a token over the whole vocabulary.

import type { Sampling } from '../protocol/request.ts';
import { drawAt } from '../std/prng.ts';

/** A row of logits [vocabSize] inside a larger array. */
export type Row = { readonly logits: Float32Array; readonly begin: number; readonly end: number };

/**
 * @param position index in the whole sequence (prompt included) of the token to choose.
 * @param banned ids that must not be chosen; their logits are overwritten with −∞.
 */
export function sampleToken(
  row: Row,
  sampling: Sampling,
  position: number,
  banned: readonly number[],
): number {
  for (const id of banned) {
    // A stop token the vocabulary lacks must not reach into the next sequence's row.
    if (id < row.end - row.begin) row.logits[row.begin + id] = Number.NEGATIVE_INFINITY;
  }
  const best = argmax(row);
  if (sampling.temperature === 0) return best;
  return drawFrom(row, best, sampling, drawAt(sampling.seed, position));
}

/** The first of the largest. */
function argmax({ logits, begin, end }: Row): number {
  let best = begin;
  let bestValue = Number.NEGATIVE_INFINITY;
  for (let i = begin; i < end; i++) {
    const value = logits[i] ?? Number.NEGATIVE_INFINITY;
    if (value > bestValue) {
      bestValue = value;
      best = i;
    }
  }
  return best - begin;
}

function drawFrom(row: Row, best: number, sampling: Sampling, draw: number): number {
  const { logits, begin, end } = row;
  const count = end - begin;
  const top = logits[begin + best] ?? 0;
  const scale = 1 / sampling.temperature;
  const weights = new Float64Array(count);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const weight = Math.exp(((logits[begin + i] ?? Number.NEGATIVE_INFINITY) - top) * scale);
    weights[i] = weight;
    total += weight;
  }
  if (sampling.topP >= 1) return walk(weights, null, draw * total, best);
  const order = nucleus(weights, total, sampling.topP);
  let kept = 0;
  for (const i of order) kept += weights[i] ?? 0;
  return walk(weights, order, draw * kept, best);
}

/** The fewest ids whose weights reach topP of the total, heaviest first, ties by id. */
function nucleus(weights: Float64Array, total: number, topP: number): Uint32Array {
  const mass = total * topP;
  // All ids lighter than this together weigh less than what the nucleus may leave out: it needs none
  // of them. Sorting only the rest takes 2 ms instead of 11 with 49k tokens.
  const least = (total - mass) / weights.length;
  const candidates = new Uint32Array(weights.length);
  let count = 0;
  for (let i = 0; i < weights.length; i++) if ((weights[i] ?? 0) >= least) candidates[count++] = i;
  const order = candidates.subarray(0, count);
  order.sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0) || a - b);
  let sum = 0;
  let kept = 0;
  while (kept < order.length && sum < mass) sum += weights[order[kept++] ?? 0] ?? 0;
  return order.subarray(0, Math.max(1, kept));
}

function walk(
  weights: Float64Array,
  order: Uint32Array | null,
  target: number,
  fallback: number,
): number {
  let sum = 0;
  const count = order?.length ?? weights.length;
  for (let k = 0; k < count; k++) {
    const id = order === null ? k : (order[k] ?? 0);
    sum += weights[id] ?? 0;
    if (sum > target) return id;
  }
  return fallback; // rounding left the target just above the sum
}
