// `tdist verify --against float32`: what a smaller form of a model's weights costs in quality. Both forms
// run here, side by side: the built-in prompts are answered greedily in float32, and at each token both
// say what comes next. Each step gets float32's token, so an early difference counts once.

import { availableParallelism } from 'node:os';
import type { WorkerSettings } from '../../cli/config.ts';
import type { Runner } from '../../engine/runner.ts';
import { type Model, openModel } from '../../model/folder.ts';
import { cacheDir } from '../../role/cache-dir.ts';
import { openCompute } from '../../role/compute.ts';
import { type Choice, chooseDevices, type DeviceFacts } from '../../role/device-choice.ts';
import { libraryFor, lookAtDevices } from '../../role/device-look.ts';
import { graphOf } from '../../role/graph.ts';
import { Fault } from '../../std/fault.ts';
import { createLog, stderrSink } from '../../telemetry/log.ts';
import { builtInPrompts } from '../kv/prompts.ts';
import { figure, table } from '../statistics.ts';
import { divergence, largest } from './divergence.ts';

const answerTokens = 32;
/** Longer prompts are left out: they cost minutes and say no more. */
const capacityMost = 1100;

export type QualityOptions = Pick<
  WorkerSettings,
  'modelName' | 'quantization' | 'threadCount' | 'device' | 'weightDtype' | 'ortDir'
>;

/** One prompt. */
type Run = {
  readonly name: string;
  readonly promptTokens: number;
  readonly tokens: number;
  readonly agreed: number;
  /** Sums to the prompt's divergence; nats. */
  readonly divergences: readonly number[];
};

/** The exit code: 0, for what is good enough the user knows. */
export async function runQuality(
  options: QualityOptions,
  print: (line: string) => void,
): Promise<number> {
  const { modelName, threadCount } = options;
  const exact = openModel(modelName, 'none', cacheDir());
  const small = openModel(modelName, options.quantization, cacheDir());
  const facts = lookAtDevices(options.ortDir);
  const { device, weightDtype: dtype } = options;
  const [choice = onCpu] = chooseDevices({ device, dtype }, facts);
  if (small.quantization === 'none' && choice.device === 'cpu') {
    throw new Fault(
      'usage',
      `verify: ${modelName} is computed in float32 itself; give --quantization int8 or int4, or another --device`,
    );
  }
  const capacity = Math.min(capacityMost, exact.config.positions);
  const prompts = await builtInPrompts(exact, capacity - answerTokens);
  const threads = threadCount ?? availableParallelism();
  using reference = await open(exact, { capacity, threads, facts, choice: onCpu });
  using candidate = await open(small, { capacity, threads, facts, choice });
  const runs = prompts.map((prompt) => compare(reference, candidate, prompt, exact.config.eosIds));
  print(report(runs));
  const all = summaryOf(runs);
  const { agreementPercent, meanKl, alike } = all;
  const where = choice.device === 'cpu' ? '' : ` on ${choice.device} in ${choice.precision}`;
  print(
    `\n${small.source} as ${small.quantization}${where} against float32: ${figure(agreementPercent)} % of ${all.tokens} greedy ` +
      `tokens agree, ${alike} of ${runs.length} answers are alike, mean KL ${meanKl.toFixed(5)} nats`,
  );
  const { source: model, quantization } = small;
  print(
    JSON.stringify({
      model,
      quantization,
      ...choice,
      against: 'float32',
      prompts: runs.length,
      ...all,
    }),
  );
  return 0;
}

const onCpu: Choice = { device: 'cpu', precision: 'float32' };

type Opened = Disposable & {
  readonly runner: Runner;
  readonly vocabSize: number;
  readonly stepTokens: number;
};

async function open(
  model: Model,
  options: { capacity: number; threads: number; facts: DeviceFacts; choice: Choice },
): Promise<Opened> {
  const { capacity: maxModelLen, threads, facts, choice } = options;
  const log = createLog({ level: 1, sink: stderrSink, name: '' });
  const { precision } = choice;
  const place = { cacheDir: cacheDir(), threadCount: threads, log, precision };
  const modelPath = await graphOf(model, place);
  const libraryPath = await libraryFor(choice.device, facts, cacheDir());
  const { layers, kvHeads, headDim, vocabSize } = model.config;
  const geometry = { layers, kvHeads, headDim, blockTokens: 64 };
  const size = { geometry, vocabSize, threads, slots: 1, maxModelLen };
  const compute = openCompute({ ...choice, ...size, libraryPath, modelPath });
  compute.pool.touch(0, maxModelLen);
  const { runner, stepTokens } = compute;
  return { runner, stepTokens, vocabSize, [Symbol.dispose]: () => compute.close() };
}

function compare(
  reference: Opened,
  candidate: Opened,
  { name, ids }: { name: string; ids: readonly number[] },
  eosIds: readonly number[],
): Run {
  const divergences: number[] = [];
  let agreed = 0;
  let [wanted, found] = [prefill(reference, ids), prefill(candidate, ids)];
  for (let past = ids.length; ; past++) {
    const token = largest(wanted);
    if (token === largest(found)) agreed++;
    divergences.push(divergence(wanted, found));
    if (divergences.length === answerTokens || eosIds.includes(token)) break;
    const step = { count: 1, ids: Int32Array.of(token), pasts: Int32Array.of(past) };
    wanted = reference.runner.decode(step).subarray(0, reference.vocabSize);
    found = candidate.runner.decode(step).subarray(0, candidate.vocabSize);
  }
  return { name, promptTokens: ids.length, tokens: divergences.length, agreed, divergences };
}

function prefill({ runner, vocabSize, stepTokens }: Opened, ids: readonly number[]): Float32Array {
  let logits = new Float32Array();
  for (let past = 0; past < ids.length; past += stepTokens) {
    const chunk = ids.slice(past, past + stepTokens);
    logits = Float32Array.from(runner.prefill({ slot: 0, past, ids: chunk }));
  }
  return logits.subarray(0, vocabSize);
}

function summaryOf(runs: readonly Run[]) {
  const tokens = runs.reduce((sum, run) => sum + run.tokens, 0);
  const agreed = runs.reduce((sum, run) => sum + run.agreed, 0);
  const all = runs.flatMap((run) => run.divergences);
  return {
    tokens,
    agreementPercent: (100 * agreed) / tokens,
    alike: runs.filter((run) => run.agreed === run.tokens).length,
    meanKl: mean(all),
    mostKl: all.reduce((most, one) => Math.max(most, one), 0),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function report(runs: readonly Run[]): string {
  return table([
    ['prompt', 'prompt tokens', 'tokens', 'agree', 'mean KL', 'most'],
    ...runs.map(({ name, promptTokens, tokens, agreed, divergences }) => [
      name,
      ...[promptTokens, tokens, agreed].map(String),
      mean(divergences).toFixed(5),
      Math.max(...divergences).toFixed(5),
    ]),
  ]);
}
