// The built-in model through our graph and session against Hugging Face transformers (float32).

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvPool } from '../../src/kv/pool.ts';
import { openModel } from '../../src/model/folder.ts';
import { cachedGraph } from '../../src/model/graph-cache.ts';
import { Ort } from '../../src/model/ort.ts';
import { ortLibraryPath } from '../../src/model/ort-library.ts';
import { OrtSession } from '../../src/model/session.ts';
import { limit } from '../../src/protocol/limit.ts';
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
