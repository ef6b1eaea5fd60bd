// The command line of `tdist bench soak`.

import { Fault } from '../../std/fault.ts';

export const soakHelp = `tdist bench soak [--minutes N] [--seed N] [--gc whole|usual] [--log-dir DIR]

The deployment of bench faults under a mixed load for so long, undisturbed but for clients that leave.
Looks at the resident memory of every process each two seconds, without the arenas in shared memory, whose
size is fixed. Leaves the first third of the time out, prints the slope of the line through the lowest
samples of the rest's tenths, and of that through all. Ends with 1 where an answer was lost or wrong, or
something leaked.

--minutes N    how long (30); in less a slope says little
--seed N       draws what is asked (1)
--gc whole     collect all garbage each time, so that what is left is what is held (the default)
--gc usual     as in service: old garbage may stay for minutes, and the slope's error is ten times as large
--log-dir DIR  keep what the processes print, a file each`;

export type SoakWords = {
  readonly minutes: number;
  readonly seed: number;
  readonly gc: 'whole' | 'usual';
  readonly logDir: string | null;
};

/** Throws a Fault `usage`. */
export function readSoakWords(argv: readonly string[]): SoakWords {
  let [minutes, seed, gc, logDir]: [number, number, SoakWords['gc'], string | null] = [
    30,
    1,
    'whole',
    null,
  ];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [name, inline] = word.split('=', 2);
    const value = (): string => inline ?? rest.shift() ?? '';
    if (name === '--minutes') minutes = readNumber(name, value());
    else if (name === '--seed') seed = Math.floor(readNumber(name, value()));
    else if (name === '--log-dir') logDir = value();
    else if (name === '--gc') gc = readGc(value());
    else throw new Fault('usage', `bench soak takes no ${word}; see its --help`);
  }
  if (minutes === 0) throw new Fault('usage', '--minutes 0: wanted more than none');
  if (logDir === '') throw new Fault('usage', '--log-dir: wanted a folder');
  return { minutes, seed, gc, logDir };
}

function readNumber(name: string, text: string): number {
  const number = Number(text);
  if (text !== '' && Number.isFinite(number) && number >= 0) return number;
  throw new Fault('usage', `${name} ${JSON.stringify(text)}: wanted a number`);
}

function readGc(text: string): SoakWords['gc'] {
  if (text === 'whole' || text === 'usual') return text;
  throw new Fault('usage', `--gc ${JSON.stringify(text)}: wanted whole or usual`);
}
