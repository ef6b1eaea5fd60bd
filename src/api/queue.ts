// The gateway's bounded queue: requests between being read and having their first token. Its length
// and the time in it are limited, so nobody is left waiting: whoever waits too long is told why.

import type { Clock } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import type { Exchange } from './gate.ts';

/** A longer pause than this a client library does not make. */
const retryAfterMaxS = 60;

export class AdmissionQueue {
  readonly #countMax: number;
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  #count = 0;
  /** Mean time between two that left with their first token, while others waited; null: unknown. */
  #paceMs: number | null = null;
  #lastServedMs: number | null = null;

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

  /** Whole seconds until those who wait now will have been served, as far as can be told. */
  retryAfterS(): number {
    const estimateS = Math.ceil((this.#count * (this.#paceMs ?? 0)) / 1000);
    return Math.min(retryAfterMaxS, Math.max(1, estimateS));
  }

  /**
   * Runs `work` as one of the waiting ones. When its time is up the exchange is aborted, with the
   * reason that `missing` gives (null: workers are there, they were busy). A client that waits less
   * long than the queue lets it says so by `clientLimitMs`.
   */
  async admit<T>(
    exchange: Exchange,
    missing: () => string | null,
    work: (signal: AbortSignal) => Promise<T>,
    clientLimitMs: number | null = null,
  ): Promise<T> {
    if (this.#count >= this.#countMax) {
      throw new Fault(
        'overloaded',
        `${this.#count} requests are waiting already, as many as --queue-limit allows. Try again ` +
          'later, or add workers.',
      );
    }
    this.#count++;
    const isClients = clientLimitMs !== null && clientLimitMs < this.#timeoutMs;
    const limitMs = isClients ? clientLimitMs : this.#timeoutMs;
    const whose = isClients ? "the request's own time-out" : '--queue-timeout-ms';
    const waited = `No answer began within ${Math.round(limitMs)} ms (${whose})`;
    const timer = this.#clock.after(limitMs, () => exchange.abort(late(waited, missing())));
    try {
      const result = await unlessAborted(exchange.signal, work(exchange.signal));
      this.#noteServed();
      return result;
    } finally {
      timer.cancel();
      this.#count--;
      if (this.#count === 0) this.#lastServedMs = null; // idle time says nothing about the pace
    }
  }

  #noteServed(): void {
    const nowMs = this.#clock.nowMs();
    if (this.#lastServedMs !== null) {
      const gapMs = nowMs - this.#lastServedMs;
      this.#paceMs = this.#paceMs === null ? gapMs : this.#paceMs + (gapMs - this.#paceMs) / 8;
    }
    this.#lastServedMs = nowMs;
  }
}

function late(waited: string, missing: string | null): Fault {
  return missing === null
    ? new Fault('timeout', `${waited}: the workers are busy. Try again later, or add workers.`)
    : new Fault('no_worker', `${waited}: ${missing}`);
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
