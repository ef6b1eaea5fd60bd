// The generator of random-weight folders: a folder that the loader takes, the same for the same seed,
// and activations that neither vanish nor explode.

import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
