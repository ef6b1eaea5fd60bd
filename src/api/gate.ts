// Who is inside, and the way out. Every exchange (one request with work behind it) enters here and
// leaves exactly once, however it ends; a closing gate lets nobody in and waits for the last one.

import type { Clock } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';

export class Gate {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #inside = new Set<Exchange>();
  #whenEmpty: PromiseWithResolvers<void> | null = null;

  /** `limitMs`: longest life of an exchange; 0: none. */
  constructor(options: { readonly clock: Clock; readonly limitMs: number }) {
    this.#clock = options.clock;
    this.#limitMs = options.limitMs;
  }

  get count(): number {
    return this.#inside.size;
  }

  get draining(): boolean {
    return this.#whenEmpty !== null;
  }

  /** `client` is the signal of the HTTP request: it fires when the client has gone. */
  enter(client: AbortSignal): Exchange {
    if (this.draining) {
      throw new Fault('draining', 'This server is shutting down and takes nothing new. Try again.');
    }
    const limitMs = this.#limitMs;
    const late = (): void =>
      exchange.abort(
        new Fault('timeout', `The answer took longer than ${limitMs} ms (--request-timeout-ms).`),
      );
    const timer = limitMs === 0 ? null : this.#clock.after(limitMs, late);
    const exchange = new Exchange(client, () => {
      timer?.cancel();
      this.#inside.delete(exchange);
      if (this.#inside.size === 0) this.#whenEmpty?.resolve();
    });
    this.#inside.add(exchange);
    return exchange;
  }

  /** From now on nobody enters; resolves when everybody has left. */
  drain(): Promise<void> {
    this.#whenEmpty ??= Promise.withResolvers<void>();
    if (this.#inside.size === 0) this.#whenEmpty.resolve();
    return this.#whenEmpty.promise;
  }

  /** Ends what is still running. */
  abortAll(fault: Fault): void {
    for (const exchange of [...this.#inside]) exchange.abort(fault);
  }
}

/** One request's work: its signal stops it, and `close` says that nothing of it is left. */
export class Exchange {
  readonly #work = new AbortController();
  readonly #client: AbortSignal;
  readonly #leave: () => void;

  constructor(client: AbortSignal, leave: () => void) {
    this.#client = client;
    this.#leave = leave;
    if (client.aborted) this.#clientGone();
    else client.addEventListener('abort', this.#clientGone, { once: true });
  }

  /** Its reason is always a Fault. */
  get signal(): AbortSignal {
    return this.#work.signal;
  }

  abort(fault: Fault): void {
    this.#work.abort(fault);
  }

  /** Any number of times; only the first counts. */
  close(): void {
    this.#client.removeEventListener('abort', this.#clientGone);
    this.#leave();
  }

  readonly #clientGone = (): void => {
    this.abort(new Fault('cancelled', 'The client closed the connection.'));
  };
}
