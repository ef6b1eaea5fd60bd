// What the parts of a decoder are built with: the graph, the model and its weights, and the steps that
// all of them take. Multipliers and offsets of an architecture go into the weights here, so that they
// cost nothing when the graph runs.

import type { ModelConfig } from '../config.ts';
import type { Bits } from '../quantize.ts';
import type { Weights } from '../safetensors.ts';
import type { Graph } from './graph.ts';
import { linear } from './linear.ts';

export type Build = {
  readonly graph: Graph;
  readonly config: ModelConfig;
  readonly weights: Weights;
  /** Null: float32. */
  readonly bits: Bits | null;
};

export const microsoft = { domain: 'com.microsoft' } as const;

export type Projection = {
  /** Of the weight in the data file; the output's name begins with it. */
  readonly name: string;
  readonly input: string;
  /** Matrices [rows, columns], by their names in the model's files without ".weight". */
  readonly parts: readonly (readonly [name: string, rows: number])[];
  readonly columns: number;
  readonly bias: boolean;
  /** Of everything that comes out. */
  readonly scale?: number;
};

/** […, columns] → […, Σ rows]: input · weightᵀ (+ bias). Returns the output's name. */
export function project(build: Build, projection: Projection): string {
  const { graph, weights, bits } = build;
  const { name, input, parts, columns, bias, scale = 1 } = projection;
  const matrices = parts.map(([part, rows]) =>
    scaled(weights.get(`${part}.weight`, [rows, columns]).floats(), scale),
  );
  const output = linear(graph, { name, input, output: `${name}.out`, matrices, columns, bits });
  if (!bias) return output;
  const values = parts.flatMap(([part, rows]) => [
    ...scaled(weights.get(`${part}.bias`, [rows]).floats(), scale),
  ]);
  const vector = graph.weight(`${name}.bias`, Float32Array.from(values), [values.length]);
  return graph.node('Add', [output, vector], [`${name}.biased`]);
}

/** x · scale. */
export function scaled(values: Float32Array, scale: number): Float32Array {
  if (scale === 1) return values;
  const factor = Math.fround(scale); // transformers multiplies float32 by float32
  return values.map((value) => value * factor);
}

/** norm(input) · weight. Returns the output's name. */
export function norm(build: Build, options: { weight: string; size: number; input: string }) {
  const { graph, config } = build;
  const { weight, size, input } = options;
  const inputs = [input, gamma(build, weight, size)];
  return graph.node('SimplifiedLayerNormalization', inputs, [`${weight}.normed`], {
    attributes: { axis: -1, epsilon: { float: config.normEpsilon }, stash_type: 1 },
  });
}

/** norm(input + skip) · weight · scale, and the sum itself. */
export function skipNorm(
  build: Build,
  options: { weight: string; input: string; skip: string; scale?: number },
): { normed: string; sum: string } {
  const { graph, config } = build;
  const { weight, input, skip, scale = 1 } = options;
  const [normed, sum] = [`${weight}.normed`, `${weight}.sum`];
  const inputs = [input, skip, gamma(build, weight, config.hidden, scale)];
  graph.node('SkipSimplifiedLayerNormalization', inputs, [normed, '', '', sum], {
    ...microsoft,
    attributes: { epsilon: { float: config.normEpsilon } },
  });
  return { normed, sum };
}

function gamma({ graph, config, weights }: Build, name: string, size: number, scale = 1): string {
  const stored = weights.get(name, [size]).floats();
  const values = config.normsFromOne ? stored.map((value) => value + 1) : stored;
  return graph.weight(name, scaled(values, scale), [size]);
}
