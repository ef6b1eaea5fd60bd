// What the exports of tests are made of: a graph that names its values as exporters do, products in the
// forms that others quantize them, norms.

import { Graph } from '../../../src/model/onnx/graph.ts';
import { blockSize, packMatrix } from '../../../src/model/quantize.ts';
import type { tinyConfig } from '../tiny-llama.ts';

export type Kind = {
  /**
   * fused: GroupQueryAttention that rotates; apart: with RotaryEmbedding beside; eager and sdpa: single
   * operators over a Concat of past and new, as optimum wrote them before and after scaled_dot_product.
   */
  readonly attention: 'fused' | 'apart' | 'eager' | 'sdpa';
  readonly positions: boolean;
  /** num_logits_to_keep among the inputs. */
  readonly keep: boolean;
  /** Names as a genai_config.json may give them. */
  readonly prefix?: string;
  /** Products as others quantize them: MatMulNBits, or DynamicQuantizeLinear and MatMulInteger. */
  readonly quantized?: 'int4' | 'int8';
  /** Logits as float16. */
  readonly halfLogits?: boolean;
  /** Kinds that are refused. */
  readonly flaw?: Flaw;
};

export type Flaw =
  | 'half-kv'
  | 'odd-input'
  | 'last-logits'
  | 'capped-scores'
  | 'second-bias'
  | 'odd-scale'
  | 'positions-of-kv'
  | 'windowed-kv'
  | 'other-operator'
  | 'repeated-apart'
  | 'no-past';

/** What the script reads of a config.json. */
export type ExportConfig = Pick<
  typeof tinyConfig,
  | 'num_hidden_layers'
  | 'num_attention_heads'
  | 'num_key_value_heads'
  | 'vocab_size'
  | 'head_dim'
  | 'max_position_embeddings'
  | 'rms_norm_eps'
  | 'rope_theta'
>;

/** Weights by their names, [rows, columns] row-major. */
export type Tensors = { get(name: string): { shape: number[]; values: Float32Array } | undefined };

export const microsoft = { domain: 'com.microsoft' } as const;

export class ExportOps {
  readonly graph: Graph;
  protected readonly kind: Kind;
  protected readonly tensors: Tensors;
  protected readonly config: ExportConfig;
  private count = 0;

  constructor(source: { kind: Kind; tensors: Tensors; config: ExportConfig; dataFile: string }) {
    const { kind, tensors, config, dataFile } = source;
    this.config = config;
    this.graph = new Graph('main_graph', dataFile);
    this.kind = kind;
    this.tensors = tensors;
  }

  protected name(name: string): string {
    return `${this.kind.prefix ?? ''}${name}`;
  }

  protected norm(input: string, weight: string): string {
    const { attention } = this.kind;
    const gamma = this.weight(weight);
    if (attention === 'fused' || attention === 'apart') {
      const attributes = { axis: -1, epsilon: { float: this.config.rms_norm_eps }, stash_type: 1 };
      return this.op('SimplifiedLayerNormalization', [input, gamma], attributes);
    }
    const squares = this.op('Pow', [input, this.float(2)]);
    const mean = this.op('ReduceMean', [squares, this.ints([-1])]);
    const root = this.op('Sqrt', [this.op('Add', [mean, this.float(this.config.rms_norm_eps)])]);
    return this.op('Mul', [gamma, this.op('Div', [input, root])]);
  }

  protected product(input: string, weight: string): string {
    switch (this.kind.quantized) {
      case 'int4':
        return this.blocks(input, weight, 4);
      case 'int8':
        return this.integers(input, weight);
      default:
        return this.op('MatMul', [input, this.weight(weight, true)]);
    }
  }

  protected head(input: string): void {
    const logits = this.name('logits');
    if (this.kind.halfLogits === true) {
      const cast = this.op('Cast', [this.headProduct(input)], { to: 10 });
      this.graph.node('Identity', [cast], [logits]);
    } else if (this.kind.quantized === undefined) {
      const weight = this.weight('lm_head.weight', true);
      this.graph.node('MatMul', [input, weight], [logits]);
    } else {
      this.graph.node('Identity', [this.headProduct(input)], [logits]);
    }
  }

