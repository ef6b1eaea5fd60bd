// MatMulNBits against the plain computation over the dequantized weights. The operator also rounds its
// input to 8 bits a block (accuracy level 4), so the bounds are wider than float32's.

import { afterAll, describe, expect, test } from 'bun:test';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvPool } from '../../src/kv/pool.ts';
import { openModel } from '../../src/model/folder.ts';
import { cachedGraph } from '../../src/model/graph-cache.ts';
import { Graph } from '../../src/model/onnx/graph.ts';
import { linear } from '../../src/model/onnx/linear.ts';
import { elementType, Ort } from '../../src/model/ort.ts';
import { ortLibraryPath } from '../../src/model/ort-library.ts';
import { type Bits, packMatrix, unpackMatrix } from '../../src/model/quantize.ts';
import { OrtSession } from '../../src/model/session.ts';
import { writeWeights } from '../../src/model/weight-writer.ts';
import { mapAnonymousMemory, viewFloats } from '../../src/std/memory.ts';
import { seededChance } from '../../src/std/prng.ts';
import { denseMatrix } from './matrix-world.ts';
import { naiveLogits, type TinyTensors, tinyTensors, writeTinyModel } from './tiny-llama.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'tdist-quantized-'));
const folder = writeTinyModel(7);
const ort = new Ort(await ortLibraryPath(cacheDir));
afterAll(() => {
  rmSync(folder, { recursive: true });
  rmSync(cacheDir, { recursive: true });
});

function randomFloats(seed: number, count: number): Float32Array {
  const chance = seededChance(seed);
  return Float32Array.from({ length: count }, () => chance.u32() / 2 ** 31 - 1);
}

/** |found − wanted| / |wanted|, both as lengths of vectors. */
function relativeError(found: ArrayLike<number>, wanted: readonly number[]): number {
  const error = wanted.reduce((sum, x, i) => sum + (x - (found[i] ?? 0)) ** 2, 0);
  return Math.sqrt(error / wanted.reduce((sum, x) => sum + x * x, 0));
}

const ends = { input: 'x', output: 'y' };

describe('one operator', () => {
  const rows = 24;
  test.each([4, 8].flatMap((bits) => [128, 40, 200, 576].map((k) => [bits, k] as [Bits, number])))(
    '%d bits, K = %d',
    (bits, columns) => {
      const matrix = randomFloats(columns, rows * columns);
      const graph = new Graph('one', 'one.bin');
      graph.input('x', 'float32', ['batch', columns]);
      linear(graph, { ...ends, name: 'w', parts: [denseMatrix(matrix, columns)], scale: 1, bits });
      graph.output('y', 'float32', ['batch', rows]);
      const path = join(cacheDir, 'one.onnx');
      writeFileSync(path, graph.finish());
      const fd = openSync(join(cacheDir, 'one.bin'), 'w');
      writeWeights(graph.placed, fd);
      closeSync(fd);
      const batch = 3;
      const x = mapAnonymousMemory(batch * columns * 4);
      const y = mapAnonymousMemory(batch * rows * 4);
      const input = randomFloats(1, batch * columns);
      viewFloats(x.address, input.length).set(input);
      const session = ort.createSession(path, { threads: 1 });
      const [ins, outs] = [ort.tensorList(['x']), ort.tensorList(['y'])];
      const tensor = (at: { address: number; bytes: number }, width: number): bigint =>
        BigInt(
          ort.createTensor(at.address, batch * width * 4, [batch, width], elementType.float32),
        );
      ins.handles[0] = tensor(x, columns);
      outs.handles[0] = tensor(y, rows);
      ort.run(session, ins, outs);
      const weights = unpackMatrix(packMatrix([matrix], columns, bits));
      const wanted = Array.from({ length: batch * rows }, (_, at) => {
        const [b, row] = [Math.floor(at / rows), at % rows];
        let sum = 0;
        for (let k = 0; k < columns; k++) {
          sum += (input[b * columns + k] ?? 0) * (weights[row * columns + k] ?? 0);
        }
        return sum;
      });
      expect(relativeError(viewFloats(y.address, batch * rows), wanted)).toBeLessThan(0.01);
      ort.releaseSession(session);
    },
  );
});

/** The tiny model with every matrix as its integers say; the embedding stays as it is. */
function dequantized(tensors: TinyTensors, bits: Bits): TinyTensors {
  return new Map(
    [...tensors].map(([name, { shape, values }]) => {
      const stays = shape.length === 1 || name === 'model.embed_tokens.weight';
      const own = name === 'lm_head.weight' ? 8 : bits; // the head has eight bits in any case
      const rounded = (): Float32Array => unpackMatrix(packMatrix([values], shape[1] ?? 1, own));
      return [name, { shape, values: stays ? values : rounded() }] as const;
    }),
  );
}

describe('the tiny model', () => {
  test.each([
    ['int8', 8],
    ['int4', 4],
  ] as const)('%s agrees with its dequantized self', (quantization, bits) => {
    const model = openModel(folder, quantization);
    const { config } = model;
    const { layers, kvHeads, headDim, vocabSize } = config;
    const pool = new KvPool(
      { layers, kvHeads, headDim, blockTokens: 16 },
      { slots: 2, capacity: 64 },
    );
    const session = new OrtSession(ort, {
      modelPath: cachedGraph(config, { ...model, cacheDir }),
      pool,
      vocabSize,
      threads: 1,
      stepTokens: 64,
    });
    const ids = Array.from({ length: 23 }, (_, i) => (i * 37 + 101) % vocabSize);
    const whole = session.prefill({ slot: 0, past: 0, ids }).slice(0, vocabSize);
    const wanted = naiveLogits(config, dequantized(tinyTensors(7), bits), ids);
    expect(relativeError(whole, wanted)).toBeLessThan(0.03);
    session.prefill({ slot: 1, past: 0, ids: ids.slice(0, 22) });
    const last = ids.slice(22);
    const chunked = session.prefill({ slot: 1, past: 22, ids: last }).slice(0, vocabSize);
    expect(relativeError(chunked, wanted)).toBeLessThan(0.03);
    session.close();
    pool.close();
  });

  test('each quantization is a model of its own: digest and graph differ', () => {
    const models = (['none', 'int8', 'int4'] as const).map((kind) => openModel(folder, kind));
    expect(new Set(models.map((model) => model.modelDigest)).size).toBe(3);
    const paths = models.map((model) => cachedGraph(model.config, { ...model, cacheDir }));
    expect(new Set(paths).size).toBe(3);
  });
});
