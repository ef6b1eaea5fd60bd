// What GPTQ and AWQ have in common: 4-bit codes with a scale and a zero point for each group of columns,
//
//   weight[n][k] = scale[group of k][n] · (code[k][n] − zero[group of k][n])
//
// which is MatMulNBits' own definition. Files have columns outermost and eight codes in a word, the
// operator rows outermost and two in a byte: so they are rearranged, and never become floats.

import type { Quantized } from '../quantize.ts';
import { floatsOf, requireFinite, type Span } from '../span.ts';

export type Int4Matrix = {
  readonly kind: 'gptq' | 'awq';
  readonly rows: number;
  readonly columns: number;
  /** Columns of a group. */
  readonly group: number;
  /** I32, eight to a word: GPTQ [columns / 8, rows], AWQ [columns, rows / 8]. */
  readonly codes: Span;
  /** I32, eight to a word: [groups, rows / 8]. */
  readonly zeros: Span;
  /** [groups, rows]. */
  readonly scales: Span;
  /** Added to a stored zero point, modulo 16. */
  readonly zeroOffset: 0 | 1;
  /** GPTQ's act-order: the group of each column. Null: of a column k it is ⌊k / group⌋. */
  readonly order: Int32Array | null;
  /** Every zero point is 8: none need be written. */
  readonly isSymmetric: boolean;
};

export type Unpacked = {
  /** [rows, columns], one a byte. */
  readonly codes: Uint8Array;
  /** [rows, groups]. */
  readonly scales: Float32Array;
  readonly zeros: Uint8Array;
};

export function groupsOf({ columns, group }: { columns: number; group: number }): number {
  return Math.ceil(columns / group);
}

/** Scales of rows [begin, end), [rows, groups]. */
export function scalesOf(matrix: Int4Matrix, begin: number, end: number): Float32Array {
  const groups = groupsOf(matrix);
  const out = new Float32Array((end - begin) * groups);
  for (let group = 0; group < groups; group++) {
    const first = group * matrix.rows + begin;
    const line = floatsOf(matrix.scales, first, first + end - begin);
    requireFinite(matrix.scales, line, first);
    for (let row = 0; row < line.length; row++) out[row * groups + group] = line[row] ?? 0;
  }
  return out;
}

export function int4Rows(matrix: Int4Matrix, { codes, scales, zeros }: Unpacked): Float32Array {
  const { columns, group, order } = matrix;
  const groups = groupsOf(matrix);
  const out = new Float32Array(codes.length);
  for (let row = 0, i = 0; i < out.length; row++) {
    for (let column = 0; column < columns; column++, i++) {
      const own = order === null ? Math.floor(column / group) : (order[column] ?? 0);
      const at = row * groups + own;
      out[i] = (scales[at] ?? 0) * ((codes[i] ?? 0) - (zeros[at] ?? 0));
    }
  }
  return out;
}

/** As MatMulNBits wants them, in blocks of `block` columns, of which a group is a multiple. */
export function int4Blocks(
  matrix: Int4Matrix,
  { codes, scales, zeros }: Unpacked,
  { block, scale, hasZeros }: { block: number; scale: number; hasZeros: boolean },
): Quantized {
  const { columns, group } = matrix;
  const rows = codes.length / columns;
  const [groups, blocks] = [groupsOf(matrix), Math.ceil(columns / block)];
  const blob = new Uint8Array((rows * blocks * block) / 2);
  const outScales = new Float32Array(rows * blocks);
  const zeroBytes = Math.ceil(blocks / 2);
  const outZeros = new Uint8Array(hasZeros ? rows * zeroBytes : 0);
  for (let row = 0; row < rows; row++) {
    const to = (row * blocks * block) / 2;
    for (let k = 0; k < columns; k += 2) {
      const from = row * columns + k;
      const next = k + 1 < columns ? (codes[from + 1] ?? 0) : 0;
      blob[to + (k >> 1)] = (codes[from] ?? 0) | (next << 4);
    }
    for (let at = 0; at < blocks; at++) {
      const source = row * groups + Math.floor((at * block) / group);
      outScales[row * blocks + at] = (scales[source] ?? 0) * scale;
      if (!hasZeros) continue;
      const place = row * zeroBytes + (at >> 1);
      outZeros[place] = (outZeros[place] ?? 0) | ((zeros[source] ?? 0) << ((at & 1) * 4));
    }
  }
  return { blob, scales: outScales, zeros: outZeros };
}
