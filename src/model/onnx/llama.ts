// Llama as an ONNX graph for in-place KV (ARCHITECTURE, "The graph"). One layer:
//
//   residual ─ norm ─ QKV (one MatMul) ─ GroupQueryAttention ─ O ─┐
//        └──────────────── SkipSimplifiedLayerNormalization ◀─────┘   adds and norms in one node
//                             │ gate+up (one MatMul) ─ SiLU·mul ─ down ─▶ next layer's skip
//
// Only the last position's logits are wanted, so the last layer narrows to that position right after
// attention: the rest of it and the head run on one row a sequence.

import type { ModelConfig } from '../config.ts';
import type { Weights } from '../safetensors.ts';
import { Graph, type WeightSink } from './graph.ts';

const microsoft = { domain: 'com.microsoft' } as const;

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
 * total_sequence_length int32 [] = the longest of them + 1; last_rows int32 [batch] = where each
 * sequence's last token is among all batch · sequence rows (shorter ones are padded on the right);
 * past.N.key/value [batch, kvHeads, capacity, headDim]. Outputs: logits [batch, vocab] after those
 * tokens; present.N.* = past.N.*.
 */
export function buildLlama(
  config: ModelConfig,
  weights: Weights,
  options: { dataFile: string; sink: WeightSink },
): Uint8Array {
  const graph = new Graph('llama', options.dataFile, options.sink);
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
    const attended = attention(graph, config, weights, i, normed, cos, sin);
    const isLast = i === config.layers - 1;
    const narrow = (name: string, shape: string): string => {
      if (!isLast) return name;
      const rows = graph.node('Reshape', [name, shape], [`${name}.rows`]);
      return graph.node('Gather', [rows, 'last_rows'], [`${name}.last`], {
        attributes: { axis: 0 },
      });
    };
    const projected = project(
      graph,
      weights,
      `model.layers.${i}.self_attn.o_proj.weight`,
      narrow(attended, 'rows.attended'),
      [config.hidden, config.heads * config.headDim],
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
    const fed = feedForward(graph, config, weights, prefix, normed);
    const nextNorm = isLast ? 'model.norm.weight' : `model.layers.${i + 1}.input_layernorm.weight`;
    [normed, residual] = skipNorm(graph, config, weights, nextNorm, fed, residual);
  }
  head(graph, config, weights, embedding, normed);
  return graph.finish();
}

function declareInputs(graph: Graph, config: ModelConfig): void {
  graph.input('input_ids', 'int32', ['batch', 'sequence']);
  graph.input('seqlens_k', 'int32', ['batch']);
  graph.input('total_sequence_length', 'int32', []);
  graph.input('last_rows', 'int32', ['batch']);
  const cache = ['batch', config.kvHeads, 'capacity', config.headDim] as const;
  for (let i = 0; i < config.layers; i++) {
    for (const part of ['key', 'value']) {
      graph.input(`past.${i}.${part}`, 'float32', cache);
      graph.output(`present.${i}.${part}`, 'float32', cache);
    }
  }
  graph.output('logits', 'float32', ['batch', config.vocabSize]);
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
  weights: Weights,
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
  const packed = transposeColumns(
    parts.map(([name, rows]) => weights.get(name, [rows, hidden]).floats()),
    hidden,
  );
  const width = (heads + 2 * kvHeads) * headDim;
  const matrix = graph.weight(`${prefix}.qkv`, packed, [hidden, width]);
  const qkv = graph.node('MatMul', [input, matrix], [`${prefix}.qkv.out`]);
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
  weights: Weights,
  layer: string,
  input: string,
): string {
  const { hidden, ffn } = config;
  const prefix = `${layer}.mlp`;
  const both = transposeColumns(
    ['gate_proj', 'up_proj'].map((part) =>
      weights.get(`${prefix}.${part}.weight`, [ffn, hidden]).floats(),
    ),
    hidden,
  );
  const matrix = graph.weight(`${prefix}.gate_up`, both, [hidden, 2 * ffn]);
  graph.node('MatMul', [input, matrix], [`${prefix}.gate_up.out`]);
  graph.node('Split', [`${prefix}.gate_up.out`], [`${prefix}.gate`, `${prefix}.up`], {
    attributes: { axis: -1, num_outputs: 2 },
  });
  // QuickGelu with alpha 1 is x · sigmoid(x): SiLU in one node.
  graph.node('QuickGelu', [`${prefix}.gate`], [`${prefix}.silu`], {
    ...microsoft,
    attributes: { alpha: { float: 1 } },
  });
  graph.node('Mul', [`${prefix}.silu`, `${prefix}.up`], [`${prefix}.gated`]);
  return project(graph, weights, `${prefix}.down_proj.weight`, `${prefix}.gated`, [hidden, ffn]);
}

/** input · weightᵀ, the weight stored [out, in] as in the file. */
function project(
  graph: Graph,
  weights: Weights,
  name: string,
  input: string,
  shape: readonly [number, number],
): string {
  const [rows, columns] = shape;
  const turned = transposeColumns([weights.get(name, shape).floats()], columns);
  const matrix = graph.weight(name, turned, [columns, rows]);
  return graph.node('MatMul', [input, matrix], [`${name}.out`]);
}

function head(
  graph: Graph,
  config: ModelConfig,
  weights: Weights,
  embedding: string,
  input: string,
): void {
  const shape = [config.vocabSize, config.hidden];
  const matrix = config.tiedEmbeddings
    ? embedding
    : graph.weight('lm_head', weights.get('lm_head.weight', shape).floats(), shape);
  graph.node('Gemm', [input, matrix], ['logits'], { attributes: { transB: 1 } });
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
