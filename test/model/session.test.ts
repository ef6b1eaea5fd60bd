import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvPool } from '../../src/kv/pool.ts';
import { openModel } from '../../src/model/folder.ts';
import { cachedGraph } from '../../src/model/graph-cache.ts';
import { Ort } from '../../src/model/ort.ts';
import { ortLibraryPath } from '../../src/model/ort-library.ts';
import { OrtSession } from '../../src/model/session.ts';
import { Fault } from '../../src/std/fault.ts';
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
let ort: Ort;
const closers: (() => void)[] = [];
let session: OrtSession;

beforeAll(async () => {
  ort = new Ort(await ortLibraryPath(cacheDir));
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
    stepTokens: 64,
  });
});

afterAll(() => {
  for (const close of closers.reverse()) close();
  session.close();
  pool.close();
  rmSync(folder, { recursive: true });
  rmSync(cacheDir, { recursive: true });
});

/** A session over a pool of its own, three slots of `capacity`. */
function makeSmall(capacity: number): { session: OrtSession } {
  const small = new KvPool(geometry, { slots: 3, capacity });
  closers.push(() => small.close());
  const modelPath = cachedGraph(config, { ...model, cacheDir });
  const { vocabSize } = config;
  const opened = new OrtSession(ort, {
    modelPath,
    pool: small,
    vocabSize,
    threads: 1,
    stepTokens: 64,
  });
  closers.push(() => opened.close());
  return { session: opened };
}

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

  test('the logits after every token of a chunk, behind a past', () => {
    const ids = prompt(41, 12);
    session.prefill({ slot: 2, past: 0, ids: ids.slice(0, 9) });
    const rest = ids.slice(9);
    const logits = session.prefill({ slot: 2, past: 9, ids: rest, everyRow: true }).slice();
    for (const row of rest.keys()) {
      const begin = row * config.vocabSize;
      const wanted = naiveLogits(config, tinyTensors(seed), ids.slice(0, 10 + row));
      expectClose(logits.subarray(begin, begin + config.vocabSize), wanted);
    }
    // The next call has one row again.
    const after = session.prefill({ slot: 0, past: 0, ids }).slice(0, config.vocabSize);
    expectClose(after, naiveLogits(config, tinyTensors(seed), ids));
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

  for (const count of [1, 2, 3, 4, 5]) {
    test(`a batch of ${count} gives each row what it gets alone, to the bit`, () => {
      const prompts = Array.from({ length: count }, (_, i) => prompt(3 + 11 * i, 20 + i));
      const alone = prompts.map((ids, slot) => {
        session.prefill({ slot, past: 0, ids: ids.slice(0, -1) });
        return session
          .prefill({ slot, past: ids.length - 1, ids: ids.slice(-1) })
          .slice(0, config.vocabSize);
      });
      const logits = session.decode({
        count,
        ids: Int32Array.from(prompts, (ids) => ids.at(-1) ?? 0),
        pasts: Int32Array.from(prompts, (ids) => ids.length - 1),
      });
      for (const [slot, wanted] of alone.entries()) {
        const row = logits.slice(slot * config.vocabSize, (slot + 1) * config.vocabSize);
        expect(row).toEqual(wanted);
      }
    });
  }

  test('prompts together, in the middle of the pool: each what it is alone, the neighbours untouched', () => {
    const [left, right] = [prompt(20, 50), prompt(31, 51)];
    session.prefill({ slot: 0, past: 0, ids: left.slice(0, -1) });
    session.prefill({ slot: 4, past: 0, ids: right.slice(0, -1) });
    const prompts = [prompt(18, 52), prompt(21, 53), prompt(16, 54)]; // 63 of 64 tokens, padded
    const logits = session.prefillTogether({ slot: 1, prompts }).slice();
    for (const [i, ids] of prompts.entries()) {
      const row = logits.slice(i * config.vocabSize, (i + 1) * config.vocabSize);
      expectClose(row, naiveLogits(config, tinyTensors(seed), ids));
    }
    for (const [slot, ids] of [
      [0, left],
      [4, right],
      // A padded one goes on where its own tokens end.
      [1, [...(prompts[0] ?? []), 5]],
      [3, [...(prompts[2] ?? []), 6]],
    ] as const) {
      const past = ids.length - 1;
      const found = session.prefill({ slot, past, ids: ids.slice(past) });
      expectClose(
        found.slice(0, config.vocabSize),
        naiveLogits(config, tinyTensors(seed), [...ids]),
      );
    }
  });

  test('prompts together that fill slots to the last position', () => {
    const ids = prompt(21, 55);
    const { session: small } = makeSmall(21);
    const prompts = [ids, ids.slice(0, 17), ids];
    const logits = small.prefillTogether({ slot: 0, prompts }).slice();
    for (const [i, one] of prompts.entries()) {
      const row = logits.slice(i * config.vocabSize, (i + 1) * config.vocabSize);
      expectClose(row, naiveLogits(config, tinyTensors(seed), one));
    }
  });

  test('the last position of a slot can be used, the one after it cannot', () => {
    const ids = prompt(64, 30);
    for (let past = 0; past < 512; past += 64) session.prefill({ slot: 3, past, ids });
    const whole = Array.from({ length: 8 }, () => ids).flat();
    const last = session.prefill({ slot: 3, past: 511, ids: ids.slice(-1) });
    expectClose(last.slice(0, config.vocabSize), naiveLogits(config, tinyTensors(seed), whole));
    expect(() => session.prefill({ slot: 3, past: 512, ids: [1] })).toThrow(/ONNX Runtime says/);
  });

  test('embeddings tied to the head', () => {
    const tiedFolder = writeTinyModel(seed, { tie_word_embeddings: true });
    const tied = openModel(tiedFolder);
    const tensors = new Map(tinyTensors(seed));
    const embedding = tensors.get('model.embed_tokens.weight');
    if (embedding !== undefined) tensors.set('lm_head.weight', embedding);
    const tiedSession = new OrtSession(ort, {
      modelPath: cachedGraph(tied.config, { ...tied, cacheDir }),
      pool,
      vocabSize: config.vocabSize,
      threads: 1,
      stepTokens: 64,
    });
    const ids = prompt(12, 40);
    const logits = tiedSession.prefill({ slot: 0, past: 0, ids }).slice(0, config.vocabSize);
    expectClose(logits, naiveLogits(config, tensors, ids));
    tiedSession.close();
    rmSync(tiedFolder, { recursive: true });
  });

  test('a damaged graph file is named', () => {
    const path = join(cacheDir, 'damaged.onnx');
    writeFileSync(path, 'no graph');
    expect(() => ort.createSession(path, { threads: 1 })).toThrow(
      `creating a session from ${path}: ONNX Runtime says: `,
    );
    expect(() => ort.createSession(join(cacheDir, 'none.onnx'), { threads: 1 })).toThrow(Fault);
  });

  test('ONNX Runtime’s refusals become Faults', () => {
    expect(() => session.prefill({ slot: 0, past: 600, ids: [1] })).toThrow(/ONNX Runtime says/);
  });
});
