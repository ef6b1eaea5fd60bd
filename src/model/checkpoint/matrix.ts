// A linear layer's weight as its checkpoint has it, found by name: who builds a graph asks for a name
// and a shape, and never learns the format. One file here for each format; this one tells them apart,
// by the tensors that there are, so a layer that its quantizer left alone is simply dense.

import { isFp8 } from '../dtype.ts';
import type { Weights } from '../safetensors.ts';
import type { Span } from '../span.ts';
import { awqMatrix, unpackAwq } from './awq.ts';
import { type DenseMatrix, denseRows } from './dense.ts';
import { type Fp8Matrix, fp8Matrix, fp8Rows } from './fp8.ts';
import { gptqMatrix, unpackGptq } from './gptq.ts';
import { type Int4Matrix, int4Rows, type Unpacked } from './int4.ts';
import type { Scheme } from './scheme.ts';

/** [rows, columns], a row for each output. Plain data. */
export type Matrix = DenseMatrix | Fp8Matrix | Int4Matrix;

/** What a matrix is looked for in. */
export type Source = { readonly weights: Weights; readonly scheme: Scheme };

/** @param name without ".weight". Throws a Fault `config`. */
export function findMatrix(
  { weights, scheme }: Source,
  name: string,
  shape: readonly [rows: number, columns: number],
): Matrix {
  const isPacked = weights.has(`${name}.qweight`);
  if (isPacked && scheme.kind === 'gptq') return gptqMatrix(weights, scheme, name, shape);
  if (isPacked && scheme.kind === 'awq') return awqMatrix(weights, scheme, name, shape);
  const { span } = weights.get(`${name}.weight`, shape);
  if (isFp8(span.dtype) && scheme.kind === 'fp8') return fp8Matrix(weights, scheme, name, span);
  return { kind: 'dense', rows: shape[0], columns: shape[1], data: span };
}

/** Rows [begin, end) as float32, row-major. Throws a Fault for scales that are none. */
export function rowsOf(matrix: Matrix, begin: number, end: number): Float32Array {
  switch (matrix.kind) {
    case 'dense':
      return denseRows(matrix, begin, end);
    case 'fp8':
      return fp8Rows(matrix, begin, end);
    case 'gptq':
    case 'awq':
      return int4Rows(matrix, unpackRows(matrix, begin, end));
  }
}

/** Codes, scales and zero points of rows [begin, end), each code a byte. */
export function unpackRows(matrix: Int4Matrix, begin: number, end: number): Unpacked {
  return matrix.kind === 'gptq' ? unpackGptq(matrix, begin, end) : unpackAwq(matrix, begin, end);
}

export function isInt4(matrix: Matrix): matrix is Int4Matrix {
  return matrix.kind === 'gptq' || matrix.kind === 'awq';
}

/** Everything that is read for a matrix. */
export function spansOf(matrix: Matrix): readonly Span[] {
  switch (matrix.kind) {
    case 'dense':
      return [matrix.data];
    case 'fp8':
      return [matrix.data, matrix.scales];
    case 'gptq':
    case 'awq':
      return [matrix.codes, matrix.zeros, matrix.scales];
  }
}
