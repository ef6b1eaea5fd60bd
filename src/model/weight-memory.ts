// How much memory a model's weights take while it is served, from its dimensions. Pure.

import type { ModelConfig } from './config.ts';
import { blockSize, type Quantization } from './quantize.ts';

/** Bytes of one weight and its share of a scale, as the graph has it. */
const weightBytes = { none: 4, int8: 1 + 4 / blockSize, int4: 0.5 + 4 / blockSize } as const;

/** Norms, rounding of blocks, what the library needs beside. */
const margin = 1.1;

/**
 * What a worker has of its own: its matrices in the form that ONNX Runtime's kernels want, made when the
 * data file is loaded, whose pages it then lets go of; and the table of embeddings, which stays mapped.
 * At 1.2 · 10⁹ weights as int4: 0.81 GiB by this without the table; a whole process measured 0.83 GiB.
 */
export function weightMemoryBytes(config: ModelConfig, quantization: Quantization): number {
  const { hidden, ffn, layers, heads, kvHeads, headDim, vocabSize } = config;
  const attention = hidden * headDim * (2 * heads + 2 * kvHeads);
  const linear = layers * (attention + 3 * hidden * ffn);
  const table = vocabSize * hidden;
  const head = Math.max(weightBytes[quantization], weightBytes.int8);
  const own = linear * weightBytes[quantization] + table * head;
  return Math.ceil(margin * own + table * 4);
}
