// Two timers of a token stream: the longest silence, and the longest wait for a missing piece. Chunks
// come by the thousand, so a chunk only notes the time; the timer looks at it when it fires.

import type { Clock, Timer } from '../std/clock.ts';

export class Silence {
  readonly #clock: Clock;
  readonly #late: (silentMs: number) => void;
  #limitMs: number;
  #lastMs: number;
  #timer: Timer;

  constructor(clock: Clock, limitMs: number, late: (silentMs: number) => void) {
    this.#clock = clock;
    this.#late = late;
    this.#limitMs = limitMs;
    this.#lastMs = clock.nowMs();
    this.#timer = clock.after(limitMs, () => this.#look());
  }

  /** Something was heard. */
  note(): void {
    this.#lastMs = this.#clock.nowMs();
  }

  /** Goes on with another limit, from now. */
  restart(limitMs: number): void {
    this.#timer.cancel();
    this.#limitMs = limitMs;
    this.note();
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
