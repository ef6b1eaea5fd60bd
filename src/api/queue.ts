// The gateway's bounded queue: requests from being read until workers have taken them on. Its length is
// limited, and so is the time to the first token: whoever waits too long is told why. Whoever finds it
// full waits a moment for a place: workers that are idle are about to take on those before.

import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import type { Exchange } from './gate.ts';

/** A longer pause than this a client library does not make. */
const retryAfterMaxS = 60;

/** How long a client waits for its first token: as it said, and what of it is left. */
export type ClientLimit = { readonly givenMs: number; readonly leftMs: number };

type Work<T> = (signal: AbortSignal, onPlaced: (isPlaced: boolean) => void) => Promise<T>;

export class AdmissionQueue {
  readonly #countMax: number;
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  #count = 0;
  #waitingCount = 0;
  /** Those who found it full, in order of arrival; each takes a place when called. */
  readonly #held = new Set<() => void>();
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

  /** Requests without a first token. */
  get count(): number {
    return this.#count;
  }

  /** Requests that no worker has taken on yet: --queue-limit and those who wait for a place in it. */
  get waitingCount(): number {
    return this.#waitingCount + this.#held.size;
  }

  /** Whole seconds until those who wait now will have been served, as far as can be told. */
  retryAfterS(): number {
    const estimateS = Math.ceil((this.#count * (this.#paceMs ?? 0)) / 1000);
    return Math.min(retryAfterMaxS, Math.max(1, estimateS));
  }

  /**
   * Runs `work` as one of the waiting ones, until it says that workers have taken it on. When its time is up the exchange is aborted, with the
   * reason that `missing` gives (null: workers are there, they were busy). A client that waits less
   * long than the queue lets it says so by `clientLimit`.
   */
  async admit<T>(
    exchange: Exchange,
    missing: () => string | null,
    work: Work<T>,
    clientLimit: ClientLimit | null = null,
  ): Promise<T> {
    if (this.#isFull) await this.#hold(exchange.signal, missing);
    else this.#waitingCount++;
    return this.#wait(exchange, missing, work, clientLimit);
  }

  /**
   * Likewise for more work of an exchange that was admitted: it counts as one that waits, but is not
   * turned away. How much of it one request may have is limited where the request is read.
   */
  follow<T>(exchange: Exchange, missing: () => string | null, work: Work<T>): Promise<T> {
    this.#waitingCount++;
    return this.#wait(exchange, missing, work, null);
  }

  async #wait<T>(
    exchange: Exchange,
    missing: () => string | null,
    work: Work<T>,
    clientLimit: ClientLimit | null,
  ): Promise<T> {
    this.#count++;
    let waits = true;
    let isOver = false;
    const onPlaced = (isPlaced: boolean): void => {
      if (isOver || waits !== isPlaced) return;
      waits = !isPlaced;
      this.#waitingCount += isPlaced ? -1 : 1;
      this.#letIn();
    };
    const own = clientLimit !== null && clientLimit.leftMs < this.#timeoutMs ? clientLimit : null;
    const timer = this.#clock.after(own?.leftMs ?? this.#timeoutMs, () => {
      const shownMs = Number((own?.givenMs ?? this.#timeoutMs).toPrecision(6));
      const whose = own === null ? '--queue-timeout-ms' : "the request's own time-out";
      const waited = `No answer began within ${shownMs} ms (${whose})`;
      // A client may allow less than any answer takes: alone here it has not waited for others.
      const isBusy = own === null || this.#count > 1;
      exchange.abort(late(waited, missing(), isBusy));
    });
    try {
      const result = await unlessAborted(exchange.signal, work(exchange.signal, onPlaced));
      this.#noteServed();
      return result;
    } finally {
      timer.cancel();
      onPlaced(true);
      isOver = true;
      this.#count--;
      if (this.#count === 0) this.#lastServedMs = null; // idle time says nothing about the pace
    }
  }

  /** Also while somebody waits for a place: nobody overtakes. */
  get #isFull(): boolean {
    return this.#waitingCount >= this.#countMax || this.#held.size > 0;
  }

  /** Waits for a place, and takes it. Throws where none becomes free soon, or nobody could serve. */
  #hold(signal: AbortSignal, missing: () => string | null): Promise<void> {
    const held = this.#held;
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        timer.cancel();
        held.delete(enter);
        signal.removeEventListener('abort', onAbort);
      };
      const enter = (): void => {
        leave();
        this.#waitingCount++;
        resolve();
      };
      const refuse = (): void => {
        leave();
        reject(full(this.#countMax, missing()));
      };
      const onAbort = (): void => {
        leave();
        reject(signal.reason);
      };
      const timer = this.#clock.after(limit.queueGraceMs, refuse);
      held.add(enter);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      else if (held.size > limit.queueGraceCountMax || missing() !== null) refuse();
    });
  }

  #letIn(): void {
    for (const enter of this.#held) {
      if (this.#waitingCount >= this.#countMax) return;
      enter();
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

/** Too many at once is the clients' doing; nobody there to serve them is not. */
function full(count: number, missing: string | null): Fault {
  const why = `${count} requests are waiting for a worker already, as many as --queue-limit allows`;
  return missing === null
    ? new Fault('queue_full', `${why}. Try again later, or add workers.`)
    : new Fault('no_worker', `${why}: ${missing}`);
}

function late(waited: string, missing: string | null, isBusy: boolean): Fault {
  if (missing !== null) return new Fault('no_worker', `${waited}: ${missing}`);
  const why = isBusy
    ? ': the workers are busy. Try again later, or add workers.'
    : '. Allow it more time.';
  return new Fault('timeout', `${waited}${why}`);
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
