// `tdist sim`: runs seeds of the simulation one after the other, says what was found, and shows a
// failing seed so that it can be run again. Whatever goes wrong is in the last line, as JSON, too.

import { Fault } from '../std/fault.ts';
import { type Options, simulate, type Verdict } from './simulate.ts';
import { Tally } from './tally.ts';

const help = `Usage: tdist sim [--seed N] [--seeds N] [--trace] [--keep-going]

Runs the cluster's production code on simulated time, network, memory and model, with faults.

  --seed N       the first seed (1); alone: this seed, with its whole trace
  --seeds N      how many seeds (100)
  --trace        every event and log line
  --keep-going   do not stop at the first seed that fails`;

type Flags = {
  readonly seed: number;
  readonly seeds: number;
  readonly isTracing: boolean;
  readonly keepsGoing: boolean;
};

/** 0: no seed failed. */
export async function runSim(
  argv: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    print(help);
    return 0;
  }
  const flags = readFlags(argv);
  const tally = new Tally();
  for (let seed = flags.seed; seed < flags.seed + flags.seeds; seed++) {
    const options = flags.isTracing ? { print, isLogging: true } : {};
    const { verdict, stray } = await runSeed(seed, options);
    tally.add(verdict, stray);
    const isBad = verdict.violations.length + stray.length > 0;
    if (isBad) for (const line of failureLines(verdict, stray)) print(line);
    if (flags.seeds === 1) print(`seed ${seed}: digest ${verdict.digest}`);
    if (isBad && !flags.keepsGoing) break;
  }
  for (const line of tally.lines()) print(line);
  print(JSON.stringify(tally.figures()));
  return tally.failedCount === 0 ? 0 : 1;
}

/** In a task of its own; with it the rejections that nobody heard, which end a real process. */
export async function runSeed(
  seed: number,
  options: Options = {},
): Promise<{ readonly verdict: Verdict; readonly stray: readonly string[] }> {
  const stray: string[] = [];
  const others = process.listeners('unhandledRejection');
  const hear = (thrown: unknown): void => {
    stray.push(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
  };
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', hear);
  try {
    const verdict = await new Promise<Verdict>((resolve, reject) => {
      setImmediate(() => {
        try {
          resolve(simulate(seed, options));
        } catch (thrown) {
          reject(thrown);
        }
      });
    });
    await new Promise((resolve) => setImmediate(resolve)); // rejections are told of by now
    return { verdict, stray };
  } finally {
    process.off('unhandledRejection', hear);
    for (const other of others) process.on('unhandledRejection', other);
  }
}

function failureLines(verdict: Verdict, stray: readonly string[]): string[] {
  const { seed, scenario, violations, lastLines } = verdict;
  const { deployment, faults } = scenario;
  const workers = deployment.workers.map(({ place, host }) => `${place} on host-${host}`);
  return [
    `seed ${seed} FAILED; tdist sim --seed ${seed} shows all of it`,
    ...violations.map(
      ({ rule, detail, atMs }) => `  rule "${rule}" at ${atMs.toFixed(3)} ms: ${detail}`,
    ),
    ...stray.map((text) => `  rule "no stray rejection": ${text}`),
    `  deployment: ${[...workers, ...deployment.gateways.map(({ place }) => place)].join(', ')}`,
    ...(scenario.oddShare > 0 ? ['  messages come twice or out of their turn'] : []),
    ...faults.map((fault) => `  planned: ${JSON.stringify(fault)}`),
    `  the last ${lastLines.length} events:`,
    ...lastLines.map((line) => `    ${line}`),
  ];
}

function readFlags(argv: readonly string[]): Flags {
  const values = new Map<string, number>();
  const switches = new Set<string>();
  for (let at = 0; at < argv.length; at++) {
    const [name = '', inline] = (argv[at] ?? '').split('=');
    if (name === '--trace' || name === '--keep-going') {
      switches.add(name);
      continue;
    }
    if (name !== '--seed' && name !== '--seeds') {
      throw new Fault('usage', `sim: unknown word ${name}; tdist sim --help lists the flags`);
    }
    const text = inline ?? argv[++at] ?? '';
    const least = name === '--seeds' ? 1 : 0;
    if (!/^\d{1,9}$/.test(text) || Number(text) < least) {
      throw new Fault(
        'usage',
        `sim: ${name} ${text || '(nothing)'}, wanted a whole number from ${least} to 999999999`,
      );
    }
    values.set(name, Number(text));
  }
  const isAlone = values.has('--seed') && !values.has('--seeds');
  return {
    seed: values.get('--seed') ?? 1,
    seeds: values.get('--seeds') ?? (isAlone ? 1 : 100),
    isTracing: isAlone || switches.has('--trace'),
    keepsGoing: switches.has('--keep-going'),
  };
}
