// The point of disaggregation: what long prompts do to streams that are decoding. `context` +
// `generate` with one thread each against one `baseline` worker with two, on the same two cores, in
// turns, through HTTP. Both sides' gains and losses are printed.

import { type Deployment, startDeployment } from '../deployment.ts';
import { figure, type Summary, summarize } from '../statistics.ts';
import { fillTo } from '../verify/filler.ts';
import { transcribe } from '../verify/transcript.ts';
import { type LoadFigures, type LoadOptions, runLoad } from './load.ts';
import { type BenchModel, demoModel, randomBenchModel } from './model.ts';
import type { Effort, Section } from './section.ts';

const promptTokens = 1500;
const p99GainLeast = 5;
/** 1,500 tokens of KV of the larger model are 66 MiB, and several prompts may be under way. */
const arena = '--kv-arena-bytes=512MiB';
const sides = {
  'context+generate': ['--context-worker-count=1', '--generate-worker-count=1', '--threads=1'],
  baseline: ['--baseline-worker-count=1', '--threads=2'],
} as const;
type Side = keyof typeof sides;

type SideFigures = {
  readonly itlMs: Summary & { readonly p99: number; readonly max: number };
  readonly ttftMs: Summary;
  /** Long prompts: first token seen, of those that came. */
  readonly answered: number;
  readonly arrived: number;
  readonly tokensPerS: number;
};

export async function measureInterference({ quick }: Effort): Promise<Section> {
  const rows: string[][] = [];
  const claims: Section['claims'][number][] = [];
  const figures: Record<string, unknown> = {};
  for (const model of [demoModel, await randomBenchModel('int4')]) {
    const found = await measureModel(model, quick);
    for (const [side, s] of Object.entries(found))
      rows.push(...rowsOf(`${model.label}, ${side}`, s));
    const gain = found.baseline.itlMs.p99 / found['context+generate'].itlMs.p99;
    claims.push({
      name: `${model.label}: p99 between tokens, baseline / context+generate`,
      found: gain,
      wanted: p99GainLeast,
      at: 'least',
    });
    figures[model.label] = { ...found, gain };
  }
  return { rows, claims, figures: { interference: figures } };
}

async function measureModel(model: BenchModel, quick: boolean): Promise<Record<Side, SideFigures>> {
  const runs: Record<Side, LoadFigures[]> = { 'context+generate': [], baseline: [] };
  for (let round = 0; round < (quick ? 1 : 2); round++) {
    for (const side of ['context+generate', 'baseline'] as const) {
      runs[side].push(await measureSide(model, side, { round, quick }));
    }
  }
  return { 'context+generate': joined(runs['context+generate']), baseline: joined(runs.baseline) };
}

async function measureSide(
  { modelName, quantization }: BenchModel,
  side: Side,
  { round, quick }: { round: number; quick: boolean },
): Promise<LoadFigures> {
  const deployment = await startDeployment({
    flags: [
      ...sides[side],
      arena,
      '--local-prefill-tokens=0',
      '--max-model-len=2048',
      '--max-num-seqs=8',
      `--model-name=${modelName}`,
      `--quantization=${quantization}`,
      '--disable-log-stats',
    ],
  });
  try {
    const load: LoadOptions = {
      streams: 4,
      durationMs: quick ? 10_000 : 30_000,
      everyMs: 1000,
      promptChars: await promptChars(deployment, side),
      streamTokens: 1000,
    };
    // Warm: the first of everything is slower.
    await runLoad(deployment.url, { ...load, durationMs: 3000 }, 1_000_000);
    return await runLoad(deployment.url, load, 1000 * (round + 1));
  } finally {
    await deployment.stop();
  }
}

/** So many characters of filler make 1,500 tokens. */
async function promptChars({ url }: Deployment, side: Side): Promise<number> {
  const route = side === 'baseline' ? 'aggregated' : 'disaggregated';
  const count = async (content: string): Promise<number> => {
    const body = { messages: [{ role: 'user', content }], max_tokens: 1 };
    return (await transcribe(url, body, route)).promptTokens;
  };
  // Characters for a tenth, so that nothing long is computed for it, times ten.
  return 10 * (await fillTo(promptTokens / 10, 0, count)).length;
}

function joined(runs: readonly LoadFigures[]): SideFigures {
  const gaps = runs.flatMap((run) => run.gapsMs).sort((a, b) => a - b);
  const ttfts = runs.flatMap((run) => run.ttftsMs);
  const p99 = gaps[Math.min(gaps.length - 1, Math.floor(0.99 * gaps.length))] ?? Number.NaN;
  return {
    itlMs: { ...summarize(gaps), p99, max: gaps.at(-1) ?? Number.NaN },
    ttftMs: summarize(ttfts),
    answered: ttfts.length,
    arrived: runs.reduce((sum, run) => sum + run.arrived, 0),
    tokensPerS: runs.reduce((sum, run) => sum + run.tokensPerS, 0) / runs.length,
  };
}

function rowsOf(name: string, s: SideFigures): string[][] {
  const { itlMs, ttftMs } = s;
  const spread = (summary: Summary): string => `${figure(summary.p10)}–${figure(summary.p90)}`;
  return [
    [`${name}: between tokens`, figure(itlMs.median), spread(itlMs), 'ms', String(itlMs.count)],
    [`${name}: between tokens, p99`, figure(itlMs.p99), `max ${figure(itlMs.max)}`, 'ms', ''],
    [
      `${name}: TTFT of ${promptTokens} tokens`,
      figure(ttftMs.median),
      spread(ttftMs),
      'ms',
      `${s.answered} of ${s.arrived}`,
    ],
    [`${name}: throughput`, figure(s.tokensPerS), '', 'tokens/s', ''],
  ];
}
