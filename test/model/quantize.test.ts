import { describe, expect, test } from 'bun:test';
import { type Bits, blockSize, packMatrix, unpackMatrix } from '../../src/model/quantize.ts';
import { seededChance } from '../../src/std/prng.ts';

function randomMatrix(seed: number, count: number): Float32Array {
  const chance = seededChance(seed);
  return Float32Array.from({ length: count }, () => chance.u32() / 2 ** 31 - 1);
}

const cases = [4, 8].flatMap((bits) =>
  [128, 256, 1, 7, 96, 130, 576].map((columns) => [bits, columns] as [Bits, number]),
);

describe('packing', () => {
  test.each(cases)('%d bits, %d columns: no weight is off by more than a step', (bits, columns) => {
    const rows = 5;
    const matrix = randomMatrix(columns + bits, rows * columns);
    const packed = packMatrix([matrix], columns, bits);
    const back = unpackMatrix(packed);
    for (let row = 0; row < rows; row++) {
      for (let from = 0; from < columns; from += blockSize) {
        const begin = row * columns + from;
        const end = row * columns + Math.min(columns, from + blockSize);
        const block = matrix.subarray(begin, end);
        const farthest = block.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
        // Half a step where rounding decides, nearly one where the positive end is cut off.
        const step = farthest / 2 ** (bits - 1);
        block.forEach((weight, i) => {
          expect(Math.abs(weight - (back[begin + i] ?? 0))).toBeLessThan(1.1 * step);
        });
      }
    }
  });

  test.each([
    [4, 0.09],
    [8, 0.006],
  ] as [Bits, number][])('%d bits: evenly spread weights keep %d of their size', (bits, bound) => {
    const matrix = randomMatrix(3, 64 * 512);
    const back = unpackMatrix(packMatrix([matrix], 512, bits));
    const error = matrix.reduce((sum, x, i) => sum + (x - (back[i] ?? 0)) ** 2, 0);
    const size = matrix.reduce((sum, x) => sum + x * x, 0);
    expect(Math.sqrt(error / size)).toBeLessThan(bound);
  });

  test.each([4, 8] as Bits[])('%d bits: what codes can say exactly comes back exactly', (bits) => {
    const half = 2 ** (bits - 1);
    const matrix = Float32Array.from({ length: 256 }, (_, i) => ((i * 37) % (2 * half)) - half);
    matrix[0] = -half;
    matrix[128] = -half;
    expect(unpackMatrix(packMatrix([matrix], 128, bits))).toEqual(matrix);
  });

  test('the blob as the operator reads it: even k in the low half, the tail filled with zeros', () => {
    const matrix = new Float32Array(130);
    matrix.set([-8, 7, 1], 0);
    matrix.set([-8, 3], 128);
    const { blob, scales, rows } = packMatrix([matrix], 130, 4);
    expect([rows, blob.length, scales.length]).toEqual([1, 128, 2]);
    expect([...blob.subarray(0, 3)]).toEqual([0xf0, 0x89, 0x88]);
    expect([...blob.subarray(64, 66)]).toEqual([0xb0, 0x88]);
    expect(new Set(blob.subarray(65))).toEqual(new Set([0x88]));
    expect([...scales]).toEqual([1, 1]);
  });

  test('matrices are put below one another', () => {
    const [a, b] = [randomMatrix(1, 3 * 40), randomMatrix(2, 2 * 40)];
    const both = unpackMatrix(packMatrix([a, b], 40, 8));
    expect(both.subarray(0, 120)).toEqual(unpackMatrix(packMatrix([a], 40, 8)));
    expect(both.subarray(120)).toEqual(unpackMatrix(packMatrix([b], 40, 8)));
  });

  test('a block of zeros is one', () => {
    const packed = packMatrix([new Float32Array(128)], 128, 4);
    expect(packed.scales[0]).toBe(0);
    expect(unpackMatrix(packed)).toEqual(new Float32Array(128));
  });
});
