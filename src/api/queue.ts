// The gateway's bounded queue: requests between being read and having their first token. Its length
// and the time in it are limited, so nobody is left waiting: whoever waits too long is told why.

import type { Clock } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import type { Exchange } from './gate.ts';

export class AdmissionQueue {
  readonly #countMax: number;
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  #count = 0;

  constructor(options: {
    readonly countMax: number;
    readonly timeoutMs: number;
    readonly clock: Clock;
  }) {
    this.#countMax = options.countMax;
    this.#timeoutMs = options.timeoutMs;
    this.#clock = options.clock;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Runs `work` as one of the waiting ones. When its time is up the exchange is aborted, with the
   * reason that `missing` gives (null: workers are there, they were busy).
   */
  async admit<T>(
    exchange: Exchange,
    missing: () => string | null,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (this.#count >= this.#countMax) {
      throw new Fault(
        'overloaded',
        `${this.#count} requests are waiting already, as many as --queue-limit allows. Try again ` +
          'later, or add workers.',
      );
    }
    this.#count++;
    const timer = this.#clock.after(this.#timeoutMs, () => exchange.abort(this.#late(missing())));
    try {
      return await unlessAborted(exchange.signal, work(exchange.signal));
    } finally {
      timer.cancel();
      this.#count--;
    }
  }

  #late(missing: string | null): Fault {
    const waited = `No answer began within ${this.#timeoutMs} ms (--queue-timeout-ms)`;
    return missing === null
      ? new Fault('timeout', `${waited}: the workers are busy. Try again later, or add workers.`)
      : new Fault('no_worker', `${waited}: ${missing}`);
  }
}

/** `work`, or the signal's reason as soon as it fires, whatever `work` makes of it. */
async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } catch (thrown) {
    throw signal.aborted ? signal.reason : thrown;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
