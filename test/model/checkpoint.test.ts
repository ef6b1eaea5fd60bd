// Quantized checkpoints: what is read of them is what their formats' definitions say, MatMulNBits over
// what was rearranged is the plain product, and whole models of each format answer as their dequantized
// selves.

import { afterAll, describe, expect, test } from 'bun:test';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvPool } from '../../src/kv/pool.ts';
import { findMatrix, rowsOf } from '../../src/model/checkpoint/matrix.ts';
import { readScheme, type Scheme } from '../../src/model/checkpoint/scheme.ts';
import { fp8Values } from '../../src/model/dtype.ts';
import { openModel } from '../../src/model/folder.ts';
import { cachedGraph } from '../../src/model/graph-cache.ts';
import { Graph } from '../../src/model/onnx/graph.ts';
import { linear } from '../../src/model/onnx/linear.ts';
import { elementType, Ort } from '../../src/model/ort.ts';
import { ortLibraryPath } from '../../src/model/ort-library.ts';
import type { Bits, Quantization } from '../../src/model/quantize.ts';
import { readWeights } from '../../src/model/safetensors.ts';
import { OrtSession } from '../../src/model/session.ts';
import { writeWeights } from '../../src/model/weight-writer.ts';
import { toFault } from '../../src/std/fault.ts';
import { mapAnonymousMemory, viewFloats } from '../../src/std/memory.ts';
import { seededChance } from '../../src/std/prng.ts';
import {
  e4m3,
  type Format,
  randomLayer,
  type Stored,
  type StoredTensors,
  stored,
  storedFile,
} from './checkpoint-world.ts';
import { naiveLogits, type TinyTensors, tinyConfig, tinyTensors } from './tiny-llama.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'tdist-checkpoint-'));
const ort = new Ort(await ortLibraryPath(cacheDir));
afterAll(() => rmSync(cacheDir, { recursive: true }));

function quantizationConfig(format: Format): Record<string, unknown> {
  switch (format.kind) {
    case 'gptq': {
      const checkpoint_format = format.version === 1 ? 'gptq' : 'gptq_v2';
      const { group: group_size, isSymmetric: sym } = format;
      return { quant_method: 'gptq', bits: 4, group_size, sym, desc_act: true, checkpoint_format };
    }
    case 'awq':
      return { quant_method: 'awq', bits: 4, group_size: format.group, version: 'GEMM' };
    case 'fp8':
      return format.scales === 'block'
        ? { quant_method: 'fp8', activation_scheme: 'dynamic', weight_block_size: [128, 128] }
        : compressed(
            format.scales === 'tensor' || format.scales === 'scalar' ? 'tensor' : 'channel',
          );
  }
}

function compressed(strategy: string): Record<string, unknown> {
  const weights = { num_bits: 8, type: 'float', strategy, symmetric: true, dynamic: false };
  const input_activations = { ...weights, dynamic: strategy === 'channel' };
  return {
    quant_method: 'compressed-tensors',
    format: strategy === 'tensor' ? 'float-quantized' : 'naive-quantized',
    config_groups: { group_0: { targets: ['Linear'], weights, input_activations } },
    ignore: ['lm_head'],
    kv_cache_scheme: null,
    quantization_status: 'frozen',
  };
}

const schemeOf = (format: Format): Scheme =>
  readScheme({ quantization_config: quantizationConfig(format) }, 'config.json');

const int4Formats: readonly Format[] = [
  ...[32, 64, 128, -1].flatMap((group): Format[] => [
    { kind: 'gptq', group, version: 1, isSymmetric: true },
    { kind: 'gptq', group, version: 1, isSymmetric: false },
    { kind: 'gptq', group, version: 2, isSymmetric: false },
    { kind: 'awq', group, isSymmetric: false },
  ]),
  { kind: 'gptq', group: 64, version: 2, isSymmetric: true },
  { kind: 'awq', group: 64, isSymmetric: true },
];
const fp8Formats = (['tensor', 'scalar', 'channel', 'vector', 'block'] as const).map(
  (scales): Format => ({ kind: 'fp8', scales }),
);
const mixed: Format = { kind: 'gptq', group: 32, version: 1, isSymmetric: false, order: 'mixed' };

