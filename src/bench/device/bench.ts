// `tdist bench device`: what a model's steps take on a device, with nothing around it: prefill, decode of
// several batches, and blocks of KV out and in. The same command with `--device cpu` is what to compare
// with. The last line is one JSON object.

import { availableParallelism } from 'node:os';
import type { WorkerSettings } from '../../cli/config.ts';
import { openModel } from '../../model/folder.ts';
import { cacheDir } from '../../role/cache-dir.ts';
import { type Compute, openCompute } from '../../role/compute.ts';
import { chooseDevices } from '../../role/device-choice.ts';
import { libraryFor, lookAtDevices } from '../../role/device-look.ts';
import { graphOf } from '../../role/graph.ts';
import { realClock } from '../../std/clock.ts';
import { mapAnonymousMemory, unmap } from '../../std/memory.ts';
import { createLog, stderrSink } from '../../telemetry/log.ts';
import { summaryRow, tableHead } from '../engine/section.ts';
import { type Summary, summarize, table } from '../statistics.ts';

const slots = 32;
const capacity = 1024;
const batches = [1, 8, 32];
const promptTokens = 512;
const roundCount = 7;
const stepCount = 16;
const blockTokens = 64;

export async function runDeviceBench(
  settings: WorkerSettings,
  print: (line: string) => void,
): Promise<number> {
  const model = openModel(settings.modelName, settings.quantization, cacheDir());
  const facts = lookAtDevices(settings.ortDir);
  const { device: kind, weightDtype: dtype } = settings;
  const [choice] = chooseDevices({ device: kind, dtype }, facts);
  const { device, precision } = choice ?? { device: 'cpu', precision: 'float32' };
  const log = createLog({ level: 1, sink: stderrSink, name: '' });
  const threads = settings.threadCount ?? availableParallelism();
  const place = { cacheDir: cacheDir(), threadCount: threads, log, precision };
  const modelPath = await graphOf(model, place);
  const { layers, kvHeads, headDim, vocabSize } = model.config;
  const geometry = { layers, kvHeads, headDim, blockTokens };
  const libraryPath = await libraryFor(device, facts, cacheDir());
  const size = { geometry, vocabSize, threads, slots, maxModelLen: capacity };
  const beginMs = realClock.nowMs();
  const compute = openCompute({ ...size, device, precision, libraryPath, modelPath });
  const openS = (realClock.nowMs() - beginMs) / 1000;
  const { stepTokens } = compute;
  try {
    const figures = measure(compute, vocabSize);
    const name = `${model.source}, weights ${model.quantization}, ${device} in ${precision}`;
    print(
      `${name}; ${threads} threads, steps of ${stepTokens} tokens, opened in ${openS.toFixed(1)} s\n`,
    );
    const rows = figures.map(([label, unit, summary]) => summaryRow(label, unit, summary));
    print(table([tableHead, ...rows]));
    const { source, quantization } = model;
    const named = Object.fromEntries(figures.map(([label, , summary]) => [label, summary]));
    print(
      JSON.stringify({
        model: source,
        quantization,
        device,
        precision,
        threads,
        stepTokens,
        openS,
        figures: named,
      }),
    );
  } finally {
    compute.close();
  }
  return 0;
}

type Figure = readonly [label: string, unit: string, summary: Summary];

function measure({ runner, pool, stepTokens }: Compute, vocabSize: number): readonly Figure[] {
  const ids = (count: number): number[] =>
    Array.from({ length: count }, (_, i) => (i * 31 + 7) % Math.min(vocabSize, 1000));
  const prefill = (slot: number): void => {
    pool.touch(slot, promptTokens);
    for (let past = 0; past < promptTokens; past += stepTokens) {
      const count = Math.min(stepTokens, promptTokens - past);
      runner.prefill({ slot, past, ids: ids(count) });
    }
  };
  for (let slot = 0; slot < slots; slot++) prefill(slot);
  const prefillMs = rounds(() => timed(() => prefill(0)));
  const figures: Figure[] = [
    [
      `prefill of ${promptTokens} tokens`,
      'tokens/s',
      summarize(prefillMs.map((ms) => (promptTokens / ms) * 1000)),
    ],
  ];
  for (const count of batches) {
    const pasts = new Int32Array(count).fill(promptTokens);
    for (let slot = 0; slot < count; slot++) pool.touch(slot, promptTokens + 1);
    const step = { count, ids: Int32Array.from(ids(count)), pasts };
    const some = (): void => {
      for (let i = 0; i < stepCount; i++) runner.decode(step);
    };
    some();
    const stepMs = rounds(() => timed(some) / stepCount);
    figures.push([`decode step of ${count}`, 'ms', summarize(stepMs)]);
    const rate = stepMs.map((ms) => (count / ms) * 1000);
    figures.push([`decode of ${count}`, 'tokens/s', summarize(rate)]);
  }
  return [...figures, ...measureBlocks(pool)];
}

function measureBlocks(pool: Compute['pool']): readonly Figure[] {
  const { layers, kvHeads, headDim } = pool.geometry;
  const bytes = layers * 2 * kvHeads * headDim * blockTokens * 4;
  const mapping = mapAnonymousMemory(bytes);
  const copy = (direction: 'out' | 'in') => (): void =>
    pool.copyRows(direction, { slot: 1, first: 0, count: blockTokens }, mapping.address);
  try {
    copy('out')();
    const out = rounds(() => timed(copy('out')));
    // What is asked for next waits for what was put: out once more, so that both are counted.
    const inAndOut = rounds(() =>
      timed(() => {
        copy('in')();
        copy('out')();
      }),
    );
    return [
      [`a block of ${blockTokens} tokens out`, 'ms', summarize(out)],
      ['in and out', 'ms', summarize(inAndOut)],
    ];
  } finally {
    unmap(mapping);
  }
}

function rounds(one: () => number): number[] {
  return Array.from({ length: roundCount }, one);
}

function timed(run: () => void): number {
  const beginMs = realClock.nowMs();
  run();
  return realClock.nowMs() - beginMs;
}
