import { describe, expect, test } from 'bun:test';
import { toFloat32 } from '../../src/model/dtype.ts';
import { readWeights } from '../../src/model/safetensors.ts';
import { toFault } from '../../src/std/fault.ts';
import { safetensors } from './tiny-llama.ts';

/** A file of a header as given and `dataBytes` bytes after it. */
function fileOf(header: unknown, dataBytes = 0): Uint8Array {
  const text = typeof header === 'string' ? header : JSON.stringify(header);
  const json = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + json.byteLength + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.byteLength), true);
  bytes.set(json, 8);
  return bytes;
}

function flaw(bytes: Uint8Array): string {
  try {
    readWeights([{ name: 'w.safetensors', bytes }]);
  } catch (thrown) {
    const { code, message } = toFault(thrown);
    return `${code}: ${message}`;
  }
  return 'none';
}

const entry = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  dtype: 'F32',
  shape: [2, 2],
  data_offsets: [0, 16],
  ...changes,
});

describe('readWeights', () => {
  test('gives tensors by name with their values', () => {
    const [a, b] = [Float32Array.of(1, -2, 3, 4.5, 0, -0), Float32Array.of(7)];
    const bytes = safetensors(
      new Map([
        ['a', { shape: [2, 3], values: a }],
        ['b', { shape: [], values: b }],
      ]),
    );
    const weights = readWeights([{ name: 'w', bytes }]);
    expect(weights.get('a', [2, 3]).floats()).toEqual(a);
    expect(weights.get('b', []).floats()).toEqual(b);
    expect([weights.has('a'), weights.has('c')]).toEqual([true, false]);
  });

  test('joins files, and leaves metadata alone', () => {
    const one = fileOf({ __metadata__: { format: 'pt' }, a: entry() }, 16);
    const two = fileOf({ b: entry({ shape: [4] }) }, 16);
    const weights = readWeights([
      { name: 'one', bytes: one },
      { name: 'two', bytes: two },
    ]);
    expect([weights.has('a'), weights.has('b'), weights.has('__metadata__')]).toEqual([
      true,
      true,
      false,
    ]);
  });

  test('reads a file that lies at an odd place in memory', () => {
    const file = safetensors(new Map([['a', { shape: [2], values: Float32Array.of(1.5, -8) }]]));
    for (let shift = 0; shift < 4; shift++) {
      const memory = new Uint8Array(file.byteLength + 8);
      memory.set(file, shift);
      const bytes = memory.subarray(shift, shift + file.byteLength);
      const weights = readWeights([{ name: 'w', bytes }]);
      expect([...weights.get('a', [2]).floats()]).toEqual([1.5, -8]);
    }
  });

  test('a missing tensor and one of another shape are named with both shapes', () => {
    const weights = readWeights([{ name: 'w.safetensors', bytes: fileOf({ a: entry() }, 16) }]);
    expect(() => weights.get('lm_head.weight', [2])).toThrow(
      'w.safetensors: tensor lm_head.weight is missing',
    );
    expect(() => weights.get('a', [4])).toThrow(
      'w.safetensors: tensor a has shape [2, 2], config.json wants [4]',
    );
  });

  const broken: readonly [name: string, bytes: Uint8Array, says: string][] = [
    ['an empty file', new Uint8Array(), '0 bytes, wanted at least 8'],
    ['seven bytes', new Uint8Array(7), '7 bytes, wanted at least 8'],
    ['a header longer than the file', fileOf('{}').fill(0xff, 0, 2), 'header of 65535 bytes in a'],
    ['an absurd header length', fileOf('{}').fill(0xff, 0, 8), 'header of 18446744073709552000'],
    ['a header that is not JSON', fileOf('{"a":'), 'its header is not JSON'],
    ['a header that is not UTF-8', fileOf('{}').fill(0xc3, 8, 9), 'its header is not JSON'],
    ['a header that is a number', fileOf('7'), 'its header is not an object'],
    ['a header that is null', fileOf('null'), 'its header is not an object'],
    ['an entry without dtype', fileOf({ a: entry({ dtype: undefined }) }, 16), 'entry of tensor a'],
    [
      'a negative offset',
      fileOf({ a: entry({ data_offsets: [-4, 12] }) }, 16),
      'entry of tensor a',
    ],
    ['half an offset', fileOf({ a: entry({ data_offsets: [0] }) }, 16), 'entry of tensor a'],
    ['a negative dimension', fileOf({ a: entry({ shape: [-2, -2] }) }, 16), 'entry of tensor a'],
    ['a file cut short', fileOf({ a: entry() }, 15), 'tensor a ends at byte 16 of 15'],
    [
      'offsets outside the file',
      fileOf({ a: entry({ data_offsets: [1000, 1016] }) }, 16),
      'tensor a ends at byte 1016 of 16',
    ],
    [
      'offsets in the wrong order',
      fileOf({ a: entry({ data_offsets: [16, 0] }) }, 16),
      'tensor a ends at byte 0 of 16',
    ],
    [
      'a shape that is larger than its bytes',
      fileOf({ a: entry({ shape: [2, 3] }) }, 16),
      'tensor a has 16 bytes, its shape wants 24',
    ],
    [
      'an absurd shape',
      fileOf({ a: entry({ shape: [2 ** 40, 2 ** 40] }) }, 16),
      'tensor a has 16 bytes, its shape wants',
    ],
  ];
  for (const [name, bytes, says] of broken) {
    test(`refuses ${name}`, () => {
      const found = flaw(bytes);
      expect(found).toStartWith('config: w.safetensors is not a valid safetensors file: ');
      expect(found).toContain(says);
      expect(found).toEndWith('; download it again');
    });
  }

  test('every cut of a good file is refused or misses the tensor, never read beyond', () => {
    const file = fileOf({ a: entry() }, 16);
    for (let length = 0; length < file.byteLength; length++) {
      expect(flaw(file.slice(0, length))).toStartWith('config: w.safetensors');
    }
    expect(flaw(file)).toBe('none');
  });

  test('a dtype that no such file has is refused by name', () => {
    for (const dtype of ['F4', 'toString']) {
      expect(flaw(fileOf({ a: entry({ dtype }) }, 16))).toStartWith(
        `config: w.safetensors: tensor a is ${dtype}; this version knows F32, F16, BF16, `,
      );
    }
  });

  test('one that is no float is refused where floats are wanted', () => {
    for (const [dtype, size] of [
      ['I32', 4],
      ['F64', 8],
      ['F8_E4M3', 1],
    ] as const) {
      const bytes = fileOf({ a: entry({ dtype, shape: [16 / size] }) }, 16);
      const tensor = readWeights([{ name: 'w', bytes }]).get('a');
      expect(() => tensor.floats()).toThrow(
        `w: tensor a is ${dtype}; this version reads F32, F16 and BF16 there`,
      );
    }
  });
});