const labelled = (formats: readonly Format[]) =>
  formats.map((format) => [Object.values(format).join(' '), format] as const);

describe('rows are what the format defines', () => {
  test.each(labelled([...int4Formats, ...fp8Formats, mixed]))('%s', (_, format) => {
    const size = { rows: 136, columns: 384, seed: 3 };
    const { tensors, matrix } = randomLayer(format, 'a.b', size);
    const weights = readWeights([{ name: 'w', bytes: storedFile(tensors) }]);
    const found = findMatrix({ weights, scheme: schemeOf(format) }, 'a.b', [136, 384]);
    const off = (from: number, values: Float32Array): number =>
      values.findIndex((value, i) => Math.abs(value - (matrix[from + i] ?? 0)) > 1e-7);
    expect(off(0, rowsOf(found, 0, 136))).toBe(-1);
    // From any row to any: pieces begin where they like.
    for (const [begin, end] of [
      [3, 17],
      [130, 136],
      [8, 9],
    ] as const) {
      const rows = rowsOf(found, begin, end);
      expect(rows.length).toBe((end - begin) * 384);
      expect(off(begin * 384, rows)).toBe(-1);
    }
  });

  test('a zero point of 15 in format 1 of GPTQ is −1 + 1', () => {
    const { tensors } = randomLayer(int4Formats[1] ?? mixed, 'a', {
      rows: 8,
      columns: 32,
      seed: 1,
    });
    tensors.set('a.qzeros', stored('I32', [1, 1], Uint32Array.of(0xffff_ffff)));
    tensors.set('a.qweight', stored('I32', [4, 8], new Uint32Array(32).fill(0x5555_5555)));
    tensors.set('a.scales', stored('F16', [1, 8], new Float16Array(8).fill(1)));
    const weights = readWeights([{ name: 'w', bytes: storedFile(tensors) }]);
    const scheme: Scheme = { kind: 'gptq', group: 32, zeroOffset: 1 };
    const rows = rowsOf(findMatrix({ weights, scheme }, 'a', [8, 32]), 0, 8);
    expect(rows.every((value) => value === 5)).toBeTrue();
  });

  test('every fp8 code', () => {
    for (let byte = 0; byte < 256; byte++) {
      const half = new Float16Array(Uint16Array.of(byte << 8).buffer)[0] ?? 0;
      const finite = Number.isFinite(half) ? half : Number.NaN;
      expect(fp8Values.F8_E5M2[byte]).toBe(finite);
      expect(fp8Values.F8_E4M3[byte]).toBe((byte & 0x7f) === 0x7f ? Number.NaN : e4m3(byte));
    }
    expect([0x7e, 0x38, 0xc0, 0x01].map((byte) => fp8Values.F8_E4M3[byte])).toEqual([
      448,
      1,
      -2,
      2 ** -9,
    ]);
  });
});

/** |found − wanted| / |wanted|, both as lengths of vectors. */
function relativeError(found: ArrayLike<number>, wanted: readonly number[]): number {
  const error = wanted.reduce((sum, x, i) => sum + (x - (found[i] ?? 0)) ** 2, 0);
  return Math.sqrt(error / wanted.reduce((sum, x) => sum + x * x, 0));
}

