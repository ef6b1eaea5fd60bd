// `tdist bench soak`: whether a deployment stays as it is for as long as one lets it work. The last line
// is one JSON object.

import { mkdirSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { seededChance } from '../../std/prng.ts';
import { findLeaks, findObjects } from '../faults/leak.ts';
import { recordAnswers } from '../faults/load.ts';
import type { Member } from '../faults/member.ts';
import { Stage } from '../faults/stage.ts';
import { table } from '../statistics.ts';
import { SoakLoad } from './load.ts';
import { floors, type Sample, type Trend, trendOf, wordFor } from './slope.ts';
import { readSoakWords, soakHelp } from './words.ts';

const clientCount = 6;
const sampleMs = 2000;
/** Of the time, for caches, arenas and pools to fill. */
const warmUpShare = 1 / 3;
/** Long enough that a whole garbage collection falls into each. */
const floorCount = 10;
const slopeMax = 1;
const objectTtlS = 20;
/**
 * KV of slots takes memory when it is first written, up to what these say: with the usual ones that goes on
 * for hours, and would be taken for a leak.
 */
const workerFlags = ['--max-num-seqs=6', '--max-model-len=1536'];

/** JavaScriptCore's own switch: no collection of young objects alone. */
const gcEnv = { whole: { BUN_JSC_useGenerationalGC: '0' }, usual: {} } as const;

type Series = {
  readonly name: string;
  readonly samples: Sample[];
  /** Touched of the arenas that it maps, which are of fixed size: the last sample. */
  sharedBytes: number;
  look(): { readonly own: number; readonly shared: number };
};
type Figures = {
  readonly name: string;
  readonly floor: Trend;
  readonly all: Trend;
  readonly sharedMiB: number;
};

export async function runSoakBench(
  argv: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  if (argv.includes('--help')) {
    print(soakHelp);
    return 0;
  }
  const words = readSoakWords(argv);
  if (words.logDir !== null) mkdirSync(words.logDir, { recursive: true });
  const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown CPU'}`;
  const busy = (loadavg()[0] ?? 0).toFixed(1);
  print(`${machine}, Bun ${Bun.version}, load average before the start: ${busy}`);
  print(
    `${words.minutes} minutes, seed ${words.seed}, ${clientCount} clients, garbage collection ${words.gc}\n`,
  );
  const { logDir, gc } = words;
  await using stage = await Stage.open({ logDir, objectTtlS, workerFlags, env: gcEnv[gc] });
  const answers = await recordAnswers(stage.gateways[0]?.url ?? '');
  const chance = seededChance(words.seed);
  const load = new SoakLoad({ stage, chance, answers, clientCount });
  const series = await watch(stage, words.minutes * 60_000, (minute, mib) =>
    print(`minute ${minute}: ${mib.join(', ')} MiB; requests ${JSON.stringify(load.counts)}`),
  );
  await load.stop();
  const leaked = [...(await findLeaks(stage)), ...(await stage.stopServing())];
  leaked.push(...(await findObjects(stage, objectTtlS * 1000)));

  const figures = series.map((one) => figuresOf(one, words.minutes * 60_000));
  print(`${table([head, ...figures.map(cellsOf)])}\n`);
  for (const { name, floor } of figures) {
    const slope = `${floor.slopeMiBPerH.toFixed(2)} ± ${floor.errorMiBPerH.toFixed(2)}`;
    print(`${wordFor(floor, slopeMax)}  ${name}: ${slope} MiB/h, wanted at most ${slopeMax}`);
  }
  for (const why of load.lost.slice(0, 20)) print(`LOST    ${why}`);
  for (const what of leaked) print(`LEAKED  ${what}`);
  print(
    `requests: ${JSON.stringify(load.counts)}; lost ${load.lost.length}, leaked ${leaked.length}`,
  );
  print(
    JSON.stringify({ machine, ...words, requests: load.counts, lost: load.lost, leaked, figures }),
  );
  return load.lost.length + leaked.length === 0 ? 0 : 1;
}

/** Looks at every process until time is up. */
async function watch(
  stage: Stage,
  forMs: number,
  onMinute: (minute: number, mib: readonly string[]) => void,
): Promise<readonly Series[]> {
  const named = (name: string, list: readonly { readonly member: Member }[]): Series[] =>
    list.map(({ member }, i) => ({
      name: list.length > 1 ? `${name} ${i + 1}` : name,
      samples: [],
      sharedBytes: 0,
      look: () => member.residentBytes(),
    }));
  const all: readonly Series[] = [
    ...named('gateway', stage.gateways),
    ...named(
      'context worker',
      stage.workers.filter(({ role }) => role === 'context'),
    ),
    ...named(
      'generate worker',
      stage.workers.filter(({ role }) => role === 'generate'),
    ),
    ...named('nats-server', [stage.plane]),
  ];
  const fromMs = performance.now();
  for (let minutes = 0; ; ) {
    const atMs = performance.now() - fromMs;
    if (atMs >= forMs) return all;
    for (const series of all) {
      const { own, shared } = series.look();
      series.samples.push({ atMs, bytes: own });
      series.sharedBytes = shared;
    }
    if (atMs >= (minutes + 1) * 60_000) {
      const last = all.map(({ samples }) => samples.at(-1)?.bytes ?? Number.NaN);
      onMinute(
        ++minutes,
        last.map((bytes) => (bytes / 2 ** 20).toFixed(0)),
      );
    }
    await Bun.sleep(Math.min(sampleMs, forMs - atMs));
  }
}

function figuresOf({ name, samples, sharedBytes }: Series, forMs: number): Figures {
  const warm = samples.filter(({ atMs }) => atMs >= warmUpShare * forMs);
  const sharedMiB = sharedBytes / 2 ** 20;
  const floorMs = (forMs * (1 - warmUpShare)) / floorCount;
  return { name, floor: trendOf(floors(warm, floorMs)), all: trendOf(warm), sharedMiB };
}

const head = [
  'process',
  'floors',
  'first, MiB',
  'last, MiB',
  'slope, MiB/h',
  '±',
  'all samples: max, MiB',
  'slope, MiB/h',
  '±',
  'shared, MiB',
];

function cellsOf({ name, floor, all, sharedMiB }: Figures): string[] {
  const two = (value: number): string => value.toFixed(2);
  return [
    name,
    String(floor.count),
    floor.firstMiB.toFixed(1),
    floor.lastMiB.toFixed(1),
    two(floor.slopeMiBPerH),
    two(floor.errorMiBPerH),
    all.maxMiB.toFixed(1),
    two(all.slopeMiBPerH),
    two(all.errorMiBPerH),
    sharedMiB.toFixed(0),
  ];
}
