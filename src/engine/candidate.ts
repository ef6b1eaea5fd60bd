// Which tokens may be drawn: the k with the largest logits, and the fewest with the largest weights
// that reach a mass. Both are the same question, answered by a quickselect over (value, id) pairs:
// larger values first, of equals the lower id, so every pair is different and the answer is exact.
// Where there are many, blocks (k) or buckets (mass) first say which few the quickselect must see.

import { blockLength, bucketCount, type Row, type Scratch } from './row.ts';

/** Ids in ascending order; the scratch's `weights` are theirs, one by one. */
export type Candidates = { readonly ids: Int32Array; readonly count: number };

/** Which candidates are kept, by the last of them: none that is lighter, of equals none of a higher id. */
export type Kept = { readonly weight: number; readonly id: number; readonly total: number };

/** Nothing is cut off. */
export function all(total: number): Kept {
  return { weight: Number.NEGATIVE_INFINITY, id: 0, total };
}

/**
 * Puts the ids of the `k` largest logits (fewer than there are) into the scratch's `ids`, in order.
 * Needs `findBestByBlock` before it: k blocks have a maximum of at least the k-th largest maximum, so at
 * least k logits are that large, and no block with a smaller maximum has one of the k.
 */
export function likeliest(row: Row, k: number, scratch: Scratch): number {
  const { logits, begin, end } = row;
  const { ids, pickIds, pickWeights, blockMaxima } = scratch;
  const blockCount = Math.ceil((end - begin) / blockLength);
  const least = k < blockCount ? largest(blockMaxima, blockCount, k, scratch) : -Infinity;
  let count = 0;
  for (let block = 0; block < blockCount; block++) {
    if ((blockMaxima[block] ?? 0) < least) continue;
    const start = begin + block * blockLength;
    const stop = Math.min(end, start + blockLength);
    for (let i = start; i < stop; i++) {
      const value = logits[i] ?? Number.NEGATIVE_INFINITY;
      if (value < least) continue;
      pickIds[count] = i - begin;
      pickWeights[count++] = value;
    }
  }
  const kept = select(pickIds, pickWeights, count, k, 'count');
  pickIds.subarray(0, kept).sort();
  ids.set(pickIds.subarray(0, kept));
  return kept;
}

/** The k-th largest of the first `count` values. */
function largest(values: Float32Array, count: number, k: number, scratch: Scratch): number {
  const { pickIds, pickWeights } = scratch;
  for (let i = 0; i < count; i++) {
    pickIds[i] = i;
    pickWeights[i] = values[i] ?? Number.NEGATIVE_INFINITY;
  }
  return lightest(scratch, select(pickIds, pickWeights, count, k, 'count'), 0).weight;
}

/** Below this many candidates selecting among all is cheaper than sorting them into buckets. */
const manyCount = 1024;

type Mass = { readonly mass: number; readonly total: number };

/** The fewest candidates whose weights reach `mass` of `total`, heaviest first; at least one. */
export function heaviest(candidates: Candidates, wanted: Mass, scratch: Scratch): Kept {
  const quick = candidates.count < manyCount ? null : byBucket(candidates, wanted.mass, scratch);
  return quick ?? bySelecting(candidates, wanted, scratch);
}

function bySelecting({ ids, count }: Candidates, { mass, total }: Mass, scratch: Scratch): Kept {
  const { weights, pickIds, pickWeights } = scratch;
  // All that are lighter than this together weigh less than what may be left out: none is needed.
  const least = (total - mass) / count;
  let picked = 0;
  for (let i = 0; i < count; i++) {
    const weight = weights[i] ?? 0;
    if (weight < least) continue;
    pickIds[picked] = ids[i] ?? 0;
    pickWeights[picked++] = weight;
  }
  return lightest(scratch, select(pickIds, pickWeights, picked, mass, 'weight'), 0);
}

/**
 * Likewise over buckets of nearly equal weight: whole ones are taken, from the heaviest on, while they
 * stay below the mass; only in the one that reaches it is selected. Null where that is the last.
 */
