// Deadlines for what a thread has been asked, in the order in which it does it: only the first one can
// be under way. Counted in looks, so that a stall of the whole process is nobody's fault.

import { limit } from '../protocol/limit.ts';
import type { Clock, Timer } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';

export type Task = {
  /** From when it is the first one, the thread's start not included. */
  readonly limitMs: number;
  isDone(): boolean;
};

/** Nobody's grammar is to blame. */
export function unstartedFault(): Fault {
  const text = `the thread of grammars did not start within ${limit.grammarStartMs} ms`;
  return new Fault('engine', `${text}; is the machine overloaded?`);
}

/** What is said of a task, or of a thread that has not even begun. */
export type Late<T> = { readonly task: T; readonly hasStarted: boolean };

export class Watch<T extends Task> {
  readonly #clock: Clock;
  readonly #onLate: (late: Late<T>) => void;
  #tasks: T[] = [];
  #timer: Timer | null = null;
  /** Looks at which the first task was the first one. */
  #lookCount = 0;
  #isReady = false;

  constructor(clock: Clock, onLate: (late: Late<T>) => void) {
    this.#clock = clock;
    this.#onLate = onLate;
  }

  /** What the thread is at; null: nothing. */
  get first(): T | null {
    this.#settle();
    return this.#tasks[0] ?? null;
  }

  /** The thread has started. */
  ready(): void {
    this.#isReady = true;
    this.#lookCount = 0;
  }

  add(task: T): void {
    this.#settle();
    this.#tasks.push(task);
    this.#timer ??= this.#clock.after(limit.grammarWatchMs, this.#look);
  }

  /** Forgets all tasks: the thread has ended. */
  clear(): void {
    this.#tasks = [];
    this.#isReady = false;
    this.#lookCount = 0;
    this.#timer?.cancel();
    this.#timer = null;
  }

  #settle(): void {
    const done = this.#tasks.findIndex((task) => !task.isDone());
    if (done === 0 || this.#tasks.length === 0) return;
    this.#tasks.splice(0, done < 0 ? this.#tasks.length : done);
    this.#lookCount = 0;
  }

  readonly #look = (): void => {
    this.#timer = null;
    this.#settle();
    const [first] = this.#tasks;
    if (first === undefined) return;
    const limitMs = this.#isReady ? first.limitMs : limit.grammarStartMs;
    if (++this.#lookCount * limit.grammarWatchMs > limitMs) {
      this.#onLate({ task: first, hasStarted: this.#isReady });
    }
    if (this.#tasks.length > 0) {
      this.#timer ??= this.#clock.after(limit.grammarWatchMs, this.#look);
    }
  };
}
