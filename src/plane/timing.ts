// What the chunks of one request tell about its phases, summed up for headers and logs. Both workers of
// a pair may report a phase (the generate worker queues too, and prefills where a hand-over failed).

import type { TokensMessage } from '../protocol/message.ts';
import type { KvPath, KvPathReason, Timing } from '../protocol/request.ts';
import type { Choice } from './router.ts';

export class TimingSum {
  readonly #base: Pick<Timing, 'route' | 'reason' | 'contextWorker' | 'generateWorker'>;
  #queueMs: number;
  #kvPathReason: KvPathReason | null;
  #prefillMs = 0;
  #transferMs = 0;
  #cachedTokens = 0;
  #kvPath: KvPath = 'none';
  #kvBytes = 0;

  constructor(choice: Exclude<Choice, { route: 'none' }>, waitedMs: number) {
    this.#queueMs = waitedMs;
    this.#kvPathReason = choice.route === 'disaggregated' ? choice.kvPath.reason : null;
    this.#base = {
      route: choice.route,
      reason: choice.reason,
      contextWorker: choice.route === 'disaggregated' ? choice.context.worker : null,
      generateWorker:
        choice.route === 'aggregated' ? choice.baseline.worker : choice.generate.worker,
    };
  }

  add(timing: NonNullable<TokensMessage['timing']>): void {
    this.#queueMs += timing.queueMs ?? 0;
    this.#prefillMs += timing.prefillMs ?? 0;
    this.#transferMs += timing.transferMs ?? 0;
    this.#cachedTokens = Math.max(this.#cachedTokens, timing.cachedTokens ?? 0);
    this.#kvPath = timing.kvPath ?? this.#kvPath;
    this.#kvBytes = timing.kvBytes ?? this.#kvBytes;
  }

  /** KV goes another way than was chosen. */
  setPath(reason: KvPathReason): void {
    this.#kvPathReason = reason;
  }

  /** A wait that no chunk tells of. */
  addQueue(ms: number): void {
    this.#queueMs += ms;
  }

  get(): Timing {
    return {
      ...this.#base,
      kvPath: this.#kvPath,
      kvPathReason: this.#kvPathReason,
      kvBytes: this.#kvBytes,
      cachedTokens: this.#cachedTokens,
      queueMs: this.#queueMs,
      prefillMs: this.#prefillMs,
      transferMs: this.#transferMs,
    };
  }
}
