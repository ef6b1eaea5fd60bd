// Running one command of the set-up: quiet when it works, its output when it does not.

import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's top folder. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Something the user must mend; shown as one line. */
export class Problem extends Error {}

/**
 * Runs to its end. `failure`: on a failure, throws a Problem with this line after showing the
 * output; without it, answers false. `show`: lets the command write by itself.
 */
export function run(command, args, { cwd = root, show = false, failure } = {}) {
  const result = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    stdio: show ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  if (result.status === 0) return true;
  if (failure === undefined) return false;
  const why = result.error?.message ?? `${result.stdout ?? ''}${result.stderr ?? ''}`.trim();
  if (why !== '') console.error(why);
  throw new Problem(failure);
}

/** One line `setup: WHAT ... 1.2 s` around the work. */
export function step(what, work) {
  const startMs = Date.now();
  process.stdout.write(`setup: ${what} ... `);
  try {
    const value = work();
    console.log(`${((Date.now() - startMs) / 1000).toFixed(1)} s`);
    return value;
  } catch (thrown) {
    console.log('failed');
    throw thrown;
  }
}