function byBucket({ ids, count }: Candidates, mass: number, scratch: Scratch): Kept | null {
  const { weights, weightWords, bucketWeights, pickIds, pickWeights } = scratch;
  bucketWeights.fill(0);
  for (let i = 0; i < count; i++) {
    const bits = (weightWords[2 * i + 1] ?? 0) >>> bucketShift;
    const bucket = Math.min(bucketCount - 1, oneBits - bits);
    bucketWeights[bucket] = (bucketWeights[bucket] ?? 0) + (weights[i] ?? 0);
  }
  let sum = 0;
  let edge = 0;
  for (; edge < bucketCount; edge++) {
    const more = bucketWeights[edge] ?? 0;
    if (sum + more >= mass) break;
    sum += more;
  }
  if (edge >= bucketCount - 1) return null;
  let picked = 0;
  const edgeBits = oneBits - edge;
  for (let at = 1; at < 2 * count; at += 2) {
    if ((weightWords[at] ?? 0) >>> bucketShift !== edgeBits) continue;
    pickIds[picked] = ids[at >> 1] ?? 0;
    pickWeights[picked++] = weights[at >> 1] ?? 0;
  }
  return lightest(scratch, select(pickIds, pickWeights, picked, mass - sum, 'weight'), sum);
}

/**
 * A weight's bucket is its exponent and five bits of its fraction, as they stand in the double's upper
 * word: 32 buckets between 1, the heaviest, and 1/2, and so on down to 2^-64; what is lighter shares
 * the last. So no weight is in a bucket before that of a heavier one.
 */
const bucketShift = 15;
const oneBits = 0x3ff00000 >>> bucketShift;

/** The first `count` picked ones are the last that are kept; what comes ahead of them weighs `ahead`. */
function lightest({ pickIds, pickWeights }: Scratch, count: number, ahead: number): Kept {
  let last = 0;
  let total = ahead;
  for (let i = 0; i < count; i++) {
    if (before(pickIds, pickWeights, last, i)) last = i;
    total += pickWeights[i] ?? 0;
  }
  return { weight: pickWeights[last] ?? 0, id: pickIds[last] ?? 0, total };
}

/**
 * Puts the fewest first pairs whose measures reach `wanted` to the front, in no order, and returns
 * how many they are: all of them where that is not enough, one at least.
 */
function select(
  ids: Int32Array,
  values: Float64Array,
  count: number,
  wanted: number,
  measure: 'count' | 'weight',
): number {
  let [begin, end] = [0, count]; // before `begin`: kept; from `end` on: not kept
  let sum = 0;
  while (begin < end) {
    const middle = partition(ids, values, begin, end);
    let front = sum;
    if (measure === 'count') front += middle - begin;
    else for (let i = begin; i < middle; i++) front += values[i] ?? 0;
    if (front >= wanted) {
      end = middle;
      continue;
    }
    sum = front + (measure === 'count' ? 1 : (values[middle] ?? 0));
    begin = middle + 1;
    if (sum >= wanted) break;
  }
  return Math.max(1, begin);
}

/** Splits [begin, end) at one of its pairs; returns where that one now is. */
function partition(ids: Int32Array, values: Float64Array, begin: number, end: number): number {
  const last = end - 1;
  swap(ids, values, medianOf(ids, values, begin, (begin + last) >> 1, last), last);
  let middle = begin;
  for (let i = begin; i < last; i++) {
    if (before(ids, values, i, last)) swap(ids, values, i, middle++);
  }
  swap(ids, values, middle, last);
  return middle;
}

function medianOf(ids: Int32Array, values: Float64Array, a: number, b: number, c: number): number {
  if (before(ids, values, a, b)) {
    if (before(ids, values, b, c)) return b;
    return before(ids, values, a, c) ? c : a;
  }
  if (before(ids, values, a, c)) return a;
  return before(ids, values, b, c) ? c : b;
}

function before(ids: Int32Array, values: Float64Array, a: number, b: number): boolean {
  const [left, right] = [values[a] ?? 0, values[b] ?? 0];
  return left > right || (left === right && (ids[a] ?? 0) < (ids[b] ?? 0));
}

function swap(ids: Int32Array, values: Float64Array, a: number, b: number): void {
  const [id, value] = [ids[a] ?? 0, values[a] ?? 0];
  ids[a] = ids[b] ?? 0;
  values[a] = values[b] ?? 0;
  ids[b] = id;
  values[b] = value;
}
