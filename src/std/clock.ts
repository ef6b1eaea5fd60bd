// Time as a port. Nothing but a composition root and `RealClock` touches the system's clocks and
// timers, so that the same code runs under a test's clock, step by step.

export type Timer = { cancel(): void };

export type Clock = {
  /** Monotonic milliseconds; only differences mean something. */
  nowMs(): number;
  /** Whole seconds since 1970, for `created` fields and log lines. */
  epochS(): number;
  /** Calls `fire` once after `delayMs`, unless cancelled. */
  after(delayMs: number, fire: () => void): Timer;
};

export const realClock: Clock = {
  nowMs: () => performance.now(),
  epochS: () => Math.floor(Date.now() / 1000),
  after(delayMs, fire) {
    const handle = setTimeout(fire, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
};

/** A clock that stands still until a test moves it; timers fire in order of their due time. */
export class ManualClock implements Clock {
  #nowMs = 0;
  #timers: { dueMs: number; fire: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  epochS(): number {
    return Math.floor(this.#nowMs / 1000);
  }

  after(delayMs: number, fire: () => void): Timer {
    const timer = { dueMs: this.#nowMs + delayMs, fire };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  /** Moves time on by `deltaMs`, firing every timer that falls due, at its own due time. */
  advance(deltaMs: number): void {
    const endMs = this.#nowMs + deltaMs;
    for (;;) {
      const next = this.#timers
        .filter((timer) => timer.dueMs <= endMs)
        .sort((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.fire();
    }
    this.#nowMs = endMs;
  }

  get pendingCount(): number {
    return this.#timers.length;
  }
}

/**
 * Waits for `work`, at most `limitMs`. When time runs out the returned promise rejects with what
 * `late` makes; `work` itself is not stopped, its owner must do that (pass a signal).
 */
export function withDeadline<T>(
  clock: Clock,
  limitMs: number,
  work: Promise<T>,
  late: () => Error,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = clock.after(limitMs, () => reject(late()));
    work.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}
