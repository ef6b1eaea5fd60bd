// Lines by key (a worker, a pair of workers), each among its pool (all of its kind). A key is taken for
// one of its kind until it has shown that it is not: so equal workers stay exactly equal to the router
// and take turns, and one that was slow once is tried again when that is long ago.

import type { Clock } from '../std/clock.ts';
import { type Fit, Line } from './line.ts';

/** Measurements before a key may differ from its pool. */
const ownCountMin = 3;
/** How far it must be off at its usual size, as a factor. */
const differsBy = 1.25;
/** Keys remembered; beyond that the one measured first is forgotten. */
const keyCountMax = 8192;

type Own = { readonly line: Line; atMs: number };

export class Measured {
  readonly #clock: Clock;
  readonly #keepMs: number;
  readonly #firmX: number;
  readonly #own = new Map<string, Own>();
  readonly #pools = new Map<string, Line>();

  /** @param firmX measurements of this size and more are not mostly overhead. */
  constructor(clock: Clock, keepMs: number, firmX = 0) {
    this.#clock = clock;
    this.#keepMs = keepMs;
    this.#firmX = firmX;
  }

  note(key: string, pools: readonly string[], x: number, y: number): void {
    const own = this.#own.get(key) ?? { line: new Line(), atMs: 0 };
    own.line.add(x, y);
    own.atMs = this.#clock.nowMs();
    this.#own.set(key, own);
    bound(this.#own);
    for (const name of pools) {
      const pool = this.#pools.get(name) ?? new Line();
      pool.add(x, y);
      this.#pools.set(name, pool);
    }
    bound(this.#pools);
  }

  /** The key's own line where it stands out, else that of the first pool with enough to go by. */
  of(key: string, pools: readonly string[]): Fit | null {
    const known = pools.flatMap((name) => this.#pools.get(name) ?? []);
    const pool = known.find((line) => line.isFirm(this.#firmX)) ?? known.at(-1);
    if (pool === undefined) return null;
    const own = this.#own.get(key);
    if (own === undefined || own.line.count < ownCountMin) return pool.fit;
    if (this.#clock.nowMs() - own.atMs > this.#keepMs) return pool.fit;
    const ratio = at(own.line.fit, own.line.meanX) / at(pool.fit, own.line.meanX);
    return ratio > differsBy || ratio < 1 / differsBy ? own.line.fit : pool.fit;
  }

  /** Drops the keys of which `isGone` says so. */
  forget(isGone: (key: string) => boolean): void {
    for (const key of this.#own.keys()) if (isGone(key)) this.#own.delete(key);
  }

  get keyCount(): number {
    return this.#own.size;
  }
}

export function at({ base, slope }: Fit, x: number): number {
  return base + slope * x;
}

function bound(map: Map<string, unknown>): void {
  const oldest = map.keys().next();
  if (map.size > keyCountMax && !oldest.done) map.delete(oldest.value);
}
