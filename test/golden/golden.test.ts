// The built-in model through our graph and session against Hugging Face transformers (float32).

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keepRaw, tokenLogprobs } from '../../src/engine/logprob.ts';
import { createScratch } from '../../src/engine/row.ts';
import { KvPool } from '../../src/kv/pool.ts';
import { openModel } from '../../src/model/folder.ts';
import { cachedGraph } from '../../src/model/graph-cache.ts';
import { Ort } from '../../src/model/ort.ts';
import { ortLibraryPath } from '../../src/model/ort-library.ts';
import { OrtSession } from '../../src/model/session.ts';
import { limit } from '../../src/protocol/limit.ts';
import type { TokenLogprobs } from '../../src/protocol/request.ts';
import { TextModel } from '../../src/text/text-model.ts';
import { golden, goldenLogits, templateCases, tokenizerCases } from './fixture.ts';

const model = openModel('tdist/demo');
const { layers, kvHeads, headDim, vocabSize } = model.config;
const pool = new KvPool(
  { layers, kvHeads, headDim, blockTokens: 64 },
  { slots: 1, capacity: model.config.positions },
);
const cacheDir = mkdtempSync(join(tmpdir(), 'tdist-golden-'));
let session: OrtSession;

beforeAll(async () => {
  session = new OrtSession(new Ort(await ortLibraryPath(cacheDir)), {
    modelPath: cachedGraph(model.config, { ...model, cacheDir }),
    pool,
    vocabSize,
    threads: 1,
    stepTokens: limit.stepTokens,
  });
});

afterAll(() => {
  session.close();
  pool.close();
  rmSync(cacheDir, { recursive: true });
});

/** Logits after the prompt, computed in chunks as the engine does. */
function prefill(ids: readonly number[]): Float32Array {
  let logits = new Float32Array();
  for (let past = 0; past < ids.length; past += limit.stepTokens) {
    const chunk = ids.slice(past, past + limit.stepTokens);
    logits = session.prefill({ slot: 0, past, ids: chunk }).slice(0, vocabSize);
  }
  return logits;
}

function argmax(logits: Float32Array): number {
  return logits.reduce((best, value, i) => (value > (logits[best] ?? 0) ? i : best), 0);
}

describe('transformers agrees', () => {
  test('there are 20 prompts of 64 tokens each, none decided by a hair', () => {
    expect(golden.length).toBe(20);
    for (const { output_ids, least_gap } of golden) {
      expect(output_ids.length).toBe(64);
      expect(least_gap).toBeGreaterThan(1e-3);
    }
    expect(goldenLogits.length).toBe(golden.length * vocabSize);
  });

  test.each(golden.map((one, index) => ({ ...one, index })))('$name', (one) => {
    let logits = prefill(one.input_ids);
    const wanted = goldenLogits.subarray(one.index * vocabSize, (one.index + 1) * vocabSize);
    const worst = logits.reduce((max, x, i) => Math.max(max, Math.abs(x - (wanted[i] ?? 0))), 0);
    expect(worst).toBeLessThan(1e-3);

    const continued: number[] = [];
    for (let past = one.input_ids.length; ; past++) {
      const token = argmax(logits);
      continued.push(token);
      if (continued.length === one.output_ids.length) break;
      const step = { count: 1, ids: Int32Array.of(token), pasts: Int32Array.of(past) };
      logits = session.decode(step).slice(0, vocabSize);
    }
    expect(continued).toEqual(one.output_ids);
  });
});

/** As the engine judges a prompt: by chunks, with the logits after each token. */
function scores(ids: readonly number[], count: number): TokenLogprobs[] {
  const scratch = createScratch(vocabSize);
  const found: TokenLogprobs[] = [];
  for (let past = 0; past < ids.length; past += limit.scoreTokens) {
    const chunk = ids.slice(past, past + limit.scoreTokens);
    const logits = session.prefill({ slot: 0, past, ids: chunk, everyRow: true });
    for (const row of chunk.keys()) {
      const id = ids[past + row + 1];
      if (id === undefined) continue;
      const begin = row * vocabSize;
      keepRaw({ logits, begin, end: begin + vocabSize }, scratch);
      found.push(tokenLogprobs(id, count, scratch));
    }
  }
  return found;
}

describe('logprobs of a prompt', () => {
  test.each(golden.map((one, index) => ({ ...one, index })))('$name', (one) => {
    const { input_ids, output_ids, index } = one;
    const found = scores([...input_ids, ...output_ids], 2);
    expect(found).toHaveLength(input_ids.length + 63);
    // What transformers chose is everywhere the likeliest, by its margin.
    const answer = found.slice(input_ids.length - 1);
    for (const [i, { logprob, top }] of answer.entries()) {
      expect(top[0]).toEqual([output_ids[i] ?? -1, logprob]);
      expect(logprob - (top[1]?.[1] ?? 0)).toBeGreaterThan(one.least_gap / 2);
    }
    const wanted = goldenLogits.subarray(index * vocabSize, (index + 1) * vocabSize);
    const most = wanted.reduce((max, value) => Math.max(max, value), Number.NEGATIVE_INFINITY);
    const sum = wanted.reduce((total, value) => total + Math.exp(value - most), 0);
    const first = output_ids[0] ?? -1;
    const logprob = (wanted[first] ?? 0) - most - Math.log(sum);
    expect(Math.abs((answer[0]?.logprob ?? 0) - logprob)).toBeLessThan(1e-3);
  });
});

describe('the text side', () => {
  const parse = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));
  const text = new TextModel({
    tokenizer: parse(model.tokenizer),
    tokenizerConfig: parse(model.tokenizerConfig),
  });

  test.each(tokenizerCases)('tokenizes text %#', ({ text: input, ids }) => {
    expect(text.tokenizer.encode(input, { addSpecialTokens: false })).toEqual(ids);
  });

  test.each(templateCases)('renders chat %#', (one) => {
    const ids = text.promptIds(
      {
        messages: one.messages,
        tools: one.tools,
        addGenerationPrompt: one.add_generation_prompt,
      },
      model.config.positions,
    );
    expect(ids).toEqual(text.tokenizer.encode(one.rendered, { addSpecialTokens: false }));
  });

  test.each(golden)('makes the ids of $name', ({ messages, tools, input_ids }) => {
    const input = { messages, tools, addGenerationPrompt: true };
    expect(text.promptIds(input, model.config.positions)).toEqual(input_ids);
  });
});
