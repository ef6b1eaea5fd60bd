// Simulated time: events in one queue, run one after the other, each followed by all the microtasks that
// it caused. An event happens on a lane (a thread of a process): a lane that is busy or frozen runs its
// events later, a dead one never.

import { drainMicrotasks } from 'bun:jsc';
import type { Clock, Timer } from '../std/clock.ts';
import type { Trace } from './trace.ts';

type Event = {
  atMs: number;
  readonly order: number;
  readonly lane: Lane | null;
  /** Null: cancelled. */
  run: (() => void) | null;
};

/** Events at one instant: more of them means that they cause each other for ever. */
const instantCountMax = 100_000;

/** Times are multiples of 2⁻¹⁰ ms, so that sums and differences of them are exact. */
export function tick(ms: number): number {
  return Math.ceil(ms * 1024) / 1024;
}

export type Crash = { readonly lane: Lane | null; readonly thrown: unknown };

export class World {
  nowMs = 0;
  eventCount = 0;
  readonly trace: Trace;
  readonly #heap: Event[] = [];
  readonly #onThrow: (crash: Crash) => void;
  #order = 0;
  #instantCount = 0;

  /** @param onThrow what an event threw: in production its process would end. */
  constructor(trace: Trace, onThrow: (crash: Crash) => void) {
    this.trace = trace;
    this.#onThrow = onThrow;
  }

  note(text: string): void {
    this.trace.add(this.nowMs, text);
  }

  /** Lane null: nothing can keep it from happening (the network, the tester). */
  after(delayMs: number, lane: Lane | null, run: () => void): Timer {
    const event: Event = {
      atMs: this.nowMs + tick(Math.max(0, delayMs)),
      order: this.#order++,
      lane,
      run,
    };
    this.#push(event);
    return {
      cancel: () => {
        event.run = null;
      },
    };
  }

  /** Runs what is due by `untilMs`, and stands there then; earlier when `isOver` says so. */
  run(untilMs: number, isOver: () => boolean = () => false): void {
    for (;;) {
      const event = this.#heap[0];
      if (event === undefined || event.atMs > untilMs || isOver()) break;
      this.#pop();
      this.#instantCount = event.atMs > this.nowMs ? 0 : this.#instantCount + 1;
      if (this.#instantCount > instantCountMax) {
        const thrown = new Error(`${instantCountMax} events at one instant`);
        return this.#onThrow({ lane: event.lane, thrown });
      }
      this.nowMs = Math.max(this.nowMs, event.atMs);
      this.#happen(event);
    }
    if (!isOver()) this.nowMs = Math.max(this.nowMs, untilMs);
  }

  #happen(event: Event): void {
    const { lane, run } = event;
    if (run === null || lane?.isAlive === false) return;
    const readyMs = lane?.readyMs() ?? 0;
    if (readyMs > this.nowMs) {
      event.atMs = readyMs; // in its old place among those that wait for the same lane
      return this.#push(event);
    }
    this.eventCount++;
    event.run = null;
    try {
      run();
    } catch (thrown) {
      this.#onThrow({ lane, thrown });
    }
    drainMicrotasks();
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || !isBefore(event, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = at * 2 + 1;
      const [left, right] = [heap[down], heap[down + 1]];
      if (left === undefined) break;
      if (right !== undefined && isBefore(right, left)) down++;
      const child = heap[down];
      if (child === undefined || !isBefore(child, last)) break;
      heap[at] = child;
      at = down;
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** A thread of a process. Its clock is monotonic, begins anywhere, and is ahead while it computes. */
export class Lane {
  readonly world: World;
  readonly name: string;
  readonly clock: Clock;
  isAlive = true;
  /** It computes until then … */
  busyUntilMs = 0;
  /** … or its process is stopped. */
  frozenUntilMs = 0;
  /** Added to the time of day. */
  epochShiftS = 0;
  readonly #timers = new Set<Timer>();

  constructor(world: World, name: string, clockBeginMs: number) {
    this.world = world;
    this.name = name;
    const beginMs = tick(clockBeginMs);
    this.clock = {
      nowMs: () => beginMs + this.nowMs(),
      epochS: () => 1_700_000_000 + Math.floor(this.nowMs() / 1000) + this.epochShiftS,
      after: (delayMs, fire) => this.#after(delayMs, fire),
    };
  }

  /** True time, as far as this lane has got. */
  nowMs(): number {
    return Math.max(this.world.nowMs, this.busyUntilMs);
  }

  readyMs(): number {
    return Math.max(this.busyUntilMs, this.frozenUntilMs);
  }

  /** Timers that still wait. */
  get timerCount(): number {
    return this.#timers.size;
  }

  /** Computes for so long: whatever follows on this lane comes later. */
  spend(ms: number): void {
    this.busyUntilMs = this.nowMs() + tick(ms);
  }

  end(): void {
    this.isAlive = false;
    this.#timers.clear();
  }

  #after(delayMs: number, fire: () => void): Timer {
    if (!this.isAlive) return { cancel: () => undefined };
    const aheadMs = this.nowMs() - this.world.nowMs;
    const inner = this.world.after(aheadMs + delayMs, this, () => {
      this.#timers.delete(timer);
      fire();
    });
    const timer: Timer = {
      cancel: () => {
        inner.cancel();
        this.#timers.delete(timer);
      },
    };
    this.#timers.add(timer);
    return timer;
  }
}
