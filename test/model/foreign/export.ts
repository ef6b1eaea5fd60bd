// Exports of the tiny Llama as others make them, small graphs of each kind that is served: the script
// behind the tests of ONNX folders. What is the same in all of them is in `Export`; the kinds differ in
// attention, in what they want to be fed and in where the weights lie.

import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { OnnxType } from '../../../src/model/onnx/graph.ts';
import { writeWeights } from '../../../src/model/weight-writer.ts';
import { tinyConfig } from '../tiny-llama.ts';
import { type ExportConfig, type Kind, microsoft, type Tensors } from './export-ops.ts';
import { SingleAttention } from './export-single.ts';

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

class Export extends SingleAttention {
  build(): Uint8Array {
    const { attention, positions, keep, flaw } = this.kind;
    this.declare();
    const isFused = attention === 'fused' || attention === 'apart';
    const lengths = isFused ? this.lengths() : this.mask();
    const rotation = isFused ? this.tables() : this.waves();
    let residual = this.op('Gather', [
      this.weight('model.embed_tokens.weight'),
      this.name('input_ids'),
    ]);
    for (let layer = 0; layer < this.config.num_hidden_layers; layer++) {
      const prefix = `model.layers.${layer}`;
      const normed = this.norm(residual, `${prefix}.input_layernorm.weight`);
      const [q, k, v] = ['q', 'k', 'v'].map((part) =>
        this.product(normed, `${prefix}.self_attn.${part}_proj.weight`),
      );
      const qkv = [q ?? '', k ?? '', v ?? ''];
      const attended = isFused
        ? this.fused(layer, qkv, lengths, rotation)
        : this.single(layer, qkv, lengths[0] ?? '', rotation);
      const output = this.product(attended, `${prefix}.self_attn.o_proj.weight`);
      residual = this.op('Add', [residual, output]);
      const inner = this.norm(residual, `${prefix}.post_attention_layernorm.weight`);
      const gate = this.product(inner, `${prefix}.mlp.gate_proj.weight`);
      const up = this.product(inner, `${prefix}.mlp.up_proj.weight`);
      const silu = this.op('Mul', [gate, this.op('Sigmoid', [gate])]);
      const down = this.product(this.op('Mul', [silu, up]), `${prefix}.mlp.down_proj.weight`);
      residual = this.op('Add', [residual, down]);
    }
    let last = this.norm(residual, 'model.norm.weight');
    if (keep) {
      const begin = this.op('Neg', [this.op('Reshape', ['num_logits_to_keep', this.ints([1])])]);
      last = this.op('Slice', [last, begin, this.ints([2 ** 40]), this.ints([1])]);
    }
    if (flaw === 'last-logits') {
      last = this.op('Slice', [last, this.ints([-1]), this.ints([2 ** 40]), this.ints([1])]);
    }
    this.head(last);
    this.graph.output(this.name('logits'), this.kind.halfLogits === true ? 'float16' : 'float32', [
      'batch',
      flaw === 'last-logits' ? 1 : 'sequence',
      this.config.vocab_size,
    ]);
    if (!positions && attention !== 'fused') this.positionsOfPast();
    return this.graph.finish();
  }

  protected declare(): void {
    const { positions, keep, flaw } = this.kind;
    this.graph.input(this.name('input_ids'), 'int64', ['batch', 'sequence']);
    this.graph.input(this.name('attention_mask'), 'int64', ['batch', 'total']);
    if (positions) this.graph.input(this.name('position_ids'), 'int64', ['batch', 'sequence']);
    if (keep) this.graph.input('num_logits_to_keep', 'int64', []);
    if (flaw === 'odd-input') this.graph.input('past_conv.0', 'float32', ['batch', 64, 3]);
    const type: OnnxType = flaw === 'half-kv' ? 'float16' : 'float32';
    if (flaw === 'no-past') return;
    for (let layer = 0; layer < this.config.num_hidden_layers; layer++) {
      for (const part of ['key', 'value']) {
        this.graph.input(this.name(`past_key_values.${layer}.${part}`), type, [
          ...['batch', this.config.num_key_value_heads, 'past', this.config.head_dim],
        ]);
        this.graph.output(this.name(`present.${layer}.${part}`), type, [
          ...['batch', this.config.num_key_value_heads, 'total', this.config.head_dim],
        ]);
      }
    }
  }

  /** seqlens_k and total_sequence_length, as every exporter makes them of the mask. */
  protected lengths(): string[] {
    const mask = this.name('attention_mask');
    const sum = this.op('ReduceSum', [mask, this.ints([1])], { keepdims: 0 });
    const last = this.op('Cast', [this.op('Sub', [sum, this.ints([1])])], { to: 6 });
    const width = this.op('Gather', [this.op('Shape', [mask]), this.ints(1)], { axis: 0 });
    // By chance it has the name of an input of ours.
    this.graph.node('Cast', [width], ['total_sequence_length'], { attributes: { to: 6 } });
    return [last, 'total_sequence_length'];
  }

  protected tables(): string[] {
    return ['cos', 'sin'].map((wave) => {
      const f = wave === 'cos' ? Math.cos : Math.sin;
      const values = Float32Array.from(
        { length: this.config.max_position_embeddings * this.half },
        (_, i) => f(Math.floor(i / this.half) * this.frequency(i % this.half)),
      );
      return this.values(`${wave}_cache`, values, [this.config.max_position_embeddings, this.half]);
    });
  }

  protected fused(
    layer: number,
    qkv: readonly string[],
    lengths: string[],
    tables: string[],
  ): string {
    const { attention, flaw } = this.kind;
    const [q = '', k = '', v = ''] = qkv;
    const rotated = (name: string, count: number): string =>
      this.op(
        'RotaryEmbedding',
        [name, this.name('position_ids'), ...tables],
        { num_heads: count, rotary_embedding_dim: this.config.head_dim, interleaved: 0 },
        microsoft,
      );
    const isApart = attention === 'apart';
    const past = this.cache('past_key_values', layer);
    const inputs = isApart
      ? [
          rotated(q, this.config.num_attention_heads),
          rotated(k, this.config.num_key_value_heads),
          v,
        ]
      : [q, k, v];
    const output = `attended.${layer}`;
    this.graph.node(
      flaw === 'other-operator' ? 'MultiHeadAttention' : 'GroupQueryAttention',
      [...inputs, ...past, ...lengths, ...(isApart ? [] : tables)],
      [output, ...this.cache('present', layer)],
      {
        ...microsoft,
        attributes: {
          num_heads: this.config.num_attention_heads,
          kv_num_heads: this.config.num_key_value_heads,
          do_rotary: isApart ? 0 : 1,
          scale: { float: 1 / Math.sqrt(this.config.head_dim) },
          ...(flaw === 'windowed-kv' ? { sliding_window_cache: 1, local_window_size: 16 } : {}),
        },
      },
    );
    return output;
  }
}
