// Which tokens may be drawn: the k with the largest logits, and the fewest with the largest weights
// that reach a mass. Both are the same question, answered by a quickselect over (value, id) pairs:
// larger values first, of equals the lower id, so every pair is different and the answer is exact.

import { blockLength, type Row, type Scratch } from './row.ts';

/** The lightest token that is kept. */
export type Last = { readonly weight: number; readonly id: number };

/** As if nothing were cut off. */
export const firstOf: Last = { weight: Number.NEGATIVE_INFINITY, id: 0 };

/**
 * The ids of the `k` largest logits (fewer than there are) as candidates, in the order of ids. Needs `findBest` before it:
 * k blocks have a maximum of at least the k-th largest maximum, so at least k logits are that large,
 * and no block with a smaller maximum has one of the k.
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
  return lightest(pickIds, pickWeights, select(pickIds, pickWeights, count, k, 'count')).weight;
}

/** The last of the fewest candidates whose weights reach `mass`, heaviest first; at least one. */
export function heaviest(count: number, mass: number, total: number, scratch: Scratch): Last {
  const { ids, weights, pickIds, pickWeights } = scratch;
  // All that are lighter than this together weigh less than what may be left out: none is needed.
  const least = (total - mass) / count;
  let picked = 0;
  for (let i = 0; i < count; i++) {
    const weight = weights[i] ?? 0;
    if (weight < least) continue;
    pickIds[picked] = ids[i] ?? 0;
    pickWeights[picked++] = weight;
  }
  const kept = select(pickIds, pickWeights, picked, mass, 'weight');
  return lightest(pickIds, pickWeights, kept);
}

function lightest(ids: Int32Array, values: Float64Array, count: number): Last {
  let last = 0;
  for (let i = 1; i < count; i++) if (before(ids, values, last, i)) last = i;
  return { weight: values[last] ?? 0, id: ids[last] ?? 0 };
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