/** input [batch, columns] times the layers, below one another, by the operator that stands for them. */
function multiply(
  format: Format,
  layers: readonly { name: string; rows: number }[],
  file: StoredTensors,
  options: { input: Float32Array; columns: number; bits: Bits | null },
): Float32Array {
  const { input, columns, bits } = options;
  const rows = layers.reduce((sum, layer) => sum + layer.rows, 0);
  const batch = input.length / columns;
  const weights = readWeights([{ name: 'w', bytes: storedFile(file) }]);
  const source = { weights, scheme: schemeOf(format) };
  const parts = layers.map((layer) => findMatrix(source, layer.name, [layer.rows, columns]));
  const graph = new Graph('one', 'one.bin');
  graph.input('x', 'float32', ['batch', columns]);
  linear(graph, { name: 'w', input: 'x', output: 'y', parts, scale: 0.5, bits });
  graph.output('y', 'float32', ['batch', rows]);
  const path = join(cacheDir, 'one.onnx');
  writeFileSync(path, graph.finish());
  const fd = openSync(join(cacheDir, 'one.bin'), 'w');
  writeWeights(graph.placed, fd);
  closeSync(fd);
  const [x, y] = [columns, rows].map((width) => mapAnonymousMemory(batch * width * 4));
  if (x === undefined || y === undefined) throw new Error('no memory');
  viewFloats(x.address, input.length).set(input);
  const session = ort.createSession(path, { threads: 1 });
  const [ins, outs] = [ort.tensorList(['x']), ort.tensorList(['y'])];
  const tensor = (address: number, width: number): bigint =>
    BigInt(ort.createTensor(address, batch * width * 4, [batch, width], elementType.float32));
  ins.handles[0] = tensor(x.address, columns);
  outs.handles[0] = tensor(y.address, rows);
  ort.run(session, ins, outs);
  ort.releaseSession(session);
  return Float32Array.from(viewFloats(y.address, batch * rows));
}

function plainProduct(matrix: Float32Array, input: Float32Array, columns: number): number[] {
  const [rows, batch] = [matrix.length / columns, input.length / columns];
  return Array.from({ length: batch * rows }, (_, at) => {
    const [b, row] = [Math.floor(at / rows), at % rows];
    let sum = 0;
    for (let k = 0; k < columns; k++) {
      sum += (input[b * columns + k] ?? 0) * (matrix[row * columns + k] ?? 0);
    }
    return sum / 2; // the scale given above
  });
}

describe('one operator over three matrices of a file is the plain product', () => {
  // The input is rounded to 8 bits a block, and fp8 to 8 or 4 bits; 4-bit codes are not rounded again.
  const cases = [
    ...int4Formats.map((format) => [format, 4, 0.012] as const),
    ...int4Formats.slice(0, 4).map((format) => [format, null, 1e-5] as const),
    ...fp8Formats.map((format) => [format, 8, 0.02] as const),
    ...fp8Formats.map((format) => [format, null, 1e-5] as const),
    [mixed, 8, 0.02] as const,
    [mixed, null, 1e-5] as const,
  ];
  for (const [format, bits, bound] of cases) {
    test(`${Object.values(format).join(' ')}, as ${bits ?? 'float32'}`, () => {
      const columns = 384;
      const file: StoredTensors = new Map();
      const layers = [40, 16, 24].map((rows, i) => ({ name: `part${i}`, rows }));
      const matrices = layers.map(({ name, rows }, seed) => {
        const layer = randomLayer(format, name, { rows, columns, seed });
        for (const [key, tensor] of layer.tensors) file.set(key, tensor);
        return [...layer.matrix];
      });
      const matrix = Float32Array.from(matrices.flat());
      const chance = seededChance(9);
      const input = Float32Array.from({ length: 3 * columns }, () => chance.u32() / 2 ** 31 - 1);
      const found = multiply(format, layers, file, { input, columns, bits });
      const wanted = plainProduct(matrix, input, columns);
      const perBatch = matrices.flat().length / columns;
      expect(found.length).toBe(3 * perBatch);
      expect(relativeError(found, wanted)).toBeLessThan(bound);
    });
  }

  test('a layer that was left alone is quantized in the groups of its neighbours', () => {
    const format: Format = { kind: 'awq', group: 32, isSymmetric: false };
    const columns = 64;
    const { tensors, matrix } = randomLayer(format, 'a', { rows: 16, columns, seed: 1 });
    const chance = seededChance(2);
    const plain = Float32Array.from({ length: 8 * columns }, () => chance.u32() / 2 ** 31 - 1);
    tensors.set('b.weight', stored('F32', [8, columns], plain));
    const layers = [
      { name: 'a', rows: 16 },
      { name: 'b', rows: 8 },
    ];
    const input = Float32Array.from({ length: columns }, () => chance.u32() / 2 ** 31 - 1);
    const found = multiply(format, layers, tensors, { input, columns, bits: 4 });
    const wanted = [matrix, plain].map((one) => plainProduct(one, input, columns));
    expect(relativeError(found.subarray(0, 16), wanted[0] ?? [])).toBeLessThan(0.012);
    expect(relativeError(found.subarray(16), wanted[1] ?? [])).toBeLessThan(0.12);
  });
});

