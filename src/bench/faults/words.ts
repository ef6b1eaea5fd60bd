// The command line of `tdist bench faults`.

import { Fault } from '../../std/fault.ts';

export const faultsHelp = `tdist bench faults [--quick] [--seed N] [--log-dir DIR]

A nats-server, 2 gateways, 2 context and 2 generate workers under a steady load of streamed requests whose
undisturbed answers were recorded first; then faults of one kind after another. Prints what became of the
requests, how long streams stood still, and what was left. Ends with 1 where an answer was lost or wrong,
or something leaked.

--quick        one fault of each kind, fewer clients
--seed N       draws which process is hit, and for how long (1)
--log-dir DIR  keep what the processes print, a file each`;

export type FaultWords = {
  readonly quick: boolean;
  readonly seed: number;
  readonly logDir: string | null;
  readonly clientCount: number;
  /** Of each kind. */
  readonly faultCount: number;
  /** After all are ready again, at least so long until the next one. */
  readonly pauseMs: number;
};

/** Throws a Fault `usage`. */
export function readFaultWords(argv: readonly string[]): FaultWords {
  let quick = false;
  let seed = 1;
  let logDir: string | null = null;
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [name, inline] = word.split('=', 2);
    const value = (): string => inline ?? rest.shift() ?? '';
    if (word === '--quick') quick = true;
    else if (name === '--seed') seed = readSeed(value());
    else if (name === '--log-dir') logDir = value();
    else throw new Fault('usage', `bench faults takes no ${word}; see its --help`);
  }
  if (logDir === '') throw new Fault('usage', '--log-dir: wanted a folder');
  const effort = quick
    ? { clientCount: 4, faultCount: 1, pauseMs: 300 }
    : { clientCount: 8, faultCount: 4, pauseMs: 1000 };
  return { quick, seed, logDir, ...effort };
}

function readSeed(text: string): number {
  const seed = Number(text);
  if (text !== '' && Number.isSafeInteger(seed) && seed >= 0) return seed;
  throw new Fault('usage', `--seed ${JSON.stringify(text)}: wanted a whole number`);
}
