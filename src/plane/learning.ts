// What one request teaches about the workers that serve it: reads the timing on their chunks into the
// rates that the next choices are made with.

import type { TokensMessage } from '../protocol/message.ts';
import type { Clock } from '../std/clock.ts';
import type { Rates } from './rates.ts';
import type { Choice } from './router.ts';

export type LearningOptions = {
  readonly clock: Clock;
  readonly rates: Rates;
  readonly choice: Exclude<Choice, { route: 'none' }>;
  readonly promptTokens: number;
};

export class Learning {
  readonly #options: LearningOptions;
  readonly #beganMs: number;
  /** Waited for a slot: neither a message's cost nor anybody's prefill. */
  #slotWaitMs = 0;

  /** Made when the request is sent off. */
  constructor(options: LearningOptions) {
    this.#options = options;
    this.#beganMs = options.clock.nowMs();
  }

  noteSlotWait(ms: number): void {
    this.#slotWaitMs += ms;
  }

  note(worker: string, timing: NonNullable<TokensMessage['timing']>): void {
    const { clock, rates, choice, promptTokens } = this.#options;
    const { queueMs = 0, prefillMs, cachedTokens = 0, transferMs, kvBytes } = timing;
    const generate = choice.route === 'aggregated' ? choice.baseline : choice.generate;
    const context = choice.route === 'disaggregated' ? choice.context : null;
    if (prefillMs !== undefined) {
      const prefiller = worker === context?.worker ? context : generate;
      rates.notePrefill(prefiller, promptTokens - cachedTokens, prefillMs);
      const route = context === null ? 'local' : 'disaggregated';
      const knownMs = this.#slotWaitMs + queueMs + prefillMs;
      rates.noteHop(route, clock.nowMs() - this.#beganMs - knownMs);
    }
    const path = timing.kvPath === 'object' ? 'object' : 'shm';
    if (context !== null && transferMs !== undefined && kvBytes !== undefined) {
      rates.noteTransfer(context, generate, path, { bytes: kvBytes, ms: transferMs });
    }
  }
}
