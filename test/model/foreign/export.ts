// Exports of the tiny Llama as others make them, small graphs of each kind that is served: the script
// behind the tests of ONNX folders. What is the same in all of them is in `Export`; the kinds differ in
// attention, in what they want to be fed and in where the weights lie.

import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Graph, type OnnxType } from '../../../src/model/onnx/graph.ts';
import { blockSize, packMatrix } from '../../../src/model/quantize.ts';
import { writeWeights } from '../../../src/model/weight-writer.ts';
import { tinyConfig } from '../tiny-llama.ts';

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

const microsoft = { domain: 'com.microsoft' } as const;

/** Writes `path` and its data beside it. */
export function writeExport(
  path: string,
  kind: Kind,
  tensors: Tensors,
  config: ExportConfig = tinyConfig,
): void {
  mkdirSync(dirname(path), { recursive: true });
  const dataFile = `${path.split('/').at(-1)}_data`;
  const made = new Export({ kind, tensors, config, dataFile });
  writeFileSync(path, made.build());
  const fd = openSync(join(dirname(path), dataFile), 'w');
  writeWeights(made.graph.placed, fd);
  closeSync(fd);
}

class Export {
  readonly graph: Graph;
  readonly #kind: Kind;
  readonly #tensors: Tensors;
  readonly #config: ExportConfig;
  #count = 0;

  constructor(source: { kind: Kind; tensors: Tensors; config: ExportConfig; dataFile: string }) {
    const { kind, tensors, config, dataFile } = source;
    this.#config = config;
    this.graph = new Graph('main_graph', dataFile);
    this.#kind = kind;
    this.#tensors = tensors;
  }

