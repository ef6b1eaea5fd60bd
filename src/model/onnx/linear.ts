// input · weightᵀ, the one operation that nearly all of a model's time goes into: as a float32 MatMul
// or, quantized, as MatMulNBits.

import { type Bits, blockSize, blocksOf, type PackedMatrix, packMatrix } from '../quantize.ts';
import type { Graph } from './graph.ts';

export type LinearOptions = {
  /** Of the weight in the data file. */
  readonly name: string;
  readonly input: string;
  readonly output: string;
  /** Weights [rows_i, columns] as in the file, put below one another: their outputs lie side by side. */
  readonly matrices: readonly Float32Array[];
  readonly columns: number;
  /** Null: float32. */
  readonly bits: Bits | null;
};

/** […, columns] → […, Σ rows_i]. Returns the output's name. */
export function linear(graph: Graph, options: LinearOptions): string {
  const { name, input, output, matrices, columns, bits } = options;
  if (bits !== null) return quantized(graph, packMatrix(matrices, columns, bits), options);
  const turned = transposeColumns(matrices, columns);
  const matrix = graph.weight(name, turned, [columns, turned.length / columns]);
  return graph.node('MatMul', [input, matrix], [output]);
}

function quantized(graph: Graph, packed: PackedMatrix, options: LinearOptions): string {
  const { name, input, output } = options;
  const { bits, rows, columns } = packed;
  const blocks = blocksOf(columns);
  const blob = graph.weight(name, packed.blob, [rows, blocks, (blockSize * bits) / 8]);
  const scales = graph.weight(`${name}.scales`, packed.scales, [rows, blocks]);
  return graph.node('MatMulNBits', [input, blob, scales], [output], {
    domain: 'com.microsoft',
    // Accuracy level 4: the input is rounded to 8 bits a block, too. Without it the kernels are
    // 3 to 13 times slower.
    attributes: { K: columns, N: rows, bits, block_size: blockSize, accuracy_level: 4 },
  });
}

/** Matrices [rows_i, columns] put side by side after transposition: [columns, Σ rows_i]. */
function transposeColumns(matrices: readonly Float32Array[], columns: number): Float32Array {
  const total = matrices.reduce((sum, matrix) => sum + matrix.length, 0);
  const width = total / columns;
  const out = new Float32Array(total);
  let left = 0;
  for (const matrix of matrices) {
    const rows = matrix.length / columns;
    // In 32 × 32 tiles, so that the rows read and the rows written both stay in the cache.
    for (let r0 = 0; r0 < rows; r0 += 32) {
      for (let c0 = 0; c0 < columns; c0 += 32) {
        const rEnd = Math.min(r0 + 32, rows);
        const cEnd = Math.min(c0 + 32, columns);
        for (let c = c0; c < cEnd; c++) {
          for (let r = r0; r < rEnd; r++) {
            out[c * width + left + r] = matrix[r * columns + c] ?? 0;
          }
        }
      }
    }
    left += rows;
  }
  return out;
}
