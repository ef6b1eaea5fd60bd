// A weight of fp8 numbers with scales beside it:
//
//   weight[n][k] = value(byte[n][k]) · scale
//
//   NAME.weight            F8_E4M3 or F8_E5M2 [rows, columns]
//   NAME.weight_scale      compressed-tensors, AutoFP8: [] or [1] one for all, [rows] or [rows, 1] by row,
//                          [⌈rows / block⌉, ⌈columns / block⌉] by block
//   NAME.weight_scale_inv  DeepSeek's, by block; in spite of its name it is multiplied by, too
//   NAME.input_scale       for activations in fp8: not used

import { Fault } from '../../std/fault.ts';
import { type Fp8Dtype, fp8Values, isFp8 } from '../dtype.ts';
import type { Weights } from '../safetensors.ts';
import { bytesOf, floatsOf, requireFinite, type Span } from '../span.ts';
import type { Scheme } from './scheme.ts';

export type Fp8Matrix = {
  readonly kind: 'fp8';
  readonly rows: number;
  readonly columns: number;
  readonly data: Span;
  readonly scales: Span;
  /** Rows and columns that share a scale. */
  readonly block: readonly [number, number];
};

export function fp8Matrix(
  weights: Weights,
  scheme: Extract<Scheme, { kind: 'fp8' }>,
  name: string,
  data: Span,
): Fp8Matrix {
  const [rows = 0, columns = 0] = data.shape;
  const inverse = `${name}.weight_scale_inv`;
  const { span: scales } = weights.get(weights.has(inverse) ? inverse : `${name}.weight_scale`);
  const { shape } = scales;
  const [rowBlock, columnBlock] = scheme.block;
  const blocks = [Math.ceil(rows / rowBlock), Math.ceil(columns / columnBlock)];
  const base = { kind: 'fp8', rows, columns, data, scales } as const;
  if (shape.every((size) => size === 1)) return { ...base, block: [rows, columns] };
  if (shape.join() === `${rows}` || shape.join() === `${rows},1`) {
    return { ...base, block: [1, columns] };
  }
  if (shape.join() === blocks.join()) return { ...base, block: scheme.block };
  throw new Fault(
    'config',
    `${scales.where}: tensor ${scales.name} has shape [${shape.join(', ')}]; the weight's [${rows}, ${columns}] ` +
      `wants [1], [${rows}, 1] or [${blocks.join(', ')}]`,
  );
}

export function fp8Rows(matrix: Fp8Matrix, begin: number, end: number): Float32Array {
  const { data, scales: span, columns, block } = matrix;
  const bytes = bytesOf(data, begin * columns, end * columns);
  const scales = requireFinite(span, floatsOf(span));
  const out = new Float32Array(bytes.length);
  const [rowBlock, columnBlock] = block;
  const perRow = Math.ceil(columns / columnBlock);
  const values = fp8Values[dtypeOf(data)];
  for (let row = begin; row < end; row++) {
    for (let at = 0; at < perRow; at++) {
      const scale = scales[Math.floor(row / rowBlock) * perRow + at] ?? 0;
      const from = (row - begin) * columns + at * columnBlock;
      const to = (row - begin) * columns + Math.min(columns, (at + 1) * columnBlock);
      for (let i = from; i < to; i++) out[i] = (values[bytes[i] ?? 0] ?? 0) * scale;
    }
  }
  return out;
}

function dtypeOf({ dtype }: Span): Fp8Dtype {
  return isFp8(dtype) ? dtype : 'F8_E4M3';
}
