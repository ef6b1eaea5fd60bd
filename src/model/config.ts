// A Hugging Face config.json, read and checked: what we can build is taken, what would silently
// change the model's answers is refused by name.

import * as v from 'valibot';
import { Fault } from '../std/fault.ts';

const positive = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const tokenId = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const idList = v.union([tokenId, v.array(tokenId)]);

const fileSchema = v.looseObject({
  architectures: v.array(v.string()),
  hidden_size: positive,
  intermediate_size: positive,
  num_hidden_layers: positive,
  num_attention_heads: positive,
  num_key_value_heads: v.optional(positive),
  head_dim: v.optional(v.nullable(positive)),
  vocab_size: positive,
  max_position_embeddings: positive,
  rms_norm_eps: v.pipe(v.number(), v.gtValue(0)),
  rope_theta: v.optional(v.number()),
  rope_scaling: v.optional(v.nullable(v.record(v.string(), v.unknown()))),
  rope_parameters: v.optional(
    v.nullable(
      v.looseObject({ rope_theta: v.optional(v.number()), rope_type: v.optional(v.string()) }),
    ),
  ),
  tie_word_embeddings: v.optional(v.boolean()),
  hidden_act: v.optional(v.string()),
  attention_bias: v.optional(v.boolean()),
  mlp_bias: v.optional(v.boolean()),
  eos_token_id: v.optional(v.nullable(idList)),
});

export type ModelConfig = {
  readonly hidden: number;
  readonly ffn: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  /** Longest sequence the model knows, tokens. */
  readonly positions: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly tiedEmbeddings: boolean;
  readonly eosIds: readonly number[];
};

export const supportedArchitectures = ['LlamaForCausalLM'] as const;

/** @param where names the file in messages. Throws a Fault `config`. */
export function parseConfig(file: unknown, generation: unknown, where: string): ModelConfig {
  const read = v.safeParse(fileSchema, file);
  if (!read.success) {
    const issue = read.issues[0];
    throw new Fault('config', `${where}: ${v.getDotPath(issue) ?? 'file'}: ${issue.message}`);
  }
  const raw = read.output;
  const architecture = raw.architectures[0] ?? 'none';
  if (!supportedArchitectures.some((name) => name === architecture)) {
    throw new Fault(
      'config',
      `${where}: architecture ${architecture} is not supported; supported: ${supportedArchitectures.join(', ')}`,
    );
  }
  refuseUnsupported(raw, where);
  const config: ModelConfig = {
    hidden: raw.hidden_size,
    ffn: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    heads: raw.num_attention_heads,
    kvHeads: raw.num_key_value_heads ?? raw.num_attention_heads,
    headDim: raw.head_dim ?? raw.hidden_size / raw.num_attention_heads,
    vocabSize: raw.vocab_size,
    positions: raw.max_position_embeddings,
    normEpsilon: raw.rms_norm_eps,
    ropeTheta: raw.rope_theta ?? raw.rope_parameters?.rope_theta ?? 10_000,
    tiedEmbeddings: raw.tie_word_embeddings ?? false,
    eosIds: eosIds(generation, raw.eos_token_id),
  };
  // GroupQueryAttention's rotary kernel works on 16 values at a time.
  if (!Number.isInteger(config.headDim) || config.headDim % 16 !== 0) {
    throw new Fault('config', `${where}: head size ${config.headDim} is not a multiple of 16`);
  }
  if (config.heads % config.kvHeads !== 0) {
    throw new Fault(
      'config',
      `${where}: ${config.heads} query heads cannot share ${config.kvHeads} key/value heads`,
    );
  }
  return config;
}

function refuseUnsupported(raw: v.InferOutput<typeof fileSchema>, where: string): void {
  const refuse = (field: string, found: unknown, wanted: string): never => {
    throw new Fault(
      'config',
      `${where}: ${field} is ${JSON.stringify(found)}; this version can only serve ${wanted}`,
    );
  };
  if ((raw.hidden_act ?? 'silu') !== 'silu') refuse('hidden_act', raw.hidden_act, '"silu"');
  if (raw.attention_bias) refuse('attention_bias', true, 'false');
  if (raw.mlp_bias) refuse('mlp_bias', true, 'false');
  const scaling: Readonly<Record<string, unknown>> = raw.rope_scaling ?? raw.rope_parameters ?? {};
  const kind = scaling['rope_type'] ?? scaling['type'] ?? 'default';
  if (kind !== 'default') refuse('rope scaling', kind, 'plain rotary embeddings ("default")');
}

const generationSchema = v.looseObject({ eos_token_id: v.optional(v.nullable(idList)) });

/** generation_config.json wins over config.json, as in transformers. */
function eosIds(generation: unknown, own: number | number[] | null | undefined): number[] {
  const read = v.safeParse(generationSchema, generation);
  const ids = (read.success ? read.output.eos_token_id : undefined) ?? own ?? [];
  return typeof ids === 'number' ? [ids] : ids;
}
