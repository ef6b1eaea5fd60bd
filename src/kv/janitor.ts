// Removes arenas whose owner is dead. Runs at every worker start, so that a kill -9 leaves nothing
// behind for longer than until then.

import { arenaPrefix, shmFolder } from './arena.ts';
import { shmFiles } from './shm-files.ts';

/** Names of the arenas removed. */
export function sweepArenas(folder = shmFolder, files = shmFiles(folder)): string[] {
  return files.names().filter((name) => name.startsWith(arenaPrefix) && files.removeUnheld(name));
}
