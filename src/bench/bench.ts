// `tdist bench`: the figures of the README on the machine it runs on. Both sides of a comparison are
// measured in one run and in turns; medians with their spread; the last line is one JSON object.

import { availableParallelism, cpus } from 'node:os';
import { type Answer, ask, seedRequest } from './ask.ts';
import { type Deployment, startDeployment } from './deployment.ts';
import { measureHandover } from './handover.ts';
import { measureRouting } from './routing.ts';
import { figure, type Summary, summarize, table } from './statistics.ts';
import { openStepBench } from './step.ts';

const startCount = 5;
const askCount = 40;
const batches = [1, 8, 32];

const help = `Usage: tdist bench [flags of --role all]
       tdist bench engine [--quick] [part …]
       tdist bench kv [--quick] [part …]
       tdist bench gateway
       tdist bench device [--device cpu|webgpu|cuda] [flags of a worker]
       tdist bench faults [--quick]
       tdist bench soak [--minutes N]
       tdist bench model SIZE

Measures starts, first tokens, hand-over, decode steps and routing; prints a table and a JSON line.
`;

export async function runBench(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(help);
    return 0;
  }
  const print = (text: string): void => {
    process.stdout.write(`${text}\n`);
  };
  print(`${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown CPU'}, Bun ${Bun.version}\n`);
  const starts = await measureStarts(argv);
  const serving = await measureServing(argv);
  const bench = await openStepBench({
    slots: Math.max(...batches),
    modelName: 'tdist/demo',
    quantization: 'none',
    stepCount: 200,
    roundCount: 3,
  });
  const handover = measureHandover(bench.geometry, 512);
  const routing = measureRouting();
  const steps = await bench.measure(batches);
  await bench.stop();

  const row = (name: string, unit: string, s: Summary): string[] => [
    name,
    figure(s.median),
    `${figure(s.p10)}–${figure(s.p90)}`,
    unit,
    String(s.count),
  ];
  print(
    table([
      ['figure', 'median', 'p10–p90', 'unit', 'samples'],
      row('start to ready, empty cache', 'ms', starts.freshMs),
      row('start to ready', 'ms', starts.warmMs),
      row('TTFT of the seed request, disaggregated', 'ms', serving.disaggregated.ttftMs),
      row('TTFT of the seed request, aggregated', 'ms', serving.aggregated.ttftMs),
      row('time between its tokens, disaggregated', 'ms', serving.disaggregated.gapMs),
      row('time between its tokens, aggregated', 'ms', serving.aggregated.gapMs),
      row(`hand-over of ${handover.tokens} tokens: export`, 'ms', handover.exportMs),
      row(`hand-over of ${handover.tokens} tokens: import`, 'ms', handover.importMs),
      row(`hand-over of ${handover.tokens} tokens: both`, 'ms', handover.totalMs),
      row(`routing ${routing.tokens} tokens over ${routing.workers} workers`, 'ms', routing.ms),
      ...steps.flatMap((s) => [
        row(`decode step, batch ${s.batch}, engine`, 'ms', s.engineMs),
        row(`decode step, batch ${s.batch}, bare Run`, 'ms', s.bareMs),
      ]),
      ['gateway resident memory', figure(serving.apiMiB), '', 'MiB', '1'],
    ]),
  );
  for (const s of steps) print(`engine / bare Run at batch ${s.batch}: ${s.ratio}`);
  print(JSON.stringify({ starts, serving, handover, routing, steps }));
  return 0;
}

async function measureStarts(flags: readonly string[]) {
  const once = async (freshCache: boolean): Promise<number> => {
    const deployment = await startDeployment({ flags, freshCache });
    await deployment.stop();
    return deployment.readyMs;
  };
  const fresh: number[] = [];
  const warm: number[] = [];
  for (let i = 0; i < startCount; i++) {
    fresh.push(await once(true));
    warm.push(await once(false));
  }
  return { freshMs: summarize(fresh), warmMs: summarize(warm) };
}

async function measureServing(flags: readonly string[]) {
  const split = await startDeployment({ flags: ['--local-prefill-tokens=0', ...flags] });
  const whole = await startDeployment({ flags: ['--baseline-worker-count=1', ...flags] });
  const [ofSplit, ofWhole]: [Answer[], Answer[]] = [[], []];
  const both: [Deployment, Answer[]][] = [
    [split, ofSplit],
    [whole, ofWhole],
  ];
  try {
    for (let i = 0; i < askCount; i++) {
      for (const [deployment, answers] of both) {
        answers.push(await ask(deployment.url, seedRequest));
      }
    }
    const apiMiB = split.residentBytes('api') / 2 ** 20;
    return { disaggregated: summary(ofSplit), aggregated: summary(ofWhole), apiMiB };
  } finally {
    await split.stop();
    await whole.stop();
  }
}

function summary(answers: readonly Answer[]) {
  return {
    firstTtftMs: answers[0]?.ttftMs ?? null,
    ttftMs: summarize(answers.map((answer) => answer.ttftMs)),
    gapMs: summarize(answers.flatMap((answer) => answer.gapsMs)),
    transferMs: summarize(answers.map((answer) => answer.timing.transfer_ms)),
  };
}
