// Llama as an ONNX graph for in-place KV (ARCHITECTURE, "The graph"). One layer:
//
//   residual ─ norm ─ QKV (one MatMul) ─ GroupQueryAttention ─ O ─┐
//        └──────────────── SkipSimplifiedLayerNormalization ◀─────┘   adds and norms in one node
//                             │ gate+up (one MatMul) ─ SiLU·mul ─ down ─▶ next layer's skip
//
// Only the last position's logits are wanted, so the last layer narrows to that position right after
// attention: the rest of it and the head run on one row a sequence.

import type { ModelConfig } from '../config.ts';
import { type Bits, bitsOf, type Quantization } from '../quantize.ts';
import type { Weights } from '../safetensors.ts';
import { Graph, type WeightSink } from './graph.ts';
import { linear } from './linear.ts';

const microsoft = { domain: 'com.microsoft' } as const;

/** input · weightᵀ for weights [rows, columns] side by side, by their names in the file. */
type Project = (
  name: string,
  input: string,
  parts: readonly (readonly [name: string, rows: number])[],
  columns: number,
) => string;

/** Names of the graph's inputs and outputs, in the order `session.ts` binds them. */
export function llamaNames(layers: number): { inputs: string[]; outputs: string[] } {
  const cache = (prefix: string): string[] =>
    Array.from({ length: layers }, (_, i) => [`${prefix}.${i}.key`, `${prefix}.${i}.value`]).flat();
  return {
    inputs: ['input_ids', 'seqlens_k', 'total_sequence_length', 'last_rows', ...cache('past')],
    outputs: ['logits', ...cache('present')],
  };
}

/**
 * Inputs: input_ids int32 [batch, sequence]; seqlens_k int32 [batch] = tokens after this call − 1;
 * total_sequence_length int32 [] = the longest of them + 1; last_rows int32 [rows] = where each
 * sequence's last token is among all batch · sequence rows (shorter ones are padded on the right), or
 * any other rows whose logits are wanted;
 * past.N.key/value [batch, kvHeads, capacity, headDim]. Outputs: logits [rows, vocab] after those
 * tokens; present.N.* = past.N.*.
 */
export function buildLlama(
  config: ModelConfig,
  weights: Weights,
  options: { dataFile: string; sink: WeightSink; quantization: Quantization },
): Uint8Array {
  const graph = new Graph('llama', options.dataFile, options.sink);
  const bits = options.quantization === 'none' ? null : bitsOf(options.quantization);
  const project: Project = (name, input, parts, columns) => {
    const matrices = parts.map(([part, rows]) => weights.get(part, [rows, columns]).floats());
    return linear(graph, { name, input, output: `${name}.out`, matrices, columns, bits });
  };
  declareInputs(graph, config);
  const embedding = graph.weight(
    'embedding',
    weights.get('model.embed_tokens.weight', [config.vocabSize, config.hidden]).floats(),
    [config.vocabSize, config.hidden],
  );
  const [cos, sin] = rotaryTables(graph, config);
  graph.constant('rows', [-1, config.hidden], [2]);
  graph.constant('rows.attended', [-1, config.heads * config.headDim], [2]);

  let residual = graph.node('Gather', [embedding, 'input_ids'], ['embedded']);
  let normed = firstNorm(graph, config, weights, residual);
  for (let i = 0; i < config.layers; i++) {
    const attended = attention(graph, config, project, i, normed, cos, sin);
    const isLast = i === config.layers - 1;
    const narrow = (name: string, shape: string): string => {
      if (!isLast) return name;
      const rows = graph.node('Reshape', [name, shape], [`${name}.rows`]);
      return graph.node('Gather', [rows, 'last_rows'], [`${name}.last`], {
        attributes: { axis: 0 },
      });
    };
    const output = `model.layers.${i}.self_attn.o_proj.weight`;
    const width = config.heads * config.headDim;
    const projected = project(
      output,
      narrow(attended, 'rows.attended'),
      [[output, config.hidden]],
      width,
    );
    const prefix = `model.layers.${i}`;
    [normed, residual] = skipNorm(
      graph,
      config,
      weights,
      `${prefix}.post_attention_layernorm.weight`,
      projected,
      narrow(residual, 'rows'),
    );
    const fed = feedForward(graph, config, project, prefix, normed);
    const nextNorm = isLast ? 'model.norm.weight' : `model.layers.${i + 1}.input_layernorm.weight`;
    [normed, residual] = skipNorm(graph, config, weights, nextNorm, fed, residual);
  }
  head(graph, config, weights, { embedding, bits }, normed);
  return graph.finish();
}

function declareInputs(graph: Graph, config: ModelConfig): void {
  graph.input('input_ids', 'int32', ['batch', 'sequence']);
  graph.input('seqlens_k', 'int32', ['batch']);
  graph.input('total_sequence_length', 'int32', []);
  graph.input('last_rows', 'int32', ['rows']);
  const cache = ['batch', config.kvHeads, 'capacity', config.headDim] as const;
  for (let i = 0; i < config.layers; i++) {
    for (const part of ['key', 'value']) {
      graph.input(`past.${i}.${part}`, 'float32', cache);
      graph.output(`present.${i}.${part}`, 'float32', cache);
    }
  }
  graph.output('logits', 'float32', ['rows', config.vocabSize]);
}

