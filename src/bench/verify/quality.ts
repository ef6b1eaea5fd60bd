// `tdist verify --against float32`: what a smaller form of a model's weights costs in quality. Both forms
// run here, side by side: the built-in prompts are answered greedily in float32, and at each token both
// say what comes next. Each step gets float32's token, so an early difference counts once.

import { availableParallelism } from 'node:os';
import { KvPool } from '../../kv/pool.ts';
import { type Model, openModel } from '../../model/folder.ts';
import { Ort } from '../../model/ort.ts';
import { ortLibraryPath } from '../../model/ort-library.ts';
import type { Quantization } from '../../model/quantize.ts';
import { OrtSession } from '../../model/session.ts';
import { limit } from '../../protocol/limit.ts';
import { cacheDir } from '../../role/cache-dir.ts';
import { graphOf } from '../../role/graph.ts';
import { Fault } from '../../std/fault.ts';
import { createLog, stderrSink } from '../../telemetry/log.ts';
import { builtInPrompts } from '../kv/prompts.ts';
import { figure, table } from '../statistics.ts';
import { divergence, largest } from './divergence.ts';

const answerTokens = 32;
/** Longer prompts are left out: they cost minutes and say no more. */
const capacityMost = 1100;

export type QualityOptions = {
  readonly modelName: string;
  readonly quantization: Quantization | 'auto';
  readonly threadCount: number | null;
};

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
  if (small.quantization === 'none') {
    throw new Fault(
      'usage',
      `verify: ${modelName} is computed in float32 itself; give --quantization int8 or int4`,
    );
  }
  const capacity = Math.min(capacityMost, exact.config.positions);
  const prompts = await builtInPrompts(exact, capacity - answerTokens);
  const ort = new Ort(await ortLibraryPath(cacheDir()));
  const threads = threadCount ?? availableParallelism();
  using reference = await open(ort, exact, { capacity, threads });
  using candidate = await open(ort, small, { capacity, threads });
  const runs = prompts.map((prompt) => compare(reference, candidate, prompt, exact.config.eosIds));
  print(report(runs));
  const all = summaryOf(runs);
  const { agreementPercent, meanKl, alike } = all;
  print(
    `\n${small.source} as ${small.quantization} against float32: ${figure(agreementPercent)} % of ${all.tokens} greedy ` +
      `tokens agree, ${alike} of ${runs.length} answers are alike, mean KL ${meanKl.toFixed(5)} nats`,
  );
  const { source: model, quantization } = small;
  print(JSON.stringify({ model, quantization, against: 'float32', prompts: runs.length, ...all }));
  return 0;
}

type Opened = Disposable & { readonly session: OrtSession; readonly vocabSize: number };

async function open(
  ort: Ort,
  model: Model,
  { capacity, threads }: { capacity: number; threads: number },
): Promise<Opened> {
  const log = createLog({ level: 1, sink: stderrSink, name: '' });
  const modelPath = await graphOf(model, { cacheDir: cacheDir(), threadCount: threads, log });
  const { layers, kvHeads, headDim, vocabSize } = model.config;
  const pool = new KvPool({ layers, kvHeads, headDim, blockTokens: 64 }, { slots: 1, capacity });
  const { stepTokens } = limit;
  const session = new OrtSession(ort, { modelPath, pool, vocabSize, threads, stepTokens });
  pool.touch(0, capacity);
  return {
    session,
    vocabSize,
    [Symbol.dispose]() {
      session.close();
      pool.close();
    },
  };
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
    wanted = reference.session.decode(step).subarray(0, reference.vocabSize);
    found = candidate.session.decode(step).subarray(0, candidate.vocabSize);
  }
  return { name, promptTokens: ids.length, tokens: divergences.length, agreed, divergences };
}

function prefill({ session, vocabSize }: Opened, ids: readonly number[]): Float32Array {
  let logits = new Float32Array();
  for (let past = 0; past < ids.length; past += limit.stepTokens) {
    const chunk = ids.slice(past, past + limit.stepTokens);
    logits = Float32Array.from(session.prefill({ slot: 0, past, ids: chunk }));
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
