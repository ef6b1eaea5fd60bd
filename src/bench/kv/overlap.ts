// How much of a hand-over through the object store a client waits for: long prompts through real processes,
// blocks leaving while later chunks are computed. `transfer_ms` is what came after the prefill. Beside it what
// the same blocks take when all of them leave afterwards, and what one block alone takes.

import { blockHeaderBytes } from '../../kv/block.ts';
import { tokenBytes } from '../../kv/geometry.ts';
import { openModel } from '../../model/folder.ts';
import type { Geometry } from '../../protocol/ticket.ts';
import { ask } from '../ask.ts';
import { startDeployment } from '../deployment.ts';
import { type BenchModel, demoModel, randomBenchModel } from '../engine/model.ts';
import { type Effort, type Section, summaryRow } from '../engine/section.ts';
import { figure, summarize } from '../statistics.ts';
import { fillerText, fillTo } from '../verify/filler.ts';
import { transcribe } from '../verify/transcript.ts';
import { transferTimes } from './unoverlapped.ts';

const promptTokens = 1600;
const promptCount = 12;
const blockTokens = 64;
/** Of the time that the transfer would take by itself. */
const exposedShareMost = 0.5;

type Exposed = {
  readonly transferMs: number;
  readonly prefillMs: number;
  readonly kvBytes: number;
};

export async function measureOverlap(uri: string, { quick }: Effort): Promise<Section> {
  const models = quick ? [demoModel] : [demoModel, await randomBenchModel('int4')];
  const sections: Section[] = [];
  for (const model of models) sections.push(await measureModel(uri, model));
  return {
    rows: sections.flatMap((section) => section.rows),
    claims: sections.flatMap((section) => section.claims),
    figures: { overlap: Object.assign({}, ...sections.map((section) => section.figures)) },
  };
}

async function measureModel(uri: string, model: BenchModel): Promise<Section> {
  const runs = await exposedTimes(model);
  const { layers, kvHeads, headDim } = openModel(model.modelName, model.quantization).config;
  const geometry: Geometry = { layers, kvHeads, headDim, blockTokens };
  // Nothing of a prompt is held before: its bytes tell its length (a header a block is below one token).
  const kvBytes = summarize(runs.map((run) => run.kvBytes)).median;
  const tokens = Math.floor(kvBytes / (tokenBytes(geometry) + blockHeaderBytes / blockTokens));
  const blocks = Math.ceil(tokens / blockTokens);
  const alone = { uri, geometry, rounds: promptCount };
  const whole = summarize(await transferTimes({ ...alone, tokens }));
  const one = summarize(await transferTimes({ ...alone, tokens: blockTokens }));
  const exposed = summarize(runs.map((run) => run.transferMs));
  const prefill = summarize(runs.map((run) => run.prefillMs));
  const share = exposed.median / whole.median;
  const inBlocks = exposed.median / one.median;
  const ofBlocks = exposed.median / (whole.median / blocks);
  const { label } = model;
  return {
    rows: [
      summaryRow(`${label}: prefill of ${tokens} tokens, ${blocks} blocks`, 'ms', prefill),
      summaryRow(`${label}: exposed after it`, 'ms', exposed),
      summaryRow(`${label}: all blocks after it instead`, 'ms', whole),
      summaryRow(`${label}: one block alone`, 'ms', one),
      [`${label}: exposed, in times of one block alone`, figure(inBlocks), '', 'blocks', ''],
      [`${label}: exposed, in blocks of the whole's pace`, figure(ofBlocks), '', 'blocks', ''],
    ],
    claims: [
      {
        name: `${label}: exposed ÷ whole transfer without overlap`,
        found: share,
        wanted: exposedShareMost,
        at: 'most',
      },
    ],
    figures: { [label]: { tokens, blocks, prefill, exposed, whole, one, inBlocks, ofBlocks } },
  };
}

async function exposedTimes({ modelName, quantization }: BenchModel): Promise<Exposed[]> {
  const deployment = await startDeployment({
    flags: [
      '--context-worker-count=1',
      '--generate-worker-count=1',
      '--threads=1',
      '--kv-path=object',
      '--kv-arena-bytes=512MiB',
      '--local-prefill-tokens=0',
      '--max-model-len=2048',
      '--max-num-seqs=4',
      `--model-name=${modelName}`,
      `--quantization=${quantization}`,
      '--disable-log-stats',
    ],
  });
  try {
    const { url } = deployment;
    const count = async (content: string): Promise<number> =>
      (await transcribe(url, { ...body(content), max_tokens: 1, min_tokens: 1 }, 'local'))
        .promptTokens;
    const chars = 10 * (await fillTo(promptTokens / 10, 0, count)).length;
    const runs: Exposed[] = [];
    // The first ones connect, make the bucket and warm up.
    for (let i = -2; i < promptCount; i++) {
      const content = fillerText(chars, i + 3);
      const { timing } = await ask(url, { ...body(content), stream: true });
      if (i < 0) continue;
      if (timing.kv_path !== 'object') {
        throw new Error(`the KV of prompt ${i} went by the path ${timing.kv_path}, not object`);
      }
      const { transfer_ms: transferMs, prefill_ms: prefillMs, kv_bytes: kvBytes } = timing;
      runs.push({ transferMs, prefillMs, kvBytes });
    }
    return runs;
  } finally {
    await deployment.stop();
  }
}

function body(content: string): Record<string, unknown> {
  return {
    messages: [{ role: 'user', content }],
    temperature: 0,
    max_tokens: 4,
    min_tokens: 4,
    ignore_eos: true,
    stream_options: { include_usage: true },
  };
}