/** The tiny model with its layers' matrices in `format`: the folder, and what its weights are. */
function writeModel(format: Format): { folder: string; plain: TinyTensors } {
  const file: StoredTensors = new Map();
  const plain = new Map<string, { shape: number[]; values: Float32Array }>();
  let seed = 1;
  for (const [name, { shape, values }] of tinyTensors(4)) {
    const [rows = 0, columns = 0] = shape;
    if (!name.includes('_proj')) {
      file.set(name, stored('F32', shape, values));
      plain.set(name, { shape, values });
      continue;
    }
    const base = name.replace(/\.weight$/, '');
    const layer = randomLayer(format, base, { rows, columns, seed: seed++ });
    for (const [key, tensor] of layer.tensors) file.set(key, tensor);
    plain.set(name, { shape, values: layer.matrix });
  }
  const folder = mkdtempSync(join(cacheDir, 'model-'));
  const config = { ...tinyConfig, quantization_config: quantizationConfig(format) };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'model.safetensors'), storedFile(file));
  for (const text of ['tokenizer.json', 'tokenizer_config.json']) {
    writeFileSync(join(folder, text), '{}');
  }
  return { folder, plain };
}

// Weights with a wider range than trained ones have: eight bits cost more than usual.
const asked = { auto: 0.06, none: 1e-4, int8: 0.06 } as const;

describe('a whole model answers as its dequantized self', () => {
  const formats: readonly (readonly [Format, Quantization])[] = [
    [{ kind: 'gptq', group: 32, version: 1, isSymmetric: false }, 'int4'],
    [{ kind: 'awq', group: 32, isSymmetric: false }, 'int4'],
    [{ kind: 'fp8', scales: 'tensor' }, 'int8'],
    [{ kind: 'fp8', scales: 'channel' }, 'int8'],
    [{ kind: 'fp8', scales: 'block' }, 'int8'],
  ];
  const cases = formats.flatMap(([format, usual]) =>
    (['auto', 'none', 'int8'] as const).map((ask) => [format, usual, ask] as const),
  );
  for (const [format, usual, ask] of cases) {
    test(`${Object.values(format).join(' ')}, --quantization ${ask}`, () => {
      const { folder, plain } = writeModel(format);
      const model = openModel(folder, ask);
      expect(model.quantization).toBe(ask === 'auto' ? usual : ask);
      const { config } = model;
      const { layers, kvHeads, headDim, vocabSize } = config;
      const geometry = { layers, kvHeads, headDim, blockTokens: 16 };
      const pool = new KvPool(geometry, { slots: 1, capacity: 64 });
      const modelPath = cachedGraph(config, { ...model, cacheDir });
      const session = new OrtSession(ort, {
        ...{ modelPath, pool, vocabSize },
        ...{ threads: 1, stepTokens: 64 },
      });
      const ids = Array.from({ length: 23 }, (_, i) => (i * 37 + 101) % vocabSize);
      const found = session.prefill({ slot: 0, past: 0, ids }).slice(0, vocabSize);
      session.close();
      pool.close();
      expect(relativeError(found, naiveLogits(config, plain, ids))).toBeLessThan(asked[ask]);
    });
  }

  test('what its user is told', () => {
    const notes = (format: Format, ask: 'auto' | 'int8') =>
      openModel(writeModel(format).folder, ask).notes;
    expect(notes({ kind: 'fp8', scales: 'tensor' }, 'auto')).toEqual([
      'weights are fp8: computed with as int8; --quantization chooses otherwise',
      'its input_scale is not used: activations are not fp8 on a CPU',
    ]);
    expect(notes({ kind: 'fp8', scales: 'channel' }, 'int8')).toEqual([]);
    expect(notes({ kind: 'awq', group: 32, isSymmetric: false }, 'auto')).toEqual([
      'weights are 4-bit already (awq): kept as they are',
    ]);
  });
});

