// The periodic line of a worker that has something to do: what runs, what waits, how fast.

import type { Load } from '../protocol/engine.ts';
import type { Clock, Timer } from '../std/clock.ts';
import type { Log } from '../telemetry/log.ts';

const everyMs = 10_000;

/** Says nothing while idle. The returned function ends it. */
export function startStatistics(options: {
  readonly clock: Clock;
  readonly log: Log;
  readonly load: () => Load;
  /** Tokens generated since the start. */
  readonly tokenCount: () => number;
}): () => void {
  const { clock, log, load, tokenCount } = options;
  let lastCount = tokenCount();
  let lastMs = clock.nowMs();
  let timer: Timer | null = null;
  const report = (): void => {
    const count = tokenCount();
    const nowMs = clock.nowMs();
    const { running, waiting, slots, freeTokens, counters } = load();
    if (count > lastCount || running > 0 || waiting > 0) {
      const perSecond = ((count - lastCount) * 1000) / (nowMs - lastMs);
      const tokensPerS = Math.round(perSecond * 10) / 10;
      const { kvBlocks, preemptions } = counters ?? {};
      const kvFreeBlocks = kvBlocks?.free;
      const fields = { running, waiting, slots, tokensPerS, freeTokens, kvFreeBlocks, preemptions };
      log.info('Statistics', fields);
    }
    lastCount = count;
    lastMs = nowMs;
    timer = clock.after(everyMs, report);
  };
  timer = clock.after(everyMs, report);
  return () => timer?.cancel();
}
