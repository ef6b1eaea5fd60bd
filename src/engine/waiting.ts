// Sequences in the order in which they are to be served: by arrival, where each step of priority counts
// as so much time. A sequence's place is fixed when it arrives, so whoever comes later with a better
// priority can overtake, but only for a while: nobody starves.

import { limit } from '../protocol/limit.ts';
import type { Sequence } from './sequence.ts';

/** Smaller is served sooner. */
export function turnOf(sequence: Sequence): number {
  return sequence.arrivedMs + sequence.priority * limit.priorityStepMs;
}

/** A list that stays sorted by turn; equal turns in order of insertion. */
export class TurnList {
  readonly #list: Sequence[] = [];

  get count(): number {
    return this.#list.length;
  }

  /** Whose turn it is; not a paused one's. */
  get first(): Sequence | undefined {
    return this.#list.find(({ isPaused }) => !isPaused);
  }

  add(sequence: Sequence): void {
    const turn = turnOf(sequence);
    let low = 0;
    let high = this.#list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#list[middle];
      if (other !== undefined && turnOf(other) <= turn) low = middle + 1;
      else high = middle;
    }
    this.#list.splice(low, 0, sequence);
  }

  delete(sequence: Sequence): boolean {
    const index = this.#list.indexOf(sequence);
    if (index >= 0) this.#list.splice(index, 1);
    return index >= 0;
  }

  [Symbol.iterator](): IterableIterator<Sequence> {
    return this.#list[Symbol.iterator]();
  }

  /** Last turn first. */
  youngestFirst(): Sequence[] {
    return this.#list.toReversed();
  }
}
