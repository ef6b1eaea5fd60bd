// GPTQ's layout (AutoGPTQ, GPTQModel), 4 bits; bit 4·i of a word is where its i-th code begins:
//
//   NAME.qweight  I32 [columns / 8, rows]    eight columns of a row in a word
//   NAME.qzeros   I32 [groups, rows / 8]     eight rows of a group in a word; format 1 stores zero − 1
//   NAME.scales   F16 [groups, rows]
//   NAME.g_idx    I32 [columns]              the group of each column; with act-order (desc_act) they are mixed

import type { Weights } from '../safetensors.ts';
import { type Span, wordsOf } from '../span.ts';
import { groupsOf, type Int4Matrix, scalesOf, type Unpacked } from './int4.ts';
import type { Scheme } from './scheme.ts';

export function gptqMatrix(
  weights: Weights,
  scheme: Extract<Scheme, { kind: 'gptq' }>,
  name: string,
  [rows, columns]: readonly [number, number],
): Int4Matrix {
  const group = scheme.group ?? columns;
  const groups = groupsOf({ columns, group });
  const { zeroOffset } = scheme;
  const zeros = weights.get(`${name}.qzeros`, [groups, rows / 8]).span;
  const allEight = zeroOffset === 1 ? 0x7777_7777 : 0x8888_8888;
  const index = `${name}.g_idx`;
  return {
    kind: 'gptq',
    rows,
    columns,
    group,
    codes: weights.get(`${name}.qweight`, [columns / 8, rows]).span,
    zeros,
    scales: weights.get(`${name}.scales`, [groups, rows]).span,
    zeroOffset,
    order: weights.has(index) ? orderOf(weights.get(index, [columns]).span, group) : null,
    isSymmetric: wordsOf(zeros).every((word) => word === allEight),
  };
}

function orderOf(span: Span, group: number): Int32Array | null {
  const groups = wordsOf(span);
  const isPlain = groups.every((one, column) => one === Math.floor(column / group));
  return isPlain ? null : Int32Array.from(groups);
}

export function unpackGptq(matrix: Int4Matrix, begin: number, end: number): Unpacked {
  const { rows, columns } = matrix;
  const codes = new Uint8Array((end - begin) * columns);
  const words = wordsOf(matrix.codes);
  for (let column = 0; column < columns; column += 8) {
    const from = (column / 8) * rows;
    for (let row = begin; row < end; row++) {
      const word = words[from + row] ?? 0;
      const to = (row - begin) * columns + column;
      for (let i = 0; i < 8; i++) codes[to + i] = (word >>> (4 * i)) & 15;
    }
  }
  return { codes, scales: scalesOf(matrix, begin, end), zeros: zerosOf(matrix, begin, end) };
}

/** [rows, groups]. */
function zerosOf(matrix: Int4Matrix, begin: number, end: number): Uint8Array {
  const groups = groupsOf(matrix);
  const perGroup = matrix.rows / 8;
  const zeros = new Uint8Array((end - begin) * groups);
  const words = wordsOf(matrix.zeros);
  for (let group = 0; group < groups; group++) {
    for (let row = begin; row < end; row++) {
      const stored = ((words[group * perGroup + (row >> 3)] ?? 0) >>> (4 * (row & 7))) & 15;
      // Stored 15 stands for 0 in format 1: that is how −1 comes out in four bits.
      zeros[(row - begin) * groups + group] = (stored + matrix.zeroOffset) & 15;
    }
  }
  return zeros;
}
