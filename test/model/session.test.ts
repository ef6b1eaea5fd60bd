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
import { naiveLogits, tinyTensors, writeTinyModel } from './tiny-llama.ts';

const seed = 7;
const folder = writeTinyModel(seed);
const cacheDir = mkdtempSync(join(tmpdir(), 'tdist-cache-'));
const model = openModel(folder);
const { config } = model;
const geometry = {
  layers: config.layers,
  kvHeads: config.kvHeads,
  headDim: config.headDim,
  blockTokens: 16,
};
const pool = new KvPool(geometry, { slots: 5, capacity: 512 });
let session: OrtSession;

beforeAll(async () => {
  const ort = new Ort(await ortLibraryPath(cacheDir));
  const modelPath = cachedGraph(config, {
    modelDigest: model.modelDigest,
    quantization: model.quantization,
    cacheDir,
    weights: model.weights,
  });
  session = new OrtSession(ort, {
    modelPath,
    pool,
    vocabSize: config.vocabSize,
    threads: 1,
    chunkTokens: 64,
  });
});

afterAll(() => {
  session.close();
  pool.close();
  rmSync(folder, { recursive: true });
  rmSync(cacheDir, { recursive: true });
});

const prompt = (length: number, salt: number): number[] =>
  Array.from({ length }, (_, i) => (i * 37 + salt * 101) % config.vocabSize);

function expectClose(found: Float32Array, wanted: readonly number[]): void {
  expect(found.length).toBe(wanted.length);
  const worst = Math.max(...wanted.map((value, i) => Math.abs(value - (found[i] ?? 0))));
  expect(worst).toBeLessThan(2e-4);
}

describe('OrtSession against the plain computation', () => {
  test('a whole prompt in one chunk', () => {
    const ids = prompt(23, 1);
    const logits = session.prefill({ slot: 0, past: 0, ids }).slice(0, config.vocabSize);
    expectClose(logits, naiveLogits(config, tinyTensors(seed), ids));
  });

  test('a prompt in three chunks', () => {
    const ids = prompt(41, 2);
    session.prefill({ slot: 1, past: 0, ids: ids.slice(0, 16) });
    session.prefill({ slot: 1, past: 16, ids: ids.slice(16, 32) });
    const logits = session.prefill({ slot: 1, past: 32, ids: ids.slice(32) });
    expectClose(logits.slice(0, config.vocabSize), naiveLogits(config, tinyTensors(seed), ids));
  });

  test('a ragged decode batch with an empty slot and a passenger in it', () => {
    const prompts = [prompt(9, 3), prompt(30, 4), [], prompt(1, 5), prompt(20, 6)];
    for (const slot of [0, 1, 3, 4]) {
      const known = prompts[slot]?.slice(0, -1) ?? [];
      if (known.length > 0) session.prefill({ slot, past: 0, ids: known });
    }
    // Slot 4 is a passenger: 12 of its positions count, the dummy lands on the 13th.
    const pasts = Int32Array.from([8, 29, 0, 0, 12]);
    const ids = Int32Array.from(prompts.map((ids) => ids.at(-1) ?? 0));
    const logits = session.decode({ count: 5, ids, pasts }).slice();
    for (const slot of [0, 1, 3]) {
      const row = logits.subarray(slot * config.vocabSize, (slot + 1) * config.vocabSize);
      expectClose(row, naiveLogits(config, tinyTensors(seed), prompts[slot] ?? []));
    }
    // What the dummy overwrote is computed anew by the chunk that follows.
    const rest = prompts[4]?.slice(12) ?? [];
    const after = session.prefill({ slot: 4, past: 12, ids: rest }).slice(0, config.vocabSize);
    expectClose(after, naiveLogits(config, tinyTensors(seed), prompts[4] ?? []));
  });

  test('a moved slot goes on where it was', () => {
    const ids = prompt(18, 8);
    session.prefill({ slot: 2, past: 0, ids: ids.slice(0, -1) });
    pool.moveSlot(2, 0, 17);
    const logits = session.prefill({ slot: 0, past: 17, ids: ids.slice(-1) });
    expectClose(logits.slice(0, config.vocabSize), naiveLogits(config, tinyTensors(seed), ids));
  });

  test('ONNX Runtime’s refusals become Faults', () => {
    expect(() => session.prefill({ slot: 0, past: 600, ids: [1] })).toThrow(/ONNX Runtime says/);
  });
});
