// Keeps what `Bus.trouble()` says, tells listeners of changes, and writes log lines about an outage
// at its first moment, then once per period: a server that is down for an hour is no flood.

import type { Clock } from '../std/clock.ts';
import type { Log } from '../telemetry/log.ts';

const repeatMs = 10_000;

export class Trouble {
  readonly #log: Log;
  readonly #clock: Clock;
  #text: string | null;
  #saidAtMs: number | null = null;
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
    if (this.#saidAtMs === null || nowMs - this.#saidAtMs >= repeatMs) {
      this.#saidAtMs = nowMs;
      this.#log.warn(text);
    }
    this.#change(text);
  }

  clear(): void {
    this.#saidAtMs = null;
    this.#change(null);
  }

  #change(text: string | null): void {
    if (text === this.#text) return;
    this.#text = text;
    for (const handler of this.#handlers) handler(text);
  }
}
