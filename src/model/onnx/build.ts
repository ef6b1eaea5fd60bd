// What the parts of a decoder are built with: the graph, the model and its weights, and the steps that
// all of them take. Multipliers and offsets of an architecture go into the weights here, so that they
// cost nothing when the graph runs.

import { findMatrix, type Matrix } from '../checkpoint/matrix.ts';
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
  const { graph, config, weights, bits } = build;
  const { name, input, parts: names, columns, bias, scale = 1 } = projection;
  const source = { weights, scheme: config.scheme };
  const parts = names.map(([part, rows]) => findMatrix(source, part, [rows, columns]));
  const output = linear(graph, { name, input, output: `${name}.out`, parts, scale, bits });
  if (!bias) return output;
  const biases = names.map(([part, rows]) => vectorOf(weights, `${part}.bias`, rows));
  const length = names.reduce((sum, [, rows]) => sum + rows, 0);
  const vector = graph.weight(
    { kind: 'floats', parts: biases, scale, plus: 0 },
    { name: `${name}.bias`, type: 'float32', shape: [length] },
  );
  return graph.node('Add', [output, vector], [`${name}.biased`]);
}

/** A tensor of one dimension. */
function vectorOf(weights: Weights, name: string, size: number): Matrix {
  return { kind: 'dense', rows: size, columns: 1, data: weights.get(name, [size]).span };
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
  const parts = [vectorOf(weights, name, size)];
  const plus = config.normsFromOne ? 1 : 0;
  const recipe = { kind: 'floats', parts, scale, plus } as const;
  return graph.weight(recipe, { name, type: 'float32', shape: [size] });
}
