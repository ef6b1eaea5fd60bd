// input · weightᵀ, the one operation that nearly all of a model's time goes into: as a float32 MatMul
// or, quantized, as MatMulNBits.

import { Fault } from '../../std/fault.ts';
import { isInt4, type Matrix, spansOf } from '../checkpoint/matrix.ts';
import { type Bits, blockSize, blocksOf } from '../quantize.ts';
import { columnsIn, type Packing, rowsIn } from '../recipe.ts';
import type { Graph } from './graph.ts';

export type LinearOptions = {
  /** Of the weight in the data file. */
  readonly name: string;
  readonly input: string;
  readonly output: string;
  /** Weights of one width, put below one another: their outputs lie side by side. */
  readonly parts: readonly Matrix[];
  /** Of everything that comes out. */
  readonly scale: number;
  /** Null: float32. */
  readonly bits: Bits | null;
};

/** […, columns] → […, Σ rows]. Returns the output's name. */
export function linear(graph: Graph, options: LinearOptions): string {
  const { name, input, output, parts, scale, bits } = options;
  if (bits !== null) return quantized(graph, options, packingOf(parts, bits));
  const shape = [columnsIn(parts), rowsIn(parts)];
  const matrix = graph.weight({ kind: 'turned', parts, scale }, { name, type: 'float32', shape });
  return graph.node('MatMul', [input, matrix], [output]);
}

/** Four bits that a checkpoint brings are kept, in its own groups; all else is quantized in ours. */
function packingOf(parts: readonly Matrix[], bits: Bits): Packing {
  const ready = bits === 4 ? parts.filter(isInt4) : [];
  for (const part of ready) {
    if (part.order === null) continue;
    const [span] = spansOf(part);
    throw new Fault(
      'config',
      `${span?.where}: tensor ${span?.name} has its columns in act-order (desc_act), which MatMulNBits does not read; ` +
        'give --quantization int8, for which it is quantized anew',
    );
  }
  const group = ready[0]?.group ?? blockSize;
  return {
    bits,
    block: Math.min(group, blockSize),
    keeps: ready.length > 0,
    hasZeros: ready.some((part) => !part.isSymmetric),
  };
}

function quantized(graph: Graph, options: LinearOptions, packing: Packing): string {
  const { name, input, output, parts, scale } = options;
  const { bits, block, hasZeros } = packing;
  const [N, K] = [rowsIn(parts), columnsIn(parts)];
  const blocks = blocksOf(K, block);
  const zeros = `${name}.zeros`;
  graph.weight(
    { kind: 'packed', parts, scale, ...packing },
    { name, type: 'uint8', shape: [N, blocks, (block * bits) / 8] },
    { name: `${name}.scales`, type: 'float32', shape: [N, blocks] },
    ...(hasZeros
      ? [{ name: zeros, type: 'uint8', shape: [N, Math.ceil(blocks / 2)] } as const]
      : []),
  );
  const inputs = [input, name, `${name}.scales`, ...(hasZeros ? [zeros] : [])];
  return graph.node('MatMulNBits', inputs, [output], {
    domain: 'com.microsoft',
    // Accuracy level 4: the input is rounded to 8 bits a block, too. Without it the kernels are
    // 3 to 13 times slower.
    attributes: { K, N, bits, block_size: block, accuracy_level: 4 },
  });
}