  build(): Uint8Array {
    const { attention, positions, keep, flaw } = this.#kind;
    this.#declare();
    const isFused = attention === 'fused' || attention === 'apart';
    const lengths = isFused ? this.#lengths() : this.#mask();
    const rotation = isFused ? this.#tables() : this.#waves();
    let residual = this.#op('Gather', [
      this.#weight('model.embed_tokens.weight'),
      this.#name('input_ids'),
    ]);
    for (let layer = 0; layer < this.#config.num_hidden_layers; layer++) {
      const prefix = `model.layers.${layer}`;
      const normed = this.#norm(residual, `${prefix}.input_layernorm.weight`);
      const [q, k, v] = ['q', 'k', 'v'].map((part) =>
        this.#product(normed, `${prefix}.self_attn.${part}_proj.weight`),
      );
      const qkv = [q ?? '', k ?? '', v ?? ''];
      const attended = isFused
        ? this.#fused(layer, qkv, lengths, rotation)
        : this.#single(layer, qkv, lengths[0] ?? '', rotation);
      const output = this.#product(attended, `${prefix}.self_attn.o_proj.weight`);
      residual = this.#op('Add', [residual, output]);
      const inner = this.#norm(residual, `${prefix}.post_attention_layernorm.weight`);
      const gate = this.#product(inner, `${prefix}.mlp.gate_proj.weight`);
      const up = this.#product(inner, `${prefix}.mlp.up_proj.weight`);
      const silu = this.#op('Mul', [gate, this.#op('Sigmoid', [gate])]);
      const down = this.#product(this.#op('Mul', [silu, up]), `${prefix}.mlp.down_proj.weight`);
      residual = this.#op('Add', [residual, down]);
    }
    let last = this.#norm(residual, 'model.norm.weight');
    if (keep) {
      const begin = this.#op('Neg', [this.#op('Reshape', ['num_logits_to_keep', this.#ints([1])])]);
      last = this.#op('Slice', [last, begin, this.#ints([2 ** 40]), this.#ints([1])]);
    }
    if (flaw === 'last-logits') {
      last = this.#op('Slice', [last, this.#ints([-1]), this.#ints([2 ** 40]), this.#ints([1])]);
    }
    this.#head(last);
    this.graph.output(this.#name('logits'), 'float32', [
      'batch',
      flaw === 'last-logits' ? 1 : 'sequence',
      this.#config.vocab_size,
    ]);
    if (!positions && attention !== 'fused') this.#positionsOfPast();
    return this.graph.finish();
  }

  #name(name: string): string {
    return `${this.#kind.prefix ?? ''}${name}`;
  }

  #declare(): void {
    const { positions, keep, flaw } = this.#kind;
    this.graph.input(this.#name('input_ids'), 'int64', ['batch', 'sequence']);
    this.graph.input(this.#name('attention_mask'), 'int64', ['batch', 'total']);
    if (positions) this.graph.input(this.#name('position_ids'), 'int64', ['batch', 'sequence']);
    if (keep) this.graph.input('num_logits_to_keep', 'int64', []);
    if (flaw === 'odd-input') this.graph.input('past_conv.0', 'float32', ['batch', 64, 3]);
    const type: OnnxType = flaw === 'half-kv' ? 'float16' : 'float32';
    if (flaw === 'no-past') return;
    for (let layer = 0; layer < this.#config.num_hidden_layers; layer++) {
      for (const part of ['key', 'value']) {
        this.graph.input(this.#name(`past_key_values.${layer}.${part}`), type, [
          ...['batch', this.#config.num_key_value_heads, 'past', this.#config.head_dim],
        ]);
        this.graph.output(this.#name(`present.${layer}.${part}`), type, [
          ...['batch', this.#config.num_key_value_heads, 'total', this.#config.head_dim],
        ]);
      }
    }
  }

  /** seqlens_k and total_sequence_length, as every exporter makes them of the mask. */
  #lengths(): string[] {
    const mask = this.#name('attention_mask');
    const sum = this.#op('ReduceSum', [mask, this.#ints([1])], { keepdims: 0 });
    const last = this.#op('Cast', [this.#op('Sub', [sum, this.#ints([1])])], { to: 6 });
    const width = this.#op('Gather', [this.#op('Shape', [mask]), this.#ints(1)], { axis: 0 });
    // By chance it has the name of an input of ours.
    this.graph.node('Cast', [width], ['total_sequence_length'], { attributes: { to: 6 } });
    return [last, 'total_sequence_length'];
  }

  #tables(): string[] {
    return ['cos', 'sin'].map((wave) => {
      const f = wave === 'cos' ? Math.cos : Math.sin;
      const values = Float32Array.from(
        { length: this.#config.max_position_embeddings * this.#half },
        (_, i) => f(Math.floor(i / this.#half) * this.#frequency(i % this.#half)),
      );
      return this.#values(`${wave}_cache`, values, [
        this.#config.max_position_embeddings,
        this.#half,
      ]);
    });
  }

  #fused(layer: number, qkv: readonly string[], lengths: string[], tables: string[]): string {
    const { attention, flaw } = this.#kind;
    const [q = '', k = '', v = ''] = qkv;
    const rotated = (name: string, count: number): string =>
      this.#op(
        'RotaryEmbedding',
        [name, this.#name('position_ids'), ...tables],
        { num_heads: count, rotary_embedding_dim: this.#config.head_dim, interleaved: 0 },
        microsoft,
      );
    const isApart = attention === 'apart';
    const past = this.#cache('past_key_values', layer);
    const inputs = isApart
      ? [
          rotated(q, this.#config.num_attention_heads),
          rotated(k, this.#config.num_key_value_heads),
          v,
        ]
      : [q, k, v];
    const output = `attended.${layer}`;
    this.graph.node(
      flaw === 'other-operator' ? 'MultiHeadAttention' : 'GroupQueryAttention',
      [...inputs, ...past, ...lengths, ...(isApart ? [] : tables)],
      [output, ...this.#cache('present', layer)],
      {
        ...microsoft,
        attributes: {
          num_heads: this.#config.num_attention_heads,
          kv_num_heads: this.#config.num_key_value_heads,
          do_rotary: isApart ? 0 : 1,
          scale: { float: 1 / Math.sqrt(this.#config.head_dim) },
          ...(flaw === 'windowed-kv' ? { sliding_window_cache: 1, local_window_size: 16 } : {}),
        },
      },
    );
    return output;
  }

  #cache(side: string, layer: number): string[] {
    return ['key', 'value'].map((part) => this.#name(`${side}.${layer}.${part}`));
  }

  /** What is added to scores, [batch, 1, sequence, total]: −∞ above the diagonal and where the mask has 0. */
  #mask(): string[] {
    const mask = this.#name('attention_mask');
    const total = this.#op('Gather', [this.#op('Shape', [mask]), this.#ints(1)], { axis: 0 });
    const ids = this.#op('Shape', [this.#name('input_ids')]);
    const sequence = this.#op('Gather', [ids, this.#ints(1)], { axis: 0 });
    const past = this.#op('Sub', [total, sequence]);
    const rows = this.#op('Range', [past, total, this.#ints(1)]);
    const columns = this.#op('Range', [this.#ints(0), total, this.#ints(1)]);
    const sees = this.#op('LessOrEqual', [
      columns,
      this.#op('Reshape', [rows, this.#ints([-1, 1])]),
    ]);
    const [zero, low] = [this.#float(0), this.#float(-3e38)];
    const causal = this.#op('Where', [sees, zero, low]);
    const padded = this.#op('Equal', [mask, this.#ints(0)]);
    const padding = this.#op('Where', [padded, low, zero]);
    const wide = this.#op('Unsqueeze', [padding, this.#ints([1, 2])]);
    return [this.#op('Min', [causal, wide])];
  }

  /** cos and sin of each token's angles, [batch, 1, sequence, headDim]. */
  #waves(): string[] {
    const { attention, flaw } = this.#kind;
    const positions =
      flaw === 'positions-of-kv' ? this.#positionsOfPast() : this.#name('position_ids');
    if (attention === 'eager') {
      // Tables of all angles, cut at the length of the KV as Llama's first code did.
      const length = this.#op('Add', [this.#lengthOfPast(), this.#ints([1])]);
      return ['cos', 'sin'].map((wave) => {
        const f = wave === 'cos' ? Math.cos : Math.sin;
        const values = Float32Array.from(
          { length: this.#config.max_position_embeddings * this.#config.head_dim },
          (_, i) =>
            f(
              Math.floor(i / this.#config.head_dim) *
                this.#frequency((i % this.#config.head_dim) % this.#half),
            ),
        );
        const all = this.#values(`${wave}_cached`, values, [
          this.#config.max_position_embeddings,
          this.#config.head_dim,
        ]);
        const end = this.#op('Add', [length, this.#ints([this.#config.max_position_embeddings])]);
        const cut = this.#op('Slice', [all, this.#ints([0]), end, this.#ints([0])]);
        const own = this.#op('Gather', [cut, positions], { axis: 0 });
        return this.#op('Unsqueeze', [own, this.#ints([1])]);
      });
    }
    const frequencies = Float32Array.from({ length: this.#half }, (_, i) => this.#frequency(i));
    const inverse = this.#values('inv_freq', frequencies, [1, 1, this.#half]);
    const places = this.#op('Cast', [this.#op('Unsqueeze', [positions, this.#ints([2])])], {
      to: 1,
    });
    const angles = this.#op('Mul', [places, inverse]);
    const both = this.#op('Concat', [angles, angles], { axis: -1 });
    return ['Cos', 'Sin'].map((wave) =>
      this.#op('Unsqueeze', [this.#op(wave, [both]), this.#ints([1])]),
    );
  }

  #lengthOfPast(): string {
    const shape = this.#op('Shape', [this.#name('past_key_values.0.key')]);
    return this.#op('Slice', [shape, this.#ints([2]), this.#ints([3]), this.#ints([0])]);
  }

  #positionsOfPast(): string {
    const past = this.#op('Reshape', [this.#lengthOfPast(), this.#ints([], [0])]);
    const ids = this.#op('Shape', [this.#name('input_ids')]);
    const sequence = this.#op('Gather', [ids, this.#ints(1)], { axis: 0 });
    const end = this.#op('Add', [past, sequence]);
    const row = this.#op('Range', [past, end, this.#ints(1)]);
    return this.#op('Unsqueeze', [row, this.#ints([0])]);
  }

  #single(layer: number, qkv: readonly string[], mask: string, waves: string[]): string {
    const { attention, flaw } = this.#kind;
    const apart = (name: string): string =>
      this.#op(
        'Transpose',
        [this.#op('Reshape', [name, this.#ints([0, 0, -1, this.#config.head_dim])])],
        {
          perm: [0, 2, 1, 3],
        },
      );
    const [q = '', k = '', v = ''] = qkv.map(apart);
    const [pastKey = '', pastValue = ''] = this.#cache('past_key_values', layer);
    const [key = '', value = ''] = this.#cache('present', layer);
    this.graph.node('Concat', [pastKey, this.#rotate(k, waves)], [key], {
      attributes: { axis: 2 },
    });
    this.graph.node('Concat', [pastValue, v], [value], { attributes: { axis: -2 } });
    const query = this.#rotate(q, waves);
    const keys = this.#op('Transpose', [this.#repeat(key)], { perm: [0, 1, 3, 2] });
    let scores =
      attention === 'eager'
        ? this.#op('Div', [
            this.#op('MatMul', [query, keys]),
            this.#float(flaw === 'odd-scale' ? 3 : Math.sqrt(this.#config.head_dim)),
          ])
        : this.#scaledProduct(query, keys);
    if (flaw === 'capped-scores') scores = this.#op('Tanh', [scores]);
    if (flaw === 'second-bias') scores = this.#op('Add', [scores, this.#float(0.5)]);
    const weights = this.#op('Softmax', [this.#op('Add', [scores, mask])], { axis: -1 });
    const safe =
      attention === 'eager'
        ? weights
        : this.#op('Where', [this.#op('IsNaN', [weights]), this.#float(0), weights]);
    const attended = this.#op('MatMul', [safe, this.#repeat(value)]);
    const together = this.#op('Transpose', [attended], { perm: [0, 2, 1, 3] });
    return this.#op('Reshape', [together, this.#ints([0, 0, -1])]);
  }

  /** Both sides times √scale, which is computed from the query's shape. */
  #scaledProduct(query: string, keys: string): string {
    const shape = this.#op('Shape', [query]);
    const size = this.#op('Slice', [
      shape,
      this.#ints([-1]),
      this.#ints([2 ** 40]),
      this.#ints([0]),
    ]);
    const root = this.#op('Sqrt', [this.#op('Cast', [size], { to: 1 })]);
    const scale = this.#op('Sqrt', [this.#op('Div', [this.#float(1), root])]);
    return this.#op('MatMul', [this.#op('Mul', [query, scale]), this.#op('Mul', [keys, scale])]);
  }

  #rotate(name: string, [cos = '', sin = '']: readonly string[]): string {
    const slice = (begin: number, end: number): string =>
      this.#op('Slice', [name, this.#ints([begin]), this.#ints([end]), this.#ints([3])]);
    const turned = this.#op(
      'Concat',
      [this.#op('Neg', [slice(this.#half, this.#config.head_dim)]), slice(0, this.#half)],
      {
        axis: -1,
      },
    );
    return this.#op('Add', [this.#op('Mul', [name, cos]), this.#op('Mul', [turned, sin])]);
  }

  /** repeat_kv: [b, kvHeads, t, d] → [b, heads, t, d]. */
  #repeat(name: string): string {
    const shape = this.#op('Shape', [name]);
    const at = (index: number): string =>
      this.#op('Slice', [shape, this.#ints([index]), this.#ints([index + 1]), this.#ints([0])]);
    const [batch, total] = [at(0), at(2)];
    const sizes = [
      batch,
      this.#ints([this.#config.num_key_value_heads]),
      this.#ints([this.#config.num_attention_heads / this.#config.num_key_value_heads]),
      total,
    ];
    const wide = this.#op('Expand', [
      this.#op('Unsqueeze', [name, this.#ints([this.#kind.flaw === 'repeated-apart' ? 1 : 2])]),
      this.#op('Concat', [...sizes, this.#ints([this.#config.head_dim])], { axis: 0 }),
    ]);
    const flat = this.#op(
      'Concat',
      [
        batch,
        this.#ints([this.#config.num_attention_heads]),
        total,
        this.#ints([this.#config.head_dim]),
      ],
      {
        axis: 0,
      },
    );
    return this.#op('Reshape', [wide, flat]);
  }

  #norm(input: string, weight: string): string {
    const { attention } = this.#kind;
    const gamma = this.#weight(weight);
    if (attention === 'fused' || attention === 'apart') {
      const attributes = { axis: -1, epsilon: { float: this.#config.rms_norm_eps }, stash_type: 1 };
      return this.#op('SimplifiedLayerNormalization', [input, gamma], attributes);
    }
    const squares = this.#op('Pow', [input, this.#float(2)]);
    const mean = this.#op('ReduceMean', [squares, this.#ints([-1])]);
    const root = this.#op('Sqrt', [
      this.#op('Add', [mean, this.#float(this.#config.rms_norm_eps)]),
    ]);
    return this.#op('Mul', [gamma, this.#op('Div', [input, root])]);
  }

  #product(input: string, weight: string): string {
    switch (this.#kind.quantized) {
      case 'int4':
        return this.#blocks(input, weight, 4);
      case 'int8':
        return this.#integers(input, weight);
      default:
        return this.#op('MatMul', [input, this.#weight(weight, true)]);
    }
  }

  #head(input: string): void {
    const logits = this.#name('logits');
    const { quantized } = this.#kind;
    if (quantized === undefined) {
      const weight = this.#weight('lm_head.weight', true);
      this.graph.node('MatMul', [input, weight], [logits]);
      return;
    }
    const isInt4 = quantized === 'int4';
    const product = isInt4
      ? this.#blocks(input, 'lm_head.weight', 8)
      : this.#integers(input, 'lm_head.weight');
    this.graph.node('Identity', [product], [logits]);
  }

  /** As our own graph has it, so that both give the same. */
  #blocks(input: string, name: string, bits: 4 | 8): string {
    const { shape, values } = this.#tensors.get(name) ?? { shape: [], values: new Float32Array() };
    const [rows = 0, columns = 0] = shape;
    const { blob, scales } = packMatrix([values], columns, bits);
    const blocks = Math.ceil(columns / blockSize);
    const codes = this.#bytes(name, blob, [rows, blocks, blob.length / rows / blocks]);
    const scale = this.#values(`${name}.scales`, scales, [rows, blocks]);
    const attributes = { K: columns, N: rows, bits, block_size: blockSize, accuracy_level: 4 };
    return this.#op('MatMulNBits', [input, codes, scale], attributes, microsoft);
  }

  /** One scale a matrix, as onnxruntime.quantization.quantize_dynamic has it. */
  #integers(input: string, name: string): string {
    const { shape, values } = this.#tensors.get(name) ?? { shape: [], values: new Float32Array() };
    const [rows = 0, columns = 0] = shape;
    const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
    const codes = Uint8Array.from({ length: values.length }, (_, i) => {
      const [column, row] = [Math.floor(i / rows), i % rows];
      return Math.round((values[row * columns + column] ?? 0) / scale) + 128;
    });
    const matrix = this.#bytes(`${name}_quantized`, codes, [columns, rows]);
    const zero = this.#op('Cast', [this.#ints(128)], { to: 2 });
    const rounded = `/Quantize_${this.#count++}`;
    const outputs = ['output', 'scale', 'zero_point'].map((part) => `${rounded}_${part}`);
    const [output = '', inputScale = '', inputZero = ''] = outputs;
    this.graph.node('DynamicQuantizeLinear', [input], outputs);
    const product = this.#op('MatMulInteger', [output, matrix, inputZero, zero]);
    const scales = this.#op('Mul', [inputScale, this.#float(scale)]);
    return this.#op('Mul', [this.#op('Cast', [product], { to: 1 }), scales]);
  }

  #weight(name: string, isTurned = false): string {
    const { shape, values } = this.#tensors.get(name) ?? { shape: [], values: new Float32Array() };
    if (!isTurned) return this.#values(name, values, shape);
    const [rows = 0, columns = 0] = shape;
    const turned = Float32Array.from(values, (_, i) => {
      const [column, row] = [Math.floor(i / rows), i % rows];
      return values[row * columns + column] ?? 0;
    });
    return this.#values(name, turned, [columns, rows]);
  }

  #values(name: string, values: Float32Array, shape: readonly number[]): string {
    return this.graph.weight({ kind: 'values', values }, { name, type: 'float32', shape });
  }

  /** uint8; as many as fill whole floats. */
  #bytes(name: string, bytes: Uint8Array, shape: readonly number[]): string {
    const values = new Float32Array(bytes.slice().buffer);
    return this.graph.weight({ kind: 'values', values }, { name, type: 'uint8', shape });
  }

  /** Of one head's rotated halves. */
  get #half(): number {
    return this.#config.head_dim / 2;
  }

  #frequency(pair: number): number {
    return this.#config.rope_theta ** ((-2 * pair) / this.#config.head_dim);
  }

  #float(value: number): string {
    return this.#op('Constant', [], { value_float: { float: value } });
  }

  #ints(values: number | readonly number[], shape?: readonly number[]): string {
    const list = typeof values === 'number' ? [values] : values;
    const dims = shape ?? (typeof values === 'number' ? [] : [list.length]);
    return this.graph.constant(`ints.${this.#count++}`, list, dims);
  }

  #op(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, number | { float: number } | readonly number[]>> = {},
    options: { domain?: 'com.microsoft' } = {},
  ): string {
    const output = `/${type}_${this.#count++}_output_0`;
    return this.graph.node(type, inputs, [output], { ...options, attributes });
  }
}
