// The command line of `tdist bench soak`.

import { Fault } from '../../std/fault.ts';

export const soakHelp = `tdist bench soak [--minutes N] [--seed N] [--log-dir DIR]

The deployment of bench faults under a mixed load for so long, undisturbed but for clients that leave.
Looks at the resident memory of every process each two seconds, without the arenas in shared memory, whose
size is fixed. Leaves the first third of the time out, prints the slope of the line through the lowest
samples of the rest's tenths, and of that through all. Ends with 1 where an answer was lost or wrong, or
something leaked.

--minutes N    how long (30); in less a slope says little
--seed N       draws what is asked (1)
--log-dir DIR  keep what the processes print, a file each`;

export type SoakWords = {
  readonly minutes: number;
  readonly seed: number;
  readonly logDir: string | null;
};

/** Throws a Fault `usage`. */
export function readSoakWords(argv: readonly string[]): SoakWords {
  const found = { minutes: 30, seed: 1, logDir: null as string | null };
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [name, inline] = word.split('=', 2);
    const value = (): string => inline ?? rest.shift() ?? '';
    if (name === '--minutes') found.minutes = readNumber(name, value());
    else if (name === '--seed') found.seed = Math.floor(readNumber(name, value()));
    else if (name === '--log-dir') found.logDir = value();
    else throw new Fault('usage', `bench soak takes no ${word}; see its --help`);
  }
  if (found.minutes === 0) throw new Fault('usage', '--minutes 0: wanted more than none');
  if (found.logDir === '') throw new Fault('usage', '--log-dir: wanted a folder');
  return found;
}

function readNumber(name: string, text: string): number {
  const number = Number(text);
  if (text !== '' && Number.isFinite(number) && number >= 0) return number;
  throw new Fault('usage', `${name} ${JSON.stringify(text)}: wanted a number`);
}
