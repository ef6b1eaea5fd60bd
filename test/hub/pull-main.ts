// A process that pulls org/tiny from the hub and into the cache of its environment; prints the folder.

import { hubOf } from '../../src/cli/hub-env.ts';
import { realDisk } from '../../src/hub/disk.ts';
import { noProgress } from '../../src/hub/progress.ts';
import { pull } from '../../src/hub/pull.ts';
import { limit } from '../../src/protocol/limit.ts';
import { realClock } from '../../src/std/clock.ts';
import { repoOf } from './world.ts';

const { folder } = await pull(repoOf('org/tiny'), {
  settings: hubOf(process.env),
  part: 'model',
  clock: realClock,
  disk: realDisk,
  progress: { ...noProgress, note: (line) => console.log(line) },
  signal: new AbortController().signal,
  limitMs: limit.hubAnswerMs,
});
console.log(folder);
