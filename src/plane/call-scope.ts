// One call's end: its deadline, its caller's signal, and whatever else may end it early (a lost
// connection), as one Fault with an ObjectFlaw as reason. Everything the call waits for is waited for
// through it, so that nothing outlives it.

import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { ObjectCall, ObjectFlaw } from './object-store.ts';

export function flaw(reason: ObjectFlaw, message: string, cause?: unknown): Fault {
  return new Fault('transfer', message, { reason, cause });
}

export class CallScope implements Disposable {
  readonly what: string;
  readonly #waiting = new Set<(fault: Fault) => void>();
  readonly #release: () => void;
  #fault: Fault | null = null;

  constructor(options: {
    readonly clock: Clock;
    readonly call: ObjectCall;
    readonly what: string;
  }) {
    const { clock, call, what } = options;
    const { timeoutMs, signal } = call;
    this.what = what;
    const abort = () => this.fail(flaw('cancelled', `${what}: cancelled`));
    const late = () => this.fail(flaw('timeout', `${what}: not done within ${timeoutMs} ms`));
    const timer = clock.after(Math.max(0, timeoutMs), late);
    signal?.addEventListener('abort', abort, { once: true });
    this.#release = () => {
      timer.cancel();
      signal?.removeEventListener('abort', abort);
    };
    if (signal?.aborted === true) abort();
  }

  get fault(): Fault | null {
    return this.#fault;
  }

  /** Ends the call: what it waits for rejects with this. The first reason stands. */
  fail(fault: Fault): void {
    if (this.#fault !== null) return;
    this.#fault = fault;
    this.#release();
    for (const tell of [...this.#waiting]) tell(fault);
  }

  /** Throws when the call has ended. */
  check(): void {
    if (this.#fault !== null) throw this.#fault;
  }

  /** What `start` resolves, or the call's Fault if that comes first. */
  wait<T>(
    start: (
      resolve: (value: T) => void,
      reject: (fault: Fault) => void,
    ) => (() => void) | undefined,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#fault !== null) return reject(this.#fault);
      let undo: (() => void) | undefined;
      let isSettled = false;
      const settle = (act: () => void): void => {
        if (isSettled) return;
        isSettled = true;
        this.#waiting.delete(lose);
        undo?.();
        act();
      };
      const lose = (fault: Fault): void => settle(() => reject(fault));
      this.#waiting.add(lose);
      undo = start((value) => settle(() => resolve(value)), lose);
      if (isSettled) undo?.();
    });
  }

  /** The same for a promise, whose failure is nobody's business once the call has ended. */
  of<T>(work: Promise<T>): Promise<T> {
    work.catch(() => undefined);
    return this.wait<T>((resolve, reject) => {
      work.then(resolve, (error: unknown) => reject(toFault(error)));
      return undefined;
    });
  }

  [Symbol.dispose](): void {
    this.fail(flaw('cancelled', `${this.what}: is over`));
  }
}
