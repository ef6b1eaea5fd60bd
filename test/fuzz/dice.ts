// Chance for fuzz tests: all that is drawn follows from the seed.

import { seededChance } from '../../src/std/prng.ts';

export class Dice {
  readonly #u32: () => number;

  constructor(seed: number) {
    const chance = seededChance(seed);
    this.#u32 = () => chance.u32();
  }

  /** An integer in [0, count). */
  below(count: number): number {
    return count <= 1 ? 0 : this.#u32() % count;
  }

  /** Small numbers are the likeliest: [0, 2^bits). */
  small(bits: number): number {
    return this.below(2 ** this.below(bits + 1));
  }

  isOneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  pick<const T>(list: readonly [T, ...T[]]): T;
  pick<T>(list: readonly T[]): T | undefined;
  pick<T>(list: readonly T[]): T | undefined {
    return list[this.below(list.length)];
  }

  bytes(count: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length: count }, () => this.below(256));
  }
}
