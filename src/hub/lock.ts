// One writer to a blob, over all processes of the host. The lock is the one that Python's `filelock` takes,
// on the same file, so their downloads and ours wait for each other. It goes with its process.

import { closeSync, openSync } from 'node:fs';
import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import { isFileAt, lockFile } from '../std/memory.ts';
import { stopped } from './http.ts';

export type LockOptions = {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called once, if somebody else has it. */
  readonly onWait: () => void;
};

export async function lockPath(path: string, options: LockOptions): Promise<Disposable> {
  for (let isFirst = true; ; isFirst = false) {
    if (options.signal.aborted) throw stopped();
    const fd = openSync(path, 'a');
    // Some versions of filelock remove the file when they are done with it.
    if (lockFile(fd, 'try') && isFileAt(path, fd)) {
      return { [Symbol.dispose]: () => closeSync(fd) };
    }
    closeSync(fd);
    if (isFirst) options.onWait();
    await pause(options.clock, limit.hubLockAskMs, options.signal);
  }
}

/** Ends early with the signal, and says nothing of it: whoever waits looks. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.after(ms, end);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}
