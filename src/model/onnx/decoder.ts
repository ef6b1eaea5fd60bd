// A decoder-only model as an ONNX graph for in-place KV (ARCHITECTURE, "The graph"). One layer:
//
//   residual ─ norm ─ QKV (one MatMul) ─ GroupQueryAttention ─ O ─┐
//        └──────────────── SkipSimplifiedLayerNormalization ◀─────┘   adds and norms in one node
//                             │ gate+up (one MatMul) ─ SiLU·mul ─ down ─▶ next layer's skip
//
// Only the last position's logits are wanted, so the last layer narrows to that position right after
// attention: the rest of it and the head run on one row a sequence. What the architectures differ in is
// in the ModelConfig; attention.ts, feed-forward.ts and build.ts do as it says.

import { findMatrix, isInt4, type Matrix } from '../checkpoint/matrix.ts';
import type { ModelConfig } from '../config.ts';
import { type Bits, bitsOf, type Quantization } from '../quantize.ts';
import type { Weights } from '../safetensors.ts';
import { attention, declareHeads, rotaryTables } from './attention.ts';
import { type Build, norm, project, skipNorm } from './build.ts';
import { feedForward } from './feed-forward.ts';
import { Graph, onnxType, type Placed, type Precision } from './graph.ts';
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

export type Decoder = {
  /** The model file. */
  readonly model: Uint8Array;
  /** What its data file holds. */
  readonly placed: readonly Placed[];
  readonly dataBytes: number;
};

/**
 * Reads no weights: only that they are there, and of which shape. Throws a Fault `config` else.
 *
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
  options: { dataFile: string; quantization: Quantization; precision: Precision },
): Decoder {
  const graph = new Graph('decoder', options.dataFile, options.precision);
  const bits = options.quantization === 'none' ? null : bitsOf(options.quantization);
  const build: Build = { graph, config, weights, bits };
  declareInputs(build);
  const { table, residual: embedded } = embed(build);
  const tables = rotaryTables(build);
  declareHeads(build);
  graph.constant('rows', [-1, config.hidden], [2]);
  graph.constant('rows.attended', [-1, config.heads * config.headDim], [2]);

  let residual = embedded;
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
  head(build, { table, input: normed });
  return { model: graph.finish(), placed: graph.placed, dataBytes: graph.dataBytes };
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
      graph.input(`past.${i}.${part}`, graph.precision, cache);
      graph.output(`present.${i}.${part}`, graph.precision, cache);
    }
  }
  graph.output('logits', 'float32', ['rows', config.vocabSize]);
}

/**
 * The embeddings as the layers get them: times the model's multiplier. Where the table is only looked
 * up, 16-bit numbers stay as they are in the file: half the bytes, and the same values.
 */
function embed(build: Build): { table: string; residual: string } {
  const { graph, config, bits } = build;
  const shape = [config.vocabSize, config.hidden];
  const { data } = tableOf(build);
  const type = ({ F16: 'float16', BF16: 'bfloat16' } as const)[data.dtype as 'F16' | 'BF16'];
  const isMultiplied = bits === null && config.tiedEmbeddings;
  const name = 'embedding';
  if (type === undefined || isMultiplied || config.embeddingScale !== 1) {
    const parts = [tableOf(build)];
    const recipe = { kind: 'floats', parts, scale: config.embeddingScale, plus: 0 } as const;
    const table = graph.weight(recipe, { name, type: 'float32', shape });
    return { table, residual: graph.node('Gather', [table, 'input_ids'], ['embedded']) };
  }
  const table = graph.weight({ kind: 'copied', span: data }, { name, type, shape });
  const rows = graph.node('Gather', [table, 'input_ids'], ['embedded.stored']);
  const residual = graph.node('Cast', [rows], ['embedded'], {
    attributes: { to: onnxType[graph.precision] },
  });
  return { table, residual };
}

function tableOf({ config, weights }: Build) {
  const { vocabSize: rows, hidden: columns } = config;
  const data = weights.get('model.embed_tokens.weight', [rows, columns]).span;
  return { kind: 'dense', rows, columns, data } as const;
}

/**
 * What the last norm is multiplied by, so that the head's product needs no more than tanh: the logits'
 * multiplier, their cap, and the embeddings' multiplier, which a tied head must not have.
 */
function headScale(config: ModelConfig): number {
  const table = config.tiedEmbeddings ? config.embeddingScale : 1;
  return config.logitsScale / (config.logitsSoftcap ?? 1) / table;
}

function head(build: Build, options: { table: string; input: string }): void {
  const { graph, config, weights, bits } = build;
  const { table, input } = options;
  const { hidden, vocabSize, tiedEmbeddings, logitsSoftcap } = config;
  const last = graph.precision === 'float32' ? 'logits' : 'logits.narrow';
  const output = logitsSoftcap === null ? last : 'logits.uncapped';
  const source = { weights, scheme: config.scheme };
  const own = (): Matrix => findMatrix(source, 'lm_head', [vocabSize, hidden]);
  if (bits !== null) {
    // A matrix of its own even where the file ties them: Gather reads rows of floats.
    const parts = [tiedEmbeddings ? tableOf(build) : own()];
    const scale = tiedEmbeddings ? config.embeddingScale : 1;
    linear(graph, { name: 'lm_head', input, output, parts, scale, bits: headBits(parts, bits) });
  } else {
    const recipe = () => ({ kind: 'floats', parts: [own()], scale: 1, plus: 0 }) as const;
    const shape = [vocabSize, hidden];
    const matrix = tiedEmbeddings
      ? table
      : graph.weight(recipe(), { name: 'lm_head', type: 'float32', shape });
    graph.node('Gemm', [input, matrix], [output], { attributes: { transB: 1 } });
  }
  if (logitsSoftcap !== null) capped(graph, output, last, logitsSoftcap);
  if (last === 'logits') return;
  graph.node('Cast', [last], ['logits'], { attributes: { to: onnxType.float32 } });
}

function capped(graph: Graph, input: string, output: string, most: number): void {
  const bent = graph.node('Tanh', [input], ['logits.bent']);
  const cap = graph.weight(
    { kind: 'values', values: Float32Array.of(most) },
    { name: 'logits.cap', type: 'float32', shape: [1] },
  );
  graph.node('Mul', [bent, cap], [output]);
}

/**
 * The head decides between tokens: at 8 bits beside 4-bit layers the built-in model's divergence from
 * float32 falls by 29 %, and a decode step of a 135M model takes 4 % longer.
 */
function headBits(parts: readonly Matrix[], bits: Bits): Bits {
  return bits === 4 && parts.every(isInt4) ? 4 : 8;
}
