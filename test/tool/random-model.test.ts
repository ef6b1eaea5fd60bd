// The generator of random-weight folders: a folder that the loader takes, the same for the same seed,
// and activations that neither vanish nor explode.

import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fp8Config, llama8B } from '../../src/bench/model-folder.ts';
import { type Dimensions, randomModel } from '../../src/bench/random-model.ts';
import { KvPool } from '../../src/kv/pool.ts';
import { openModel } from '../../src/model/folder.ts';
import { cachedGraph } from '../../src/model/graph-cache.ts';
import { Ort } from '../../src/model/ort.ts';
import { ortLibraryPath } from '../../src/model/ort-library.ts';
import { OrtSession } from '../../src/model/session.ts';
import { TextModel } from '../../src/text/text-model.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'tdist-random-'));
afterAll(() => rmSync(cacheDir, { recursive: true }));

const small: Dimensions = {
  name: 'small',
  hidden: 96,
  layers: 8,
  heads: 6,
  kvHeads: 2,
  headDim: 16,
  ffn: 160,
  vocab: 4000,
  ropeTheta: 10_000,
  positions: 128,
};

test('written once, the same for the same seed, another for another', async () => {
  const folder = await randomModel(small, { cacheDir, seed: 1 });
  expect(await randomModel(small, { cacheDir, seed: 1 })).toBe(folder);
  const again = mkdtempSync(join(cacheDir, 'again-'));
  const twin = await randomModel(small, { cacheDir: again, seed: 1 });
  const other = await randomModel(small, { cacheDir, seed: 2 });
  const [a, b, c] = [folder, twin, other].map((path) => openModel(path).modelDigest);
  expect(b).toBe(a ?? '');
  expect(c).not.toBe(a ?? '');
  expect(readdirSync(join(cacheDir, 'random-models')).length).toBe(2);
});

test('logits are of a sane size and differ between tokens', async () => {
  const model = openModel(await randomModel(small, { cacheDir, seed: 1 }));
  const { layers, kvHeads, headDim, vocabSize } = model.config;
  const pool = new KvPool(
    { layers, kvHeads, headDim, blockTokens: 16 },
    { slots: 1, capacity: 64 },
  );
  const session = new OrtSession(new Ort(await ortLibraryPath(cacheDir)), {
    modelPath: cachedGraph(model.config, { ...model, cacheDir }),
    pool,
    vocabSize,
    threads: 1,
    stepTokens: 64,
  });
  const logits = session.prefill({ slot: 0, past: 0, ids: [1, 2, 3, 4, 5] }).slice(0, vocabSize);
  const size = Math.sqrt(logits.reduce((sum, x) => sum + x * x, 0) / vocabSize);
  expect(size).toBeGreaterThan(0.5);
  expect(size).toBeLessThan(8);
  session.close();
  pool.close();
});

test('every id has text: nothing that is generated stays invisible', async () => {
  const model = openModel(await randomModel(small, { cacheDir, seed: 1 }));
  const parse = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));
  const text = new TextModel({
    tokenizer: parse(model.tokenizer),
    tokenizerConfig: parse(model.tokenizerConfig),
  });
  expect(text.tokenizer.decode([3999], { skipSpecial: true })).toBe(' 3999');
});

test('the layout of the fp8 checkpoint: its tensors and dtypes, and it loads', async () => {
  const config = { ...llama8B.config, ...fp8Config };
  const dimensions: Dimensions = {
    ...{ ...small, name: 'fp8', layers: 2, positions: 512 },
    ...{ isTied: false, format: 'fp8', config },
  };
  const folder = await randomModel(dimensions, { cacheDir, seed: 1 });
  const model = openModel(folder);
  expect(model.quantization).toBe('int8');
  const weights = model.weights();
  const found = (name: string): string => weights.get(name).span.dtype;
  for (const layer of [0, 1]) {
    for (const part of ['q', 'k', 'v', 'o'].map((letter) => `self_attn.${letter}_proj`)) {
      expect(found(`model.layers.${layer}.${part}.weight`)).toBe('F8_E4M3');
      expect(found(`model.layers.${layer}.${part}.weight_scale`)).toBe('BF16');
    }
    for (const part of ['gate', 'up', 'down']) {
      expect(found(`model.layers.${layer}.mlp.${part}_proj.weight`)).toBe('F8_E4M3');
      expect(found(`model.layers.${layer}.mlp.${part}_proj.input_scale`)).toBe('BF16');
    }
  }
  for (const name of ['model.embed_tokens', 'lm_head', 'model.layers.1.input_layernorm']) {
    expect(found(`${name}.weight`)).toBe('BF16');
    expect(weights.has(`${name}.weight_scale`)).toBeFalse();
  }
  const { layers, kvHeads, headDim, vocabSize } = model.config;
  const geometry = { layers, kvHeads, headDim, blockTokens: 16 };
  const pool = new KvPool(geometry, { slots: 1, capacity: 64 });
  const session = new OrtSession(new Ort(await ortLibraryPath(cacheDir)), {
    modelPath: cachedGraph(model.config, { ...model, cacheDir }),
    pool,
    vocabSize,
    threads: 1,
    stepTokens: 64,
  });
  const logits = session.prefill({ slot: 0, past: 0, ids: [1, 2, 3, 4, 5] }).slice(0, vocabSize);
  const size = Math.sqrt(logits.reduce((sum, x) => sum + x * x, 0) / vocabSize);
  expect(size).toBeGreaterThan(0.5);
  expect(size).toBeLessThan(8);
  session.close();
  pool.close();
});
