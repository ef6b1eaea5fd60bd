// From logits to a token. Greedy at temperature 0; else one draw keyed by (seed, position), so the
// same request gives the same tokens on any worker, in any batch, after any hand-over. Everything that
// depends on the past (penalties, min_tokens) is worked out of the sequence's ids at each token:
// there is no state to travel with the KV.
//
//   raw logits ─▶ bias, penalties ─▶ bans ─▶ / temperature ─▶ top_k ─▶ top_p ─▶ min_p ─▶ draw
//       └─▶ logprobs (engine/logprob.ts)
//
// Free functions over typed arrays: this runs once a token over the whole vocabulary. Nothing is
// sorted; src/bench/sampler.ts measures it.

import type { Sampling } from '../protocol/request.ts';
import { drawAt } from '../std/prng.ts';
import { firstOf, heaviest, likeliest } from './candidate.ts';
import { applyBias, type History } from './penalty.ts';
import { findBest, type Row, type Scratch } from './row.ts';

/**
 * @param history the next token's position is `history.ids.length`.
 * @param banned ids that must not be chosen. The row's logits are overwritten.
 */
export function sampleToken(
  row: Row,
  request: {
    readonly sampling: Sampling;
    readonly history: History;
    readonly banned: readonly number[];
  },
  scratch: Scratch,
): number {
  const { sampling, history, banned } = request;
  applyBias(row, sampling, history, scratch);
  for (const id of banned) {
    // A stop token the vocabulary lacks must not reach into the next sequence's row.
    if (id < row.end - row.begin) row.logits[row.begin + id] = Number.NEGATIVE_INFINITY;
  }
  const best = findBest(row, scratch);
  if (sampling.temperature === 0) return best;
  return drawFrom(row, best, sampling, drawAt(sampling.seed, history.ids.length), scratch);
}

/** Candidates in the order of their ids, their weights, and one walk over those that are kept. */
function drawFrom(
  row: Row,
  best: number,
  sampling: Sampling,
  draw: number,
  scratch: Scratch,
): number {
  const top = row.logits[row.begin + best] ?? 0;
  const scale = 1 / sampling.temperature;
  const { topK } = sampling;
  const isCut = topK > 0 && topK < row.end - row.begin;
  const count = isCut ? likeliest(row, topK, scratch) : row.end - row.begin;
  const total = isCut
    ? weigh(row, { top, scale, count }, scratch)
    : weighAll(row, { top, scale }, scratch);
  if (!Number.isFinite(total)) return best; // logits of a broken model: nothing to weigh
  if (sampling.topP >= 1 && sampling.minP === 0) return walk(scratch, count, draw * total, best);
  const last = sampling.topP < 1 ? heaviest(count, total * sampling.topP, total, scratch) : firstOf;
  const kept = keep(scratch, count, { ...last, weightMin: sampling.minP });
  return walk(scratch, kept.count, draw * kept.total, best);
}

/** Weights of the candidates, against the best one's 1; returns their sum. */
function weigh(
  { logits, begin }: Row,
  { top, scale, count }: { top: number; scale: number; count: number },
  { ids, weights }: Scratch,
): number {
  let total = 0;
  for (let i = 0; i < count; i++) {
    const id = ids[i] ?? 0;
    const weight = Math.exp(((logits[begin + id] ?? Number.NEGATIVE_INFINITY) - top) * scale);
    weights[i] = weight;
    total += weight;
  }
  return total;
}

/** Likewise with every id a candidate: one pass instead of two over the whole vocabulary. */
function weighAll(
  { logits, begin, end }: Row,
  { top, scale }: { top: number; scale: number },
  { ids, weights }: Scratch,
): number {
  let total = 0;
  for (let id = 0; id < end - begin; id++) {
    const weight = Math.exp(((logits[begin + id] ?? Number.NEGATIVE_INFINITY) - top) * scale);
    ids[id] = id;
    weights[id] = weight;
    total += weight;
  }
  return total;
}

/** Moves those that stay to the front: not behind `last` in weight, and not below `weightMin`. */
function keep(
  { ids, weights }: Scratch,
  count: number,
  last: { readonly weight: number; readonly id: number; readonly weightMin: number },
): { readonly count: number; readonly total: number } {
  let kept = 0;
  let total = 0;
  for (let i = 0; i < count; i++) {
    const weight = weights[i] ?? 0;
    const id = ids[i] ?? 0;
    if (weight < last.weight || weight < last.weightMin) continue;
    if (weight === last.weight && id > last.id) continue;
    ids[kept] = id;
    weights[kept++] = weight;
    total += weight;
  }
  return { count: kept, total };
}

function walk({ ids, weights }: Scratch, count: number, target: number, fallback: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    sum += weights[i] ?? 0;
    if (sum > target) return ids[i] ?? fallback;
  }
  return fallback; // rounding left the target just above the sum
}