describe('bad files each give one line', () => {
  const awq: Format = { kind: 'awq', group: 32, isSymmetric: false };
  const gptq: Format = { kind: 'gptq', group: 32, version: 1, isSymmetric: false };
  const fp8: Format = { kind: 'fp8', scales: 'channel' };
  const block: Format = { kind: 'fp8', scales: 'block' };
  const size = { rows: 16, columns: 64, seed: 1 };

  /** What reading all of a layer says after `change`. */
  function flaw(format: Format, change: (tensors: StoredTensors) => void, bits: Bits = 4): string {
    const { tensors } = randomLayer(format, 'a', size);
    change(tensors);
    try {
      const input = new Float32Array(64);
      multiply(format, [{ name: 'a', rows: 16 }], tensors, { input, columns: 64, bits });
    } catch (thrown) {
      const { code, message } = toFault(thrown);
      return `${code}: ${message}`;
    }
    return 'none';
  }
  const changed = (
    tensors: StoredTensors,
    name: string,
    change: (tensor: Stored) => Stored,
  ): void => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`no ${name}`);
    tensors.set(name, change(tensor));
  };
  const halves = (...values: number[]) => ({
    bytes: new Uint8Array(new Float16Array(values).buffer),
  });
  const floats = (...values: number[]) => ({
    bytes: new Uint8Array(new Float32Array(values).buffer),
  });

  const cases: readonly (readonly [string, Format, (tensors: StoredTensors) => void, string])[] = [
    ['no scales', awq, (t) => t.delete('a.scales'), 'config: w: tensor a.scales is missing'],
    ['no zero points', gptq, (t) => t.delete('a.qzeros'), 'config: w: tensor a.qzeros is missing'],
    [
      'no weight at all',
      gptq,
      (t) => t.delete('a.qweight'),
      'config: w: tensor a.weight is missing',
    ],
    [
      'no scale beside fp8',
      fp8,
      (t) => t.delete('a.weight_scale'),
      'config: w: tensor a.weight_scale is missing',
    ],
    [
      'scales of another group size',
      awq,
      (t) => changed(t, 'a.scales', () => stored('F16', [1, 16], new Float16Array(16))),
      'config: w: tensor a.scales has shape [1, 16], config.json wants [2, 16]',
    ],
    [
      'codes of another layer',
      gptq,
      (t) => changed(t, 'a.qweight', () => stored('I32', [4, 16], new Int32Array(64))),
      'config: w: tensor a.qweight has shape [4, 16], config.json wants [8, 16]',
    ],
    [
      'codes that are floats',
      awq,
      (t) => changed(t, 'a.qweight', (tensor) => ({ ...tensor, dtype: 'F32' })),
      'config: w: tensor a.qweight is F32, wanted I32',
    ],
    [
      'a NaN among the scales of AWQ',
      awq,
      (t) =>
        changed(t, 'a.scales', (one) => ({
          ...one,
          ...halves(...new Array(31).fill(1), Number.NaN),
        })),
      'config: w: tensor a.scales has NaN at 31, wanted a finite number; download it again',
    ],
    [
      'an infinite scale of GPTQ',
      gptq,
      (t) =>
        changed(t, 'a.scales', (one) => ({
          ...one,
          ...halves(Infinity, ...new Array(31).fill(1)),
        })),
      'config: w: tensor a.scales has Infinity at 0, wanted a finite number; download it again',
    ],
    [
      'a NaN among the scales of fp8',
      fp8,
      (t) =>
        changed(t, 'a.weight_scale', (one) => ({
          ...one,
          ...floats(...new Array(15).fill(1), Number.NaN),
        })),
      'config: w: tensor a.weight_scale has NaN at 15, wanted a finite number; download it again',
    ],
    [
      'a NaN among fp8 weights',
      fp8,
      (t) => changed(t, 'a.weight', (one) => ({ ...one, bytes: one.bytes.with(5 * 64 + 2, 0x7f) })),
      'config: w: tensor a.weight has a value in row 5 that is no finite number; download it again',
    ],
    [
      'fp8 scales of a strange shape',
      block,
      (t) => changed(t, 'a.weight_scale_inv', () => stored('F32', [3, 2], new Float32Array(6))),
      "config: w: tensor a.weight_scale_inv has shape [3, 2]; the weight's [16, 64] wants [1], [16, 1] or [1, 1]",
    ],
    [
      'act-order at four bits',
      mixed,
      () => undefined,
      'config: w: tensor a.qweight has its columns in act-order (desc_act), which MatMulNBits does not read; give --quantization int8, for which it is quantized anew',
    ],
  ];
  for (const [name, format, change, says] of cases) {
    test(name, () => {
      expect(flaw(format, () => undefined, format === mixed ? 8 : 4)).toBe('none');
      expect(flaw(format, change)).toBe(says);
    });
  }

  test('fp8 weights in a file whose config does not say so', () => {
    const { tensors } = randomLayer(fp8, 'a', size);
    const weights = readWeights([{ name: 'w', bytes: storedFile(tensors) }]);
    const found = findMatrix({ weights, scheme: { kind: 'dense' } }, 'a', [16, 64]);
    expect(() => rowsOf(found, 0, 1)).toThrow(
      'w: tensor a.weight is F8_E4M3; this version reads F32, F16 and BF16 there',
    );
  });
});

