// A very small Llama with random weights as a Hugging Face folder, and the same model computed the
// plain way: loops over numbers, no cache, no fusion. The naive brother of graph and session.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ModelConfig } from '../../src/model/config.ts';
import { seededChance } from '../../src/std/prng.ts';

export const tinyConfig = {
  architectures: ['LlamaForCausalLM'],
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  vocab_size: 320,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: false,
  hidden_act: 'silu',
  eos_token_id: 319,
};

export type TinyTensors = ReadonlyMap<string, { shape: number[]; values: Float32Array }>;

export function tinyTensors(seed: number): TinyTensors {
  const chance = seededChance(seed);
  const { hidden_size: h, intermediate_size: f, vocab_size: vocab } = tinyConfig;
  const tensors = new Map<string, { shape: number[]; values: Float32Array }>();
  const add = (name: string, ...shape: number[]): void => {
    const count = shape.reduce((a, b) => a * b, 1);
    const isNorm = shape.length === 1;
    const spread = isNorm ? 0.4 : 2.4 / Math.sqrt(shape[1] ?? 1);
    const values = Float32Array.from(
      { length: count },
      () => (isNorm ? 1 : 0) + spread * (chance.u32() / 2 ** 32 - 0.5),
    );
    tensors.set(name, { shape, values });
  };
  add('model.embed_tokens.weight', vocab, h);
  for (let i = 0; i < tinyConfig.num_hidden_layers; i++) {
    const layer = `model.layers.${i}`;
    add(`${layer}.self_attn.q_proj.weight`, 64, h);
    add(`${layer}.self_attn.k_proj.weight`, 32, h);
    add(`${layer}.self_attn.v_proj.weight`, 32, h);
    add(`${layer}.self_attn.o_proj.weight`, h, 64);
    add(`${layer}.mlp.gate_proj.weight`, f, h);
    add(`${layer}.mlp.up_proj.weight`, f, h);
    add(`${layer}.mlp.down_proj.weight`, h, f);
    add(`${layer}.input_layernorm.weight`, h);
    add(`${layer}.post_attention_layernorm.weight`, h);
  }
  add('model.norm.weight', h);
  add('lm_head.weight', vocab, h);
  return tensors;
}

/** The folder; the caller removes it. */
export function writeTinyModel(seed: number, overrides: Record<string, unknown> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'tdist-tiny-'));
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...tinyConfig, ...overrides }));
  writeFileSync(join(folder, 'tokenizer.json'), '{}');
  writeFileSync(join(folder, 'tokenizer_config.json'), '{}');
  writeFileSync(join(folder, 'model.safetensors'), safetensors(tinyTensors(seed)));
  return folder;
}

export function safetensors(tensors: TinyTensors): Uint8Array {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, { shape, values }] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const out = new Uint8Array(8 + json.byteLength + end);
  new DataView(out.buffer).setBigUint64(0, BigInt(json.byteLength), true);
  out.set(json, 8);
  let at = 8 + json.byteLength;
  for (const { values } of tensors.values()) {
    out.set(new Uint8Array(values.buffer), at);
    at += values.byteLength;
  }
  return out;
}

/** Logits [vocab] after the last of `ids`, computed from scratch. */
export function naiveLogits(
  config: ModelConfig,
  tensors: TinyTensors,
  ids: readonly number[],
): number[] {
  const get = (name: string): Float32Array => tensors.get(name)?.values ?? new Float32Array();
  let states = ids.map((id) => [
    ...get('model.embed_tokens.weight').subarray(id * config.hidden, (id + 1) * config.hidden),
  ]);
  for (let i = 0; i < config.layers; i++) {
    const layer = `model.layers.${i}`;
    const normed = states.map((x) => norm(x, get(`${layer}.input_layernorm.weight`), config));
    const mixed = attend(config, normed, (part) => get(`${layer}.self_attn.${part}_proj.weight`));
    states = states.map((x, t) =>
      plus(x, times(get(`${layer}.self_attn.o_proj.weight`), mixed[t] ?? [])),
    );
    states = states.map((x) => {
      const y = norm(x, get(`${layer}.post_attention_layernorm.weight`), config);
      const gate = times(get(`${layer}.mlp.gate_proj.weight`), y);
      const up = times(get(`${layer}.mlp.up_proj.weight`), y);
      const gated = gate.map((g, k) => (g / (1 + Math.exp(-g))) * (up[k] ?? 0));
      return plus(x, times(get(`${layer}.mlp.down_proj.weight`), gated));
    });
  }
  const last = norm(states.at(-1) ?? [], get('model.norm.weight'), config);
  return times(get('lm_head.weight'), last);
}

function attend(
  config: ModelConfig,
  inputs: readonly number[][],
  weight: (part: 'q' | 'k' | 'v') => Float32Array,
): number[][] {
  const { heads, kvHeads, headDim } = config;
  const project = (part: 'q' | 'k' | 'v', count: number): number[][][] =>
    inputs.map((x, position) => {
      const flat = times(weight(part), x);
      return Array.from({ length: count }, (_, h) => {
        const head = flat.slice(h * headDim, (h + 1) * headDim);
        return part === 'v' ? head : rotate(head, position, config);
      });
    });
  const [q, k, v] = [project('q', heads), project('k', kvHeads), project('v', kvHeads)];
  return q.map((rows, t) =>
    rows.flatMap((query, h) => {
      const shared = Math.floor(h / (heads / kvHeads));
      const scores = k
        .slice(0, t + 1)
        .map((keys) => dot(query, keys[shared] ?? []) / Math.sqrt(headDim));
      const top = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - top));
      const sum = weights.reduce((a, b) => a + b, 0);
      return query.map((_, d) =>
        weights.reduce((total, w, s) => total + (w / sum) * (v[s]?.[shared]?.[d] ?? 0), 0),
      );
    }),
  );
}

/** Rotary embedding, halves rotated against each other as in transformers' Llama. */
function rotate(head: readonly number[], position: number, config: ModelConfig): number[] {
  const half = config.headDim / 2;
  return head.map((x, d) => {
    const angle = position * tinyConfig.rope_theta ** ((-2 * (d % half)) / config.headDim);
    const other = d < half ? -(head[d + half] ?? 0) : (head[d - half] ?? 0);
    return x * Math.cos(angle) + other * Math.sin(angle);
  });
}

function norm(x: readonly number[], gamma: Float32Array, config: ModelConfig): number[] {
  const mean = dot(x, x) / x.length;
  return x.map((value, i) => (value / Math.sqrt(mean + config.normEpsilon)) * (gamma[i] ?? 0));
}

function times(matrix: Float32Array, x: readonly number[]): number[] {
  const rows = matrix.length / x.length;
  return Array.from({ length: rows }, (_, r) =>
    x.reduce((sum, value, c) => sum + value * (matrix[r * x.length + c] ?? 0), 0),
  );
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
const plus = (a: readonly number[], b: readonly number[]): number[] =>
  a.map((value, i) => value + (b[i] ?? 0));