  private headProduct(input: string): string {
    // Eight bits beside four, as our own graph has it.
    return this.kind.quantized === 'int4'
      ? this.blocks(input, 'lm_head.weight', 8)
      : this.product(input, 'lm_head.weight');
  }

  /** As our own graph has it, so that both give the same. */
  protected blocks(input: string, name: string, bits: 4 | 8): string {
    const { shape, values } = this.tensors.get(name) ?? { shape: [], values: new Float32Array() };
    const [rows = 0, columns = 0] = shape;
    const { blob, scales } = packMatrix([values], columns, bits);
    const blocks = Math.ceil(columns / blockSize);
    const codes = this.bytes(name, blob, [rows, blocks, blob.length / rows / blocks]);
    const scale = this.values(`${name}.scales`, scales, [rows, blocks]);
    const attributes = { K: columns, N: rows, bits, block_size: blockSize, accuracy_level: 4 };
    return this.op('MatMulNBits', [input, codes, scale], attributes, microsoft);
  }

  /** One scale a matrix, as onnxruntime.quantization.quantize_dynamic has it. */
  protected integers(input: string, name: string): string {
    const { shape, values } = this.tensors.get(name) ?? { shape: [], values: new Float32Array() };
    const [rows = 0, columns = 0] = shape;
    const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
    const codes = Uint8Array.from({ length: values.length }, (_, i) => {
      const [column, row] = [Math.floor(i / rows), i % rows];
      return Math.round((values[row * columns + column] ?? 0) / scale) + 128;
    });
    const matrix = this.bytes(`${name}_quantized`, codes, [columns, rows]);
    const zero = this.op('Cast', [this.ints(128)], { to: 2 });
    const rounded = `/Quantize_${this.count++}`;
    const outputs = ['output', 'scale', 'zero_point'].map((part) => `${rounded}_${part}`);
    const [output = '', inputScale = '', inputZero = ''] = outputs;
    this.graph.node('DynamicQuantizeLinear', [input], outputs);
    const product = this.op('MatMulInteger', [output, matrix, inputZero, zero]);
    const scales = this.op('Mul', [inputScale, this.float(scale)]);
    return this.op('Mul', [this.op('Cast', [product], { to: 1 }), scales]);
  }

  protected weight(name: string, isTurned = false): string {
    const { shape, values } = this.tensors.get(name) ?? { shape: [], values: new Float32Array() };
    if (!isTurned) return this.values(name, values, shape);
    const [rows = 0, columns = 0] = shape;
    const turned = Float32Array.from(values, (_, i) => {
      const [column, row] = [Math.floor(i / rows), i % rows];
      return values[row * columns + column] ?? 0;
    });
    return this.values(name, turned, [columns, rows]);
  }

  protected values(name: string, values: Float32Array, shape: readonly number[]): string {
    return this.graph.weight({ kind: 'values', values }, { name, type: 'float32', shape });
  }

  /** uint8; as many as fill whole floats. */
  protected bytes(name: string, bytes: Uint8Array, shape: readonly number[]): string {
    const values = new Float32Array(bytes.slice().buffer);
    return this.graph.weight({ kind: 'values', values }, { name, type: 'uint8', shape });
  }

  /** Of one head's rotated halves. */
  protected get half(): number {
    return this.config.head_dim / 2;
  }

  protected frequency(pair: number): number {
    return this.config.rope_theta ** ((-2 * pair) / this.config.head_dim);
  }

  protected float(value: number): string {
    return this.op('Constant', [], { value_float: { float: value } });
  }

  protected ints(values: number | readonly number[], shape?: readonly number[]): string {
    const list = typeof values === 'number' ? [values] : values;
    const dims = shape ?? (typeof values === 'number' ? [] : [list.length]);
    return this.graph.constant(`ints.${this.count++}`, list, dims);
  }

  protected op(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, number | { float: number } | readonly number[]>> = {},
    options: { domain?: 'com.microsoft' } = {},
  ): string {
    const output = `/${type}_${this.count++}_output_0`;
    return this.graph.node(type, inputs, [output], { ...options, attributes });
  }
}
