// When something of ours that ended by itself is started again: after pauses that grow, until it has
// ended so often within so long that trying on would only hide the cause.

import type { Clock } from './clock.ts';

export type RestartBounds = {
  readonly pauseFirstMs: number;
  readonly pauseMaxMs: number;
  /** What lived so long starts its pauses anew. */
  readonly healthyMs: number;
  /** Ended so often within `windowMs`: given up. */
  readonly countMax: number;
  readonly windowMs: number;
};

export type Verdict =
  | { readonly type: 'again'; readonly pauseMs: number }
  | { readonly type: 'give-up'; readonly endCount: number; readonly withinMs: number };

export class Restarts {
  readonly #clock: Clock;
  readonly #bounds: RestartBounds;
  /** When it ended, the oldest first; none of them older than the window. */
  #endedMs: number[] = [];
  #streak = 0;

  constructor(clock: Clock, bounds: RestartBounds) {
    this.#clock = clock;
    this.#bounds = bounds;
  }

  /** It has ended, or could not be started. */
  ended(livedMs: number): Verdict {
    const { pauseFirstMs, pauseMaxMs, healthyMs, countMax, windowMs } = this.#bounds;
    const nowMs = this.#clock.nowMs();
    this.#endedMs = [...this.#endedMs.filter((ms) => nowMs - ms <= windowMs), nowMs];
    if (this.#endedMs.length >= countMax) {
      const withinMs = nowMs - (this.#endedMs[0] ?? nowMs);
      return { type: 'give-up', endCount: this.#endedMs.length, withinMs };
    }
    if (livedMs > healthyMs) this.#streak = 0;
    return { type: 'again', pauseMs: Math.min(pauseMaxMs, pauseFirstMs * 2 ** this.#streak++) };
  }
}

/** `ended 8 times within 23 s`, for the line that says why it was given up. */
export function givenUpAfter({ endCount, withinMs }: Verdict & { type: 'give-up' }): string {
  return `ended ${endCount} times within ${Math.ceil(withinMs / 1000)} s`;
}
