// Signals: the first asks for an orderly end, the second ends at once with 130 or 143.

import { realClock } from '../std/clock.ts';
import type { Log } from '../telemetry/log.ts';

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;
export type StopSignal = keyof typeof exitCodes;

/** Resolves at the first signal. The second one exits the process without further ado. */
export function stopSignal(log: Log): Promise<StopSignal> {
  return new Promise((resolve) => {
    let seen = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (seen) process.exit(exitCodes[signal]);
        seen = true;
        log.info(`${signal}: finishing what runs; the same again ends at once`);
        resolve(signal);
      });
    }
  });
}

/** Beyond the drain time; below what a supervisor grants its children. */
const closingMs = 4000;

/**
 * From here on the process ends within `drainMs` and a little more, whatever hangs on the way out:
 * an orphan whose request plane died with its supervisor must not stay.
 */
export function mustEnd(drainMs: number, log: Log): void {
  realClock.after(drainMs + closingMs, () => {
    log.error('still not closed; ending at once');
    process.exit(1);
  });
}