/** cos and sin of position · theta^(−2j/headDim), each [positions, headDim/2]. */
function rotaryTables(graph: Graph, config: ModelConfig): [string, string] {
  const half = config.headDim / 2;
  const cos = new Float32Array(config.positions * half);
  const sin = new Float32Array(config.positions * half);
  for (let j = 0; j < half; j++) {
    // transformers computes frequency and angle in float32; so do we, to agree to the last bit or so.
    const frequency = Math.fround(1 / Math.fround(config.ropeTheta ** ((2 * j) / config.headDim)));
    for (let position = 0; position < config.positions; position++) {
      const angle = Math.fround(position * frequency);
      cos[position * half + j] = Math.cos(angle);
      sin[position * half + j] = Math.sin(angle);
    }
  }
  const shape = [config.positions, half];
  return [graph.weight('rotary.cos', cos, shape), graph.weight('rotary.sin', sin, shape)];
}

function firstNorm(graph: Graph, config: ModelConfig, weights: Weights, input: string): string {
  const name = 'model.layers.0.input_layernorm.weight';
  const gamma = graph.weight(name, weights.get(name, [config.hidden]).floats(), [config.hidden]);
  return graph.node('SimplifiedLayerNormalization', [input, gamma], ['layer.0.normed'], {
    attributes: { axis: -1, epsilon: { float: config.normEpsilon }, stash_type: 1 },
  });
}

/** norm(input + skip) and the sum itself. */
function skipNorm(
  graph: Graph,
  config: ModelConfig,
  weights: Weights,
  name: string,
  input: string,
  skip: string,
): [normed: string, sum: string] {
  const gamma = graph.weight(name, weights.get(name, [config.hidden]).floats(), [config.hidden]);
  const normed = `${name}.normed`;
  const sum = `${name}.sum`;
  graph.node('SkipSimplifiedLayerNormalization', [input, skip, gamma], [normed, '', '', sum], {
    ...microsoft,
    attributes: { epsilon: { float: config.normEpsilon } },
  });
  return [normed, sum];
}

function attention(
  graph: Graph,
  config: ModelConfig,
  project: Project,
  layer: number,
  input: string,
  cos: string,
  sin: string,
): string {
  const { hidden, heads, kvHeads, headDim } = config;
  const prefix = `model.layers.${layer}.self_attn`;
  const parts = [
    [`${prefix}.q_proj.weight`, heads * headDim],
    [`${prefix}.k_proj.weight`, kvHeads * headDim],
    [`${prefix}.v_proj.weight`, kvHeads * headDim],
  ] as const;
  const qkv = project(`${prefix}.qkv`, input, parts, hidden);
  const cache = `${layer}`;
  return graph.node(
    'GroupQueryAttention',
    [
      qkv,
      '',
      '',
      `past.${cache}.key`,
      `past.${cache}.value`,
      'seqlens_k',
      'total_sequence_length',
      cos,
      sin,
    ],
    [`${prefix}.out`, `present.${cache}.key`, `present.${cache}.value`],
    {
      ...microsoft,
      attributes: {
        num_heads: heads,
        kv_num_heads: kvHeads,
        scale: { float: 1 / Math.sqrt(headDim) },
        do_rotary: 1,
        rotary_interleaved: 0,
      },
    },
  );
}

function feedForward(
  graph: Graph,
  config: ModelConfig,
  project: Project,
  layer: string,
  input: string,
): string {
  const { hidden, ffn } = config;
  const prefix = `${layer}.mlp`;
  const both = ['gate_proj', 'up_proj'].map((part) => [`${prefix}.${part}.weight`, ffn] as const);
  project(`${prefix}.gate_up`, input, both, hidden);
  graph.node('Split', [`${prefix}.gate_up.out`], [`${prefix}.gate`, `${prefix}.up`], {
    attributes: { axis: -1, num_outputs: 2 },
  });
  // QuickGelu with alpha 1 is x · sigmoid(x): SiLU in one node.
  graph.node('QuickGelu', [`${prefix}.gate`], [`${prefix}.silu`], {
    ...microsoft,
    attributes: { alpha: { float: 1 } },
  });
  graph.node('Mul', [`${prefix}.silu`, `${prefix}.up`], [`${prefix}.gated`]);
  const down = `${prefix}.down_proj.weight`;
  return project(down, `${prefix}.gated`, [[down, hidden]], ffn);
}

function head(
  graph: Graph,
  config: ModelConfig,
  weights: Weights,
  options: { embedding: string; bits: Bits | null },
  input: string,
): void {
  const { bits } = options;
  const shape = [config.vocabSize, config.hidden];
  const source = config.tiedEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight';
  const floats = (): Float32Array => weights.get(source, shape).floats();
  if (bits !== null) {
    // A matrix of its own even where the file ties them: Gather goes on reading float32 rows.
    const matrices = [floats()];
    linear(graph, {
      name: 'lm_head',
      input,
      output: 'logits',
      matrices,
      columns: config.hidden,
      bits,
    });
    return;
  }
  const matrix = config.tiedEmbeddings
    ? options.embedding
    : graph.weight('lm_head', floats(), shape);
  graph.node('Gemm', [input, matrix], ['logits'], { attributes: { transB: 1 } });
}
