// Symbols → tokens by byte-pair encoding: of all pairs that stand side by side the one of the lowest rank
// merges, the leftmost of these first, until none is left. A text of any length is first cut where no merge
// can ever reach across: there is none whose left part ends as the left side does and whose right part begins
// as the right one. Short pieces look at all their pairs again after each merge, long ones keep a heap, so
// that a word of n symbols costs n log n.

import type { PairTable } from './pair-table.ts';

const shortMax = 32;
/** A heap's entry is rank × this + position: one number, so that the order is the numbers' own. */
const positions = 2 ** 31;

export class Merger {
  readonly #pairs: PairTable;
  readonly #joins: PairTable;
  readonly #slots = new Int32Array(shortMax);

  /** @param joins pairs of single symbols that some merge has side by side, at its seam. */
  constructor(pairs: PairTable, joins: PairTable) {
    this.#pairs = pairs;
    this.#joins = joins;
  }

  /** Appends to `out` the tokens of the first `count` symbols, which are overwritten. */
  merge(symbols: Int32Array, count: number, out: number[]): void {
    let begin = 0;
    for (let at = 1; at <= count; at++) {
      if (at < count && this.#joins.find(symbols[at - 1] ?? 0, symbols[at] ?? 0) >= 0) continue;
      if (at - begin === 1) out.push(symbols[begin] ?? 0);
      else if (at - begin <= shortMax) this.#short(symbols.subarray(begin, at), out);
      else this.#long(symbols.subarray(begin, at), out);
      begin = at;
    }
  }

  #short(symbols: Int32Array, out: number[]): void {
    const pairs = this.#pairs;
    const slots = this.#slots;
    let count = symbols.length;
    const find = (at: number): number => pairs.find(symbols[at] ?? 0, symbols[at + 1] ?? 0);
    for (let at = 0; at + 1 < count; at++) slots[at] = find(at);
    for (;;) {
      let best = -1;
      let bestRank = Number.POSITIVE_INFINITY;
      for (let at = 0; at + 1 < count; at++) {
        const slot = slots[at] ?? 0;
        if (slot < 0) continue;
        const rank = pairs.rankAt(slot);
        if (rank < bestRank) [best, bestRank] = [at, rank];
      }
      if (best < 0) break;
      symbols[best] = pairs.mergedAt(slots[best] ?? 0);
      count--;
      for (let at = best + 1; at < count; at++) {
        symbols[at] = symbols[at + 1] ?? 0;
        slots[at] = slots[at + 1] ?? 0;
      }
      if (best > 0) slots[best - 1] = find(best - 1);
      if (best + 1 < count) slots[best] = find(best);
    }
    for (let at = 0; at < count; at++) out.push(symbols[at] ?? 0);
  }

  /** A symbol that was merged into its left neighbour is -1; entries that have come to mean nothing stay. */
  #long(symbols: Int32Array, out: number[]): void {
    const pairs = this.#pairs;
    const count = symbols.length;
    const next = new Int32Array(count);
    const previous = new Int32Array(count);
    const heap = new MinHeap(3 * count); // each merge adds two at most
    for (let at = 0; at < count; at++) {
      next[at] = at + 1;
      previous[at] = at - 1;
      if (at + 1 === count) break;
      const slot = pairs.find(symbols[at] ?? 0, symbols[at + 1] ?? 0);
      if (slot >= 0) heap.append(pairs.rankAt(slot) * positions + at);
    }
    heap.order();
    const offer = (left: number, right: number): void => {
      const slot = pairs.find(symbols[left] ?? 0, symbols[right] ?? 0);
      if (slot >= 0) heap.push(pairs.rankAt(slot) * positions + left);
    };
    while (heap.size > 0) {
      const entry = heap.pop();
      const rank = Math.floor(entry / positions);
      const at = entry - rank * positions;
      const right = next[at] ?? count;
      if ((symbols[at] ?? -1) < 0 || right >= count) continue;
      const slot = pairs.find(symbols[at] ?? 0, symbols[right] ?? 0);
      if (slot < 0 || pairs.rankAt(slot) !== rank) continue;
      symbols[at] = pairs.mergedAt(slot);
      symbols[right] = -1;
      const after = next[right] ?? count;
      const before = previous[at] ?? -1;
      next[at] = after;
      if (after < count) {
        previous[after] = at;
        offer(at, after);
      }
      if (before >= 0) offer(before, at);
    }
    for (let at = 0; at < count; at = next[at] ?? count) out.push(symbols[at] ?? 0);
  }
}

class MinHeap {
  size = 0;
  readonly #entries: Float64Array;

  constructor(countMax: number) {
    this.#entries = new Float64Array(countMax);
  }

  /** At the end, out of order: `order` comes behind the last of these. */
  append(entry: number): void {
    this.#entries[this.size++] = entry;
  }

  order(): void {
    for (let at = (this.size >> 1) - 1; at >= 0; at--) this.#sink(at, this.#entries[at] ?? 0);
  }

  push(entry: number): void {
    const entries = this.#entries;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = entries[parent] ?? 0;
      if (above <= entry) break;
      entries[at] = above;
      at = parent;
    }
    entries[at] = entry;
  }

  pop(): number {
    const first = this.#entries[0] ?? 0;
    const last = this.#entries[--this.size] ?? 0;
    if (this.size > 0) this.#sink(0, last);
    return first;
  }

  #sink(from: number, entry: number): void {
    const entries = this.#entries;
    const { size } = this;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      let below = entries[child] ?? 0;
      const other = child + 1 < size ? (entries[child + 1] ?? 0) : below;
      if (other < below) {
        below = other;
        child++;
      }
      if (entry <= below) break;
      entries[at] = below;
      at = child;
    }
    entries[at] = entry;
  }
}
