// So much a minute, evenly refilled. Pure but for the clock it is given. What something costs is often
// known only afterwards, so the level may fall below zero: a debt that time pays before more is let in.

import type { Clock } from '../std/clock.ts';

const minuteMs = 60_000;
/** Levels are sums of fractions. */
const roundingSlack = 1e-6;

export class TokenBucket {
  readonly #clock: Clock;
  #perMinute: number;
  #level: number;
  #atMs: number;

  constructor(clock: Clock, perMinute: number) {
    this.#clock = clock;
    this.#perMinute = perMinute;
    this.#level = perMinute;
    this.#atMs = clock.nowMs();
  }

  get perMinute(): number {
    return this.#perMinute;
  }

  /** Another rate from now on; what was used stays used. */
  set perMinute(perMinute: number) {
    const used = this.#perMinute - this.#now();
    this.#perMinute = perMinute;
    this.#level = perMinute - used;
  }

  /** Whole units that could be taken now, 0 in debt. */
  get remaining(): number {
    return Math.max(0, Math.floor(this.#now()));
  }

  take(count: number): void {
    this.#level = this.#now() - count;
  }

  /** Milliseconds until `count` units are there; 0: they are. */
  waitMs(count: number): number {
    const missing = Math.min(count, this.#perMinute) - this.#now();
    return missing <= roundingSlack ? 0 : (missing * minuteMs) / this.#perMinute;
  }

  /** Milliseconds until it is full. */
  get fullMs(): number {
    return this.waitMs(this.#perMinute);
  }

  #now(): number {
    const nowMs = this.#clock.nowMs();
    const more = ((nowMs - this.#atMs) * this.#perMinute) / minuteMs;
    this.#level = Math.min(this.#perMinute, this.#level + more);
    this.#atMs = nowMs;
    return this.#level;
  }
}
