// Looks now and then whether files have changed: by what `stat` says, since a mounted secret is a link
// that is put in another's place, which file events do not tell of.

import { statSync } from 'node:fs';
import type { Clock, Timer } from './clock.ts';

/** Calls `onChange` after any of `paths` has become another. @returns what ends the watch. */
export function watchFiles(options: {
  readonly paths: readonly string[];
  readonly clock: Clock;
  readonly everyMs: number;
  readonly onChange: () => void;
}): () => void {
  const { paths, clock, everyMs, onChange } = options;
  let last = stampOf(paths);
  let timer: Timer | null = null;
  const look = (): void => {
    const now = stampOf(paths);
    const isNew = now !== last;
    last = now;
    timer = clock.after(everyMs, look);
    if (isNew) onChange();
  };
  timer = clock.after(everyMs, look);
  return () => timer?.cancel();
}

function stampOf(paths: readonly string[]): string {
  return paths
    .map((path) => {
      const found = statSync(path, { throwIfNoEntry: false, bigint: true });
      return found === undefined ? 'none' : `${found.ino}.${found.size}.${found.mtimeNs}`;
    })
    .join(' ');
}