describe('toFloat32 is exact', () => {
  test('bf16: every pattern is a float32’s upper half', () => {
    const patterns = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    const words = new Uint32Array(toFloat32(new Uint8Array(patterns.buffer), 'BF16').buffer);
    expect(words.every((word, i) => word === i * 65_536)).toBeTrue();
    const [tiny, inf, minusZero, nan] = toFloat32(
      new Uint8Array(Uint16Array.of(0x0001, 0xff80, 0x8000, 0x7fc0).buffer),
      'BF16',
    );
    expect([tiny, inf, minusZero, nan]).toEqual([2 ** -133, -Infinity, -0, Number.NaN]);
  });

  test('f16: every pattern by the formula, subnormals and infinities too', () => {
    const patterns = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    const values = toFloat32(new Uint8Array(patterns.buffer), 'F16');
    const wrong = values.findIndex((value, i) => !Object.is(value, plainHalf(i)));
    expect(wrong).toBe(-1);
    expect([values[0x0001], values[0x03ff], values[0x7bff], values[0x3555]]).toEqual([
      2 ** -24,
      1023 * 2 ** -24,
      65_504,
      0.333251953125,
    ]);
  });

  test('f32: the bits as they are, without a copy where they lie well', () => {
    const words = Uint32Array.of(1, 0x7f80_0000, 0x8000_0000, 0x3f80_0001);
    const values = toFloat32(new Uint8Array(words.buffer), 'F32');
    expect([...new Uint32Array(values.buffer)]).toEqual([...words]);
    expect(values.buffer).toBe(words.buffer);
  });

  test('bytes at an odd address, of a Buffer too, give the same values', () => {
    for (const dtype of ['F32', 'F16', 'BF16'] as const) {
      const bytes = Uint8Array.of(0, 0x3c, 1, 0x80, 0xff, 0x7b, 0x34, 0x12);
      const memory = Buffer.alloc(32);
      memory.set(bytes, 3);
      const shifted = toFloat32(memory.subarray(3, 11), dtype);
      expect([...shifted]).toEqual([...toFloat32(bytes, dtype)]);
    }
  });

  test('nothing gives nothing', () => {
    for (const dtype of ['F32', 'F16', 'BF16'] as const) {
      expect(toFloat32(new Uint8Array(), dtype).length).toBe(0);
    }
  });
});

/** IEEE 754 binary16 by its definition. */
function plainHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
