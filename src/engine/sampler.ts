// From logits to a token. Greedy at temperature 0; else one draw keyed by (seed, position), so the
// same request gives the same tokens on any worker, in any batch, after any hand-over. Everything that
// depends on the past (penalties, min_tokens) is worked out of the sequence's ids at each token:
// there is no state to travel with the KV.
//
//   raw logits ─▶ bias, penalties ─▶ grammar, bans ─▶ / temperature ─▶ top_k ─▶ top_p ─▶ min_p ─▶ draw
//       └─▶ logprobs (engine/logprob.ts)
//
// Free functions over typed arrays: this runs once a token over the whole vocabulary. Nothing is
// sorted; src/bench/sampler.ts measures it.

import type { Sampling } from '../protocol/request.ts';
import { drawAt } from '../std/prng.ts';
import { all, type Candidates, heaviest, type Kept, likeliest } from './candidate.ts';
import { type Allowed, applyMask, heldTo } from './constraint.ts';
import { applyBias, type History } from './penalty.ts';
import { findBest, findBestByBlock, type Row, type Scratch } from './row.ts';

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
    /** By the request's grammar; absent or null: anything. */
    readonly allowed?: Allowed | null;
  },
  scratch: Scratch,
): number {
  const { sampling, history, banned } = request;
  applyBias(row, sampling, history, scratch);
  if (request.allowed) applyMask(row, request.allowed);
  for (const id of banned) {
    // A stop token the vocabulary lacks must not reach into the next sequence's row.
    if (id < row.end - row.begin) row.logits[row.begin + id] = Number.NEGATIVE_INFINITY;
  }
  if (sampling.allowedTokenIds !== null) keepOnly(row, sampling.allowedTokenIds);
  const token =
    sampling.temperature === 0
      ? findBest(row)
      : drawFrom(row, sampling, drawAt(sampling.seed, history.ids.length), scratch);
  return request.allowed ? heldTo(token, request.allowed) : token;
}

/** Of these ids alone the logits stay. */
function keepOnly({ logits, begin, end }: Row, ids: readonly number[]): void {
  const kept = ids
    .filter((id) => id < end - begin)
    .map((id) => [begin + id, logits[begin + id] ?? Number.NEGATIVE_INFINITY] as const);
  logits.fill(Number.NEGATIVE_INFINITY, begin, end);
  for (const [at, logit] of kept) logits[at] = logit;
}

/** Candidates in the order of their ids, their weights, and one walk over those that are kept. */
function drawFrom(row: Row, sampling: Sampling, draw: number, scratch: Scratch): number {
  const { topK, topP, minP } = sampling;
  const vocabSize = row.end - row.begin;
  const isCut = topK > 0 && topK < vocabSize;
  const best = isCut ? findBestByBlock(row, scratch) : findBest(row);
  const candidates = isCut
    ? { ids: scratch.ids, count: likeliest(row, topK, scratch) }
    : { ids: scratch.everyId, count: vocabSize };
  const top = row.logits[row.begin + best] ?? 0;
  const scale = 1 / sampling.temperature;
  const total = isCut
    ? weigh(row, candidates, { top, scale }, scratch)
    : weighAll(row, { top, scale }, scratch);
  if (!Number.isFinite(total)) return best; // logits of a broken model: nothing to weigh
  const mass = total * topP;
  let kept = topP < 1 ? heaviest(candidates, { mass, total }, scratch) : all(total);
  if (minP > 0 && minP > kept.weight) kept = atLeast(minP, candidates.count, scratch);
  return walk(candidates, { kept, target: draw * kept.total, fallback: best }, scratch);
}

/** Weights of the candidates, against the best one's 1; returns their sum. */
function weigh(
  { logits, begin }: Row,
  { ids, count }: Candidates,
  { top, scale }: { top: number; scale: number },
  { weights }: Scratch,
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
  { weights }: Scratch,
): number {
  let total = 0;
  for (let id = 0; id < end - begin; id++) {
    const weight = Math.exp(((logits[begin + id] ?? Number.NEGATIVE_INFINITY) - top) * scale);
    weights[id] = weight;
    total += weight;
  }
  return total;
}

/** Every candidate of this weight or more. */
function atLeast(weight: number, count: number, { weights }: Scratch): Kept {
  let total = 0;
  for (let i = 0; i < count; i++) {
    const one = weights[i] ?? 0;
    if (one >= weight) total += one;
  }
  return { weight, id: Number.POSITIVE_INFINITY, total };
}

function walk(
  { ids, count }: Candidates,
  { kept, target, fallback }: { kept: Kept; target: number; fallback: number },
  { weights }: Scratch,
): number {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const weight = weights[i] ?? 0;
    if (weight < kept.weight || (weight === kept.weight && (ids[i] ?? 0) > kept.id)) continue;
    sum += weight;
    if (sum > target) return ids[i] ?? fallback;
  }
  return fallback; // rounding left the target just above the sum
}
