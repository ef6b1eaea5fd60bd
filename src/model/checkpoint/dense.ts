// A weight stored as what it is: F32, F16 or BF16. Vectors are matrices of one column.

import { floatsOf, type Span } from '../span.ts';

export type DenseMatrix = {
  readonly kind: 'dense';
  readonly rows: number;
  readonly columns: number;
  readonly data: Span;
};

/** A view of the file where that has float32. */
export function denseRows({ data, columns }: DenseMatrix, begin: number, end: number) {
  return floatsOf(data, begin * columns, end * columns);
}
