// A decoder-only model as an ONNX graph for in-place KV (ARCHITECTURE, "The graph"). One layer:
//
//   residual ─ norm ─ QKV (one MatMul) ─ GroupQueryAttention ─ O ─┐
//        └──────────────── SkipSimplifiedLayerNormalization ◀─────┘   adds and norms in one node
//                             │ gate+up (one MatMul) ─ SiLU·mul ─ down ─▶ next layer's skip
//
// Only the last position's logits are wanted, so the last layer narrows to that position right after
// attention: the rest of it and the head run on one row a sequence. What the architectures differ in is
// in the ModelConfig; attention.ts, feed-forward.ts and build.ts do as it says.

import type { ModelConfig } from '../config.ts';
import { bitsOf, type Quantization } from '../quantize.ts';
import type { Weights } from '../safetensors.ts';
import { attention, declareHeads, rotaryTables } from './attention.ts';
import { type Build, norm, project, scaled, skipNorm } from './build.ts';
import { feedForward } from './feed-forward.ts';
import { Graph, type WeightSink } from './graph.ts';
import { linear } from './linear.ts';

/** Names of the graph's inputs and outputs, in the order `session.ts` binds them. */
export function decoderNames(layers: number): { inputs: string[]; outputs: string[] } {
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
export function buildDecoder(
  config: ModelConfig,
  weights: Weights,
  options: { dataFile: string; sink: WeightSink; quantization: Quantization },
): Uint8Array {
  const graph = new Graph('decoder', options.dataFile, options.sink);
  const bits = options.quantization === 'none' ? null : bitsOf(options.quantization);
  const build: Build = { graph, config, weights, bits };
  declareInputs(build);
  const shape = [config.vocabSize, config.hidden];
  const embedding = graph.weight('embedding', embeddingTable(build), shape);
  const tables = rotaryTables(build);
  declareHeads(build);
  graph.constant('rows', [-1, config.hidden], [2]);
  graph.constant('rows.attended', [-1, config.heads * config.headDim], [2]);

  let residual = graph.node('Gather', [embedding, 'input_ids'], ['embedded']);
  const weight = 'model.layers.0.input_layernorm.weight';
  let normed = norm(build, { weight, size: config.hidden, input: residual });
  for (let layer = 0; layer < config.layers; layer++) {
    const isLast = layer === config.layers - 1;
    const attended = attention(build, tables, { layer, input: normed });
    const narrow = isLast ? lastRows : everyRow;
    const afterAttention = skipNorm(build, {
      weight: `model.layers.${layer}.${names(config).beforeMlp}.weight`,
      input: attentionOutput(build, layer, narrow(graph, attended, 'rows.attended')),
      skip: narrow(graph, residual, 'rows'),
    });
    const afterMlp = skipNorm(build, {
      weight: isLast ? 'model.norm.weight' : `model.layers.${layer + 1}.input_layernorm.weight`,
      input: mlpOutput(build, layer, afterAttention.normed),
      skip: afterAttention.sum,
      scale: isLast ? headScale(config) : 1,
    });
    ({ normed, sum: residual } = afterMlp);
  }
  head(build, { embedding, input: normed });
  return graph.finish();
}

/** Norm weights of a layer by their places; models with norms on outputs name them otherwise. */
function names({ outputNorms }: ModelConfig) {
  return {
    beforeMlp: outputNorms ? 'pre_feedforward_layernorm' : 'post_attention_layernorm',
    afterAttention: 'post_attention_layernorm',
    afterMlp: 'post_feedforward_layernorm',
  };
}

function everyRow(_graph: Graph, name: string): string {
  return name;
}

function lastRows(graph: Graph, name: string, shape: string): string {
  const rows = graph.node('Reshape', [name, shape], [`${name}.rows`]);
  return graph.node('Gather', [rows, 'last_rows'], [`${name}.last`], { attributes: { axis: 0 } });
}

function attentionOutput(build: Build, layer: number, input: string): string {
  const { config } = build;
  const name = `model.layers.${layer}.self_attn.o_proj`;
  const output = project(build, {
    name,
    input,
    parts: [[name, config.hidden]],
    columns: config.heads * config.headDim,
    bias: config.outputBias,
    scale: config.residualScale,
  });
  return outputNorm(build, layer, 'afterAttention', output);
}

function mlpOutput(build: Build, layer: number, input: string): string {
  return outputNorm(build, layer, 'afterMlp', feedForward(build, { layer, input }));
}

function outputNorm(
  build: Build,
  layer: number,
  place: 'afterAttention' | 'afterMlp',
  input: string,
): string {
  const { config } = build;
  if (!config.outputNorms) return input;
  const weight = `model.layers.${layer}.${names(config)[place]}.weight`;
  return norm(build, { weight, size: config.hidden, input });
}

function declareInputs({ graph, config }: Build): void {
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

/** The embeddings as the layers get them: times the model's multiplier. Decoded at each call. */
function embeddingTable({ config, weights }: Build): Float32Array {
  const shape = [config.vocabSize, config.hidden];
  const stored = weights.get('model.embed_tokens.weight', shape).floats();
  return scaled(stored, config.embeddingScale);
}

/**
 * What the last norm is multiplied by, so that the head's product needs no more than tanh: the logits'
 * multiplier, their cap, and the embeddings' multiplier, which a tied head must not have.
 */
function headScale(config: ModelConfig): number {
  const table = config.tiedEmbeddings ? config.embeddingScale : 1;
  return config.logitsScale / (config.logitsSoftcap ?? 1) / table;
}

function head(build: Build, options: { embedding: string; input: string }): void {
  const { graph, config, weights, bits } = build;
  const { embedding, input } = options;
  const { hidden: columns, logitsSoftcap } = config;
  const shape = [config.vocabSize, columns];
  const own = (): Float32Array => weights.get('lm_head.weight', shape).floats();
  const output = logitsSoftcap === null ? 'logits' : 'logits.uncapped';
  if (bits !== null) {
    // A matrix of its own even where the file ties them: Gather goes on reading float32 rows.
    const matrices = [config.tiedEmbeddings ? embeddingTable(build) : own()];
    linear(graph, { name: 'lm_head', input, output, matrices, columns, bits });
  } else {
    const matrix = config.tiedEmbeddings ? embedding : graph.weight('lm_head', own(), shape);
    graph.node('Gemm', [input, matrix], [output], { attributes: { transB: 1 } });
  }
  if (logitsSoftcap === null) return;
  const bent = graph.node('Tanh', [output], ['logits.bent']);
  const cap = graph.weight('logits.cap', Float32Array.of(logitsSoftcap), [1]);
  graph.node('Mul', [bent, cap], ['logits']);
}
