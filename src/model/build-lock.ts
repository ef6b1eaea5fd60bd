// One builder at a time, among the processes that share a cache folder: a file that is locked as long as
// its builder lives, so a killed one holds nobody up.

import { closeSync, openSync, rmSync } from 'node:fs';
import type { Clock } from '../std/clock.ts';
import { isFileAt, lockFile } from '../std/memory.ts';

/** Between two looks at a lock that another process holds. */
const lookMs = 200;

/**
 * Ours until it is disposed of. Null: while we waited another process has built it.
 * @param signal ends the wait with its reason.
 */
export async function waitForLock(
  path: string,
  isBuilt: () => boolean,
  options: { clock: Clock; onWait: () => void; signal?: AbortSignal },
): Promise<Disposable | null> {
  const { clock, onWait, signal } = options;
  for (let looks = 0; !isBuilt(); looks++) {
    signal?.throwIfAborted();
    const fd = openSync(path, 'a');
    // Who is done removes the file: a lock on one that is no longer there says nothing.
    if (lockFile(fd, 'try') && isFileAt(path, fd)) {
      return {
        [Symbol.dispose]() {
          rmSync(path, { force: true });
          closeSync(fd);
        },
      };
    }
    closeSync(fd);
    if (looks === 0) onWait();
    const { promise, resolve } = Promise.withResolvers<void>();
    clock.after(lookMs, resolve);
    await promise;
  }
  return null;
}
