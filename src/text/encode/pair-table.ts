// Pairs of symbols → the rank of their merge and what they become: a hash table over typed arrays, because a
// Map with a key for each pair costs several times as much to ask, and vocabularies have up to half a
// million of them. A later entry for the same pair replaces the earlier one.

const none = -1;

export class PairTable {
  readonly #mask: number;
  readonly #lefts: Int32Array;
  readonly #rights: Int32Array;
  readonly #ranks: Int32Array;
  readonly #merged: Int32Array;

  /** @param countMax pairs at most. */
  constructor(countMax: number) {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(countMax, 4) * 2));
    this.#mask = slots - 1;
    this.#lefts = new Int32Array(slots).fill(none);
    this.#rights = new Int32Array(slots);
    this.#ranks = new Int32Array(slots);
    this.#merged = new Int32Array(slots);
  }

  set(
    left: number,
    right: number,
    entry: { readonly rank: number; readonly merged: number },
  ): void {
    const slot = this.#slot(left, right);
    this.#lefts[slot] = left;
    this.#rights[slot] = right;
    this.#ranks[slot] = entry.rank;
    this.#merged[slot] = entry.merged;
  }

  /** Where the pair stands; below zero: nowhere. */
  find(left: number, right: number): number {
    const slot = this.#slot(left, right);
    return this.#lefts[slot] === none ? none : slot;
  }

  rankAt(slot: number): number {
    return this.#ranks[slot] ?? 0;
  }

  mergedAt(slot: number): number {
    return this.#merged[slot] ?? 0;
  }

  /** Its slot, or the free one that it would take. */
  #slot(left: number, right: number): number {
    const lefts = this.#lefts;
    const rights = this.#rights;
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & this.#mask;
    while (lefts[slot] !== none && (lefts[slot] !== left || rights[slot] !== right)) {
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }
}
