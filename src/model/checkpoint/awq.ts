// AWQ's layout of version "gemm" (AutoAWQ), 4 bits; a word holds eight rows, mixed:
//
//   NAME.qweight  I32 [columns, rows / 8]
//   NAME.qzeros   I32 [groups, rows / 8]
//   NAME.scales   F16 [groups, rows]
//
//   bits of a word, upwards:  row 0  2  4  6  1  3  5  7  of its eight

import type { Weights } from '../safetensors.ts';
import { wordsOf } from '../span.ts';
import { groupsOf, type Int4Matrix, scalesOf, type Unpacked } from './int4.ts';
import type { Scheme } from './scheme.ts';

/** Where in a word the code of each of its eight rows begins. */
const shifts = Uint8Array.of(0, 16, 4, 20, 8, 24, 12, 28);
const allEight = 0x8888_8888;

export function awqMatrix(
  weights: Weights,
  scheme: Extract<Scheme, { kind: 'awq' }>,
  name: string,
  [rows, columns]: readonly [number, number],
): Int4Matrix {
  const group = scheme.group ?? columns;
  const groups = groupsOf({ columns, group });
  const zeros = weights.get(`${name}.qzeros`, [groups, rows / 8]).span;
  return {
    kind: 'awq',
    rows,
    columns,
    group,
    codes: weights.get(`${name}.qweight`, [columns, rows / 8]).span,
    zeros,
    scales: weights.get(`${name}.scales`, [groups, rows]).span,
    zeroOffset: 0,
    order: null,
    isSymmetric: wordsOf(zeros).every((word) => word === allEight),
  };
}

export function unpackAwq(matrix: Int4Matrix, begin: number, end: number): Unpacked {
  const { rows, columns } = matrix;
  const groups = groupsOf(matrix);
  const codes = new Uint8Array((end - begin) * columns);
  const zeros = new Uint8Array((end - begin) * groups);
  spread(wordsOf(matrix.codes), codes, { begin, end, rows, width: columns });
  spread(wordsOf(matrix.zeros), zeros, { begin, end, rows, width: groups });
  return { codes, scales: scalesOf(matrix, begin, end), zeros };
}

/** Lines of `words`, each with the codes of all rows, become the columns of `to`. */
function spread(
  words: Uint32Array,
  to: Uint8Array,
  { begin, end, rows, width }: { begin: number; end: number; rows: number; width: number },
): void {
  const perLine = rows / 8;
  for (let line = 0; line < width; line++) {
    for (let row = begin; row < end; row++) {
      const word = words[line * perLine + (row >> 3)] ?? 0;
      to[(row - begin) * width + line] = (word >>> (shifts[row & 7] ?? 0)) & 15;
    }
  }
}
