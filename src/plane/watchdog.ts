// Two timers of a token stream: the longest silence, and the longest wait for a missing piece. Chunks
// come by the thousand, so a chunk only notes the time; the timer looks at it when it fires.

import { limit } from '../protocol/limit.ts';
import type { Clock, Timer } from '../std/clock.ts';

/**
 * How long a stream may be silent after an outage of our own. Workers are back within a second and then
 * go on at their pace, so one that was quick before and says nothing now has lost its last chunk. Null: its
 * pace is not known yet, as behind a hand-over or a pause.
 */
export function outageSilenceMs(longestMs: number | null): number {
  if (longestMs === null) return limit.outageSilenceMs;
  const patient = Math.max(limit.presenceMs, limit.outageSilenceFactor * longestMs);
  return Math.min(limit.outageSilenceMs, patient);
}

export class Silence {
  readonly #clock: Clock;
  readonly #late: (silentMs: number) => void;
  #limitMs: number;
  #lastMs: number;
  #longestMs: number | null = null;
  #timer: Timer;

  constructor(clock: Clock, limitMs: number, late: (silentMs: number) => void) {
    this.#clock = clock;
    this.#late = late;
    this.#limitMs = limitMs;
    this.#lastMs = clock.nowMs();
    this.#timer = clock.after(limitMs, () => this.#look());
  }

  /** The longest silence before a note since the last restart; null: there was none. */
  get longestMs(): number | null {
    return this.#longestMs;
  }

  /** Something was heard. */
  note(): void {
    const nowMs = this.#clock.nowMs();
    this.#longestMs = Math.max(this.#longestMs ?? 0, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }

  /** Goes on with another limit, from now. */
  restart(limitMs: number): void {
    this.#longestMs = null;
    this.hurry(limitMs);
  }

  /** The same, of a stream whose pace stays as it was. */
  hurry(limitMs: number): void {
    this.#timer.cancel();
    this.#limitMs = limitMs;
    this.#lastMs = this.#clock.nowMs();
    this.#timer = this.#clock.after(limitMs, () => this.#look());
  }

  stop(): void {
    this.#timer.cancel();
  }

  #look(): void {
    const silentMs = this.#clock.nowMs() - this.#lastMs;
    const leftMs = this.#limitMs - silentMs;
    if (leftMs <= 0) this.#late(silentMs);
    else this.#timer = this.#clock.after(leftMs, () => this.#look());
  }
}

export class GapTimer {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #late: () => void;
  #at: number | null = null;
  #timer: Timer | null = null;

  constructor(clock: Clock, limitMs: number, late: () => void) {
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#late = late;
  }

  /** `gapAt`: index of the missing token, null for none. A new gap gets the whole time. */
  note(gapAt: number | null): void {
    if (gapAt === this.#at) return;
    this.stop();
    this.#at = gapAt;
    if (gapAt !== null) this.#timer = this.#clock.after(this.#limitMs, this.#late);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }
}
