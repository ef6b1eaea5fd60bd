// Matrices that lie in this process's memory instead of in a file.

import type { DenseMatrix } from '../../src/model/checkpoint/dense.ts';
import { regionOf } from '../../src/model/weight-file.ts';

/** Kept for ever: a matrix is an address, and what it points to must not go. */
const held: Float32Array[] = [];

export function denseMatrix(values: Float32Array, columns: number): DenseMatrix {
  const { buffer, byteOffset, byteLength } = values;
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  held.push(values);
  const rows = values.length / columns;
  const data = { where: 'memory', name: 'w', dtype: 'F32', shape: [rows, columns] } as const;
  return { kind: 'dense', rows, columns, data: { ...data, ...regionOf({ name: 'w', bytes }) } };
}