describe('quantization_config', () => {
  const scheme = (quantization_config: unknown) =>
    readScheme({ quantization_config }, 'config.json');
  const refused = (quantization_config: unknown): string => {
    try {
      scheme(quantization_config);
      return 'none';
    } catch (thrown) {
      return toFault(thrown).message;
    }
  };
  const gptq = { quant_method: 'gptq', bits: 4, group_size: 128 };
  const awq = { quant_method: 'awq', bits: 4, group_size: 128, zero_point: true, version: 'gemm' };

  test('what is read', () => {
    expect(scheme(null)).toEqual({ kind: 'dense' });
    expect(scheme(gptq)).toEqual({ kind: 'gptq', group: 128, zeroOffset: 1 });
    expect(scheme({ ...gptq, group_size: -1, checkpoint_format: 'gptq_v2' })).toEqual({
      kind: 'gptq',
      group: null,
      zeroOffset: 0,
    });
    expect(scheme(awq)).toEqual({ kind: 'awq', group: 128 });
    expect(scheme({ quant_method: 'awq', w_bit: 4, q_group_size: 64 })).toEqual({
      kind: 'awq',
      group: 64,
    });
    expect(scheme({ quant_method: 'fp8', activation_scheme: 'static' })).toEqual({
      kind: 'fp8',
      block: [128, 128],
      notes: ['its input_scale is not used: activations are not fp8 on a CPU'],
    });
    expect(readScheme({ compression_config: compressed('channel') }, 'c').kind).toBe('fp8');
  });

  test.each([
    [{ ...gptq, bits: 8 }, 'quantization_config.bits is 8; this version reads 4'],
    [{ ...gptq, group_size: 16 }, 'quantization_config.group_size is 16; wanted 32, 64, 128 or -1'],
    [
      { ...gptq, checkpoint_format: 'marlin' },
      'quantization_config.checkpoint_format is "marlin"; ',
    ],
    [{ ...gptq, dynamic: { '-:x': {} } }, 'quantization_config.dynamic is {"-:x":{}}; layers with'],
    [
      { ...awq, version: 'gemv' },
      'quantization_config.version is "gemv"; this version reads "gemm"',
    ],
    [{ ...awq, zero_point: false }, 'quantization_config.zero_point is false; '],
    [
      { ...compressed('tensor'), format: 'pack-quantized' },
      'quantization_config.format is "pack-quantized"; this version reads ("float-quantized" | "naive-quantized")',
    ],
    [
      { ...compressed('group') },
      'quantization_config.config_groups.group_0.weights.strategy is "group"',
    ],
    [{ quant_method: 'hqq' }, 'quantization_config.quant_method is hqq; this version reads fp8,'],
    [{}, 'quantization_config.quant_method is none; '],
    ['fp8', 'quantization_config is "fp8"; '],
  ])('%j is refused', (config, says) => {
    expect(refused(config)).toStartWith(`config.json: ${says}`);
  });
});
