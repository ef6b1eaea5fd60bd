// Keeps what `Bus.trouble()` says, tells listeners of changes, and writes log lines about an outage:
// each cause when it comes up, then once per period. A server that is down for an hour is no flood, nor
// are several that are down for reasons of their own.

import type { Clock } from '../std/clock.ts';
import type { Log } from '../telemetry/log.ts';

const repeatMs = 10_000;

export class Trouble {
  readonly #log: Log;
  readonly #clock: Clock;
  #text: string | null;
  /** When each cause was written last. */
  readonly #said = new Map<string, number>();
  readonly #handlers: ((trouble: string | null) => void)[] = [];

  constructor(options: { log: Log; clock: Clock; initial: string | null }) {
    this.#log = options.log;
    this.#clock = options.clock;
    this.#text = options.initial;
  }

  get text(): string | null {
    return this.#text;
  }

  onChange(handler: (trouble: string | null) => void): void {
    this.#handlers.push(handler);
  }

  /** An attempt failed, or the connection broke. */
  report(text: string): void {
    const nowMs = this.#clock.nowMs();
    const saidMs = this.#said.get(text);
    if (saidMs === undefined || nowMs - saidMs >= repeatMs) {
      this.#said.set(text, nowMs);
      this.#log.warn(text);
    }
    this.#change(text);
  }

  clear(): void {
    this.#said.clear();
    this.#change(null);
  }

  #change(text: string | null): void {
    if (text === this.#text) return;
    this.#text = text;
    for (const handler of this.#handlers) handler(text);
  }
}
