// Fields of config.json that make a model another computation, wherever they occur. An architecture
// that reads one of them says what it means; in the file of any other it must have its neutral value,
// or the model is refused: ignoring it would give wrong answers without a word.

import { Fault } from '../std/fault.ts';
import type { Architecture, Shape } from './architecture.ts';

/** Neutral besides null and false, which are everywhere. */
const neutral: Readonly<Record<string, (value: unknown, shape: Shape) => boolean>> = {
  attention_bias: never,
  mlp_bias: never,
  use_bias: never,
  lm_head_bias: never,
  qkv_bias: never,
  partial_rotary_factor: isOne,
  rotary_pct: isOne,
  // A window that no sequence is longer than.
  sliding_window: (value, { positions }) => typeof value === 'number' && value >= positions,
  attention_chunk_size: never,
  layer_types: (value) => Array.isArray(value) && value.every((type) => type === 'full_attention'),
  no_rope_layers: (value) => Array.isArray(value) && value.every((uses) => uses === 1),
  use_bidirectional_attention: never,
  attn_logit_softcapping: never,
  final_logit_softcapping: never,
  query_pre_attn_scalar: (value, { headDim }) => value === headDim,
  attention_multiplier: (value, { headDim }) => value === 1 / Math.sqrt(headDim),
  embedding_multiplier: isOne,
  residual_multiplier: isOne,
  logits_scaling: isOne,
  logit_scale: isOne,
  scale_emb: isOne,
  use_qk_norm: never,
  use_mrope: never,
  qk_layernorm: never,
  clip_qkv: never,
  alibi: never,
  parallel_attn: never,
  use_parallel_residual: never,
  kv_lora_rank: never,
  num_experts: isOne,
  num_local_experts: isOne,
  n_routed_experts: never,
};

/** Throws a Fault `config`. */
export function refuseForeignFields(
  file: Readonly<Record<string, unknown>>,
  architecture: Architecture,
  shape: Shape,
  where: string,
): void {
  const flat: Readonly<Record<string, unknown>> = { ...rotaryShare(file), ...file };
  for (const [field, isNeutral] of Object.entries(neutral)) {
    const value = flat[field];
    if (value === undefined || value === null || value === false) continue;
    if (architecture.fields.includes(field) || isNeutral(value, shape)) continue;
    throw new Fault(
      'config',
      `${where}: ${field} is ${brief(value)}; this version serves ${architecture.modelType} models only without it`,
    );
  }
}

/** Newer files have this one field inside a record. */
function rotaryShare(file: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const record = file['rope_scaling'] ?? file['rope_parameters'];
  const inside = typeof record === 'object' && record !== null;
  return inside && 'partial_rotary_factor' in record
    ? { partial_rotary_factor: record.partial_rotary_factor }
    : {};
}

function never(): boolean {
  return false;
}

function isOne(value: unknown): boolean {
  return value === 1;
}

function brief(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
