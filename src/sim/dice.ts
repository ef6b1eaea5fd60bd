// Chance of the simulation: everything drawn comes from a seed and a name, so that one more draw in one
// part leaves the others as they were.

import type { Chance } from '../std/prng.ts';

export class Dice {
  #state: number;

  constructor(seed: number, name = '') {
    this.#state = scramble((seed >>> 0) ^ 0x5bd1_e995);
    for (let i = 0; i < name.length; i++) this.#state = scramble(this.#state ^ name.charCodeAt(i));
  }

  u32(): number {
    this.#state = (this.#state + 0x9e37_79b9) >>> 0;
    return scramble(this.#state);
  }

  /** In [0, 1). */
  share(): number {
    return this.u32() / 0x1_0000_0000;
  }

  chance(probability: number): boolean {
    return this.share() < probability;
  }

  /** An integer in [from, to]. */
  whole(from: number, to: number): number {
    return from + Math.floor(this.share() * (to - from + 1));
  }

  /** In [from, to). */
  between(from: number, to: number): number {
    return from + this.share() * (to - from);
  }

  /** Mostly near `from`, now and then near `to`. */
  skewed(from: number, to: number): number {
    return from + this.share() ** 4 * (to - from);
  }

  pick<T>(all: readonly T[]): T | undefined {
    return all[this.whole(0, all.length - 1)];
  }

  asChance(): Chance {
    const hex = (): string => this.u32().toString(16).padStart(8, '0');
    return { u32: () => this.u32(), id: () => hex() + hex() + hex() + hex() };
  }
}

function scramble(value: number): number {
  let x = value >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb_352d);
  x = Math.imul(x ^ (x >>> 15), 0x846c_a68b);
  return (x ^ (x >>> 16)) >>> 0;
}
