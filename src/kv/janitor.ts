// Removes arenas whose owner is dead. Runs at every worker start, so that a kill -9 leaves nothing
// behind for longer than until then.

import { readdirSync } from 'node:fs';
import { removeUnlockedFile } from '../std/memory.ts';
import { arenaPrefix, shmFolder } from './arena.ts';

/** Names of the arenas removed. */
export function sweepArenas(folder = shmFolder): string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return []; // no /dev/shm on this system: nothing can have been left there
  }
  return names.filter(
    (name) => name.startsWith(arenaPrefix) && removeUnlockedFile(`${folder}/${name}`),
  );
}
