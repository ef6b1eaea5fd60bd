// How much memory a model's weights take while it is served, from its dimensions. Pure.

import type { ModelConfig } from './config.ts';
import { blockSize, type Quantization } from './quantize.ts';

/** Bytes of one weight and its share of a scale, as the graph has it. */
const weightBytes = { none: 4, int8: 1 + 4 / blockSize, int4: 0.5 + 4 / blockSize } as const;

/**
 * Matrices count twice: as the data file has them (mapped, shared among a host's workers) and in the
 * form that ONNX Runtime's kernels want, each worker's own. The table of embeddings is only mapped.
 */
export function weightMemoryBytes(config: ModelConfig, quantization: Quantization): number {
  const { hidden, ffn, layers, heads, kvHeads, headDim, vocabSize } = config;
  const attention = hidden * headDim * (2 * heads + 2 * kvHeads);
  const linear = layers * (attention + 3 * hidden * ffn);
  const table = vocabSize * hidden;
  const head = Math.max(weightBytes[quantization], weightBytes.int8);
  return Math.ceil(2 * (linear * weightBytes[quantization] + table * head) + table * 4);
}
