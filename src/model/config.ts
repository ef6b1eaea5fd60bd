// A Hugging Face config.json, read and checked: what we can build is taken, what would silently
// change the model's answers is refused by name.

import * as v from 'valibot';
import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import type { Architecture, Shape, Surroundings, Traits } from './architecture.ts';
import { architectures } from './architectures.ts';
import { readScheme, type Scheme } from './checkpoint/scheme.ts';
import { refuseForeignFields } from './foreign-fields.ts';
import { readRope } from './rope.ts';

const upTo = (max: number) => v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(max));
const width = upTo(limit.modelWidthMax);
const headCount = upTo(limit.modelHeadsMax);
const length = upTo(limit.modelPositionsMax);
const tokenId = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(limit.modelVocabMax));
export const idList = v.union([
  tokenId,
  v.pipe(v.array(tokenId), v.maxLength(limit.modelEosCountMax)),
]);

const headSchema = v.looseObject({
  model_type: v.optional(v.string()),
  architectures: v.nullish(v.array(v.string()), []),
});

const fileSchema = v.looseObject({
  hidden_size: width,
  intermediate_size: width,
  num_hidden_layers: upTo(limit.modelLayersMax),
  num_attention_heads: headCount,
  num_key_value_heads: v.nullish(headCount),
  head_dim: v.nullish(upTo(limit.modelHeadDimMax)),
  vocab_size: upTo(limit.modelVocabMax),
  max_position_embeddings: length,
  original_max_position_embeddings: v.nullish(length),
  rms_norm_eps: v.pipe(v.number(), v.finite(), v.gtValue(0)),
  rope_theta: v.nullish(v.pipe(v.number(), v.finite(), v.gtValue(0))),
  rope_scaling: v.nullish(v.record(v.string(), v.unknown())),
  rope_parameters: v.nullish(v.record(v.string(), v.unknown())),
  tie_word_embeddings: v.optional(v.boolean()),
  eos_token_id: v.nullish(idList),
});

export type ModelConfig = Shape &
  Traits & {
    readonly eosIds: readonly number[];
    /** How the checkpoint's weights are quantized. */
    readonly scheme: Scheme;
  };

/** @param where names the file in messages. Throws a Fault `config`. */
export function parseConfig(file: unknown, generation: unknown, where: string): ModelConfig {
  const architecture = architectureOf(parse(headSchema, file, where), where);
  const raw = parse(fileSchema, file, where);
  const { defaults } = architecture;
  const shape: Shape = {
    hidden: raw.hidden_size,
    ffn: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    heads: raw.num_attention_heads,
    kvHeads: raw.num_key_value_heads ?? raw.num_attention_heads,
    headDim: raw.head_dim ?? defaults.headDim ?? raw.hidden_size / raw.num_attention_heads,
    vocabSize: raw.vocab_size,
    positions: raw.max_position_embeddings,
    normEpsilon: raw.rms_norm_eps,
  };
  checkHeads(shape, where);
  refuseForeignFields(raw, architecture, shape, where);
  const rope = {
    scaling: raw.rope_scaling ?? raw.rope_parameters ?? null,
    theta: raw.rope_theta ?? defaults.ropeTheta,
    originalPositions: raw.original_max_position_embeddings ?? undefined,
  };
  const around: Surroundings = { shape, rope, where };
  const differences = architecture.read(file, around);
  const config = {
    ...shape,
    ...traits(shape, raw.tie_word_embeddings ?? defaults.tiedEmbeddings ?? false),
    ...differences,
    ...(differences.ropes === undefined ? oneRope(around) : { ropes: differences.ropes }),
    eosIds: eosIds(generation, raw.eos_token_id),
    scheme: readScheme(raw, where),
  };
  refuseStrangeNumbers(config, where);
  return config;
}

/** Fields that are each in order can come down to a number that the graph's float32 does not have. */
function refuseStrangeNumbers(value: unknown, where: string, name = ''): void {
  if (typeof value === 'number' && !Number.isFinite(Math.fround(value))) {
    const text = `its fields together make ${name} ${value}, wanted a float32`;
    throw new Fault('config', `${where}: ${text}; take the file from the model's own repository`);
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [key, entry] of Object.entries(value)) {
    refuseStrangeNumbers(entry, where, name === '' ? key : `${name}.${key}`);
  }
}

/** Of a model whose graph exists already: how it computes is not said here, only what serving needs. */
export function plainConfig(
  shape: Omit<Shape, 'ffn' | 'normEpsilon'>,
  ids: readonly number[],
): ModelConfig {
  const whole = { ...shape, ffn: 0, normEpsilon: 0 };
  return { ...whole, ...traits(whole, false), ropes: [], eosIds: ids, scheme: { kind: 'dense' } };
}

/** `model_type` says it; files without one are known by their class. */
function architectureOf(head: v.InferOutput<typeof headSchema>, where: string): Architecture {
  const { model_type: type, architectures: classes } = head;
  const className = classes[0];
  const found = architectures.find((one) =>
    type === undefined ? one.className === className : one.modelType === type,
  );
  if (found !== undefined && (className === undefined || className === found.className)) {
    return found;
  }
  throw new Fault(
    'config',
    `${where}: model_type ${type ?? 'none'} (${className ?? 'no architecture named'}) is not supported; ` +
      `supported: ${architectures.map((one) => `${one.modelType} (${one.className})`).join(', ')}`,
  );
}

/** Llama's. */
function traits(shape: Shape, tiedEmbeddings: boolean): Omit<Traits, 'ropes'> {
  return {
    tiedEmbeddings,
    activation: 'silu',
    qkvBias: false,
    outputBias: false,
    mlpBias: false,
    packed: false,
    headNorms: false,
    outputNorms: false,
    normsFromOne: false,
    embeddingScale: 1,
    residualScale: 1,
    attentionScale: 1 / Math.sqrt(shape.headDim),
    logitsScale: 1,
    attentionSoftcap: null,
    logitsSoftcap: null,
    windows: Array.from({ length: shape.layers }, () => null),
    ropeOf: Array.from({ length: shape.layers }, () => 0),
  };
}

/** The same rotary embeddings for whole heads of all layers. */
function oneRope({ shape, rope, where }: Surroundings): Pick<ModelConfig, 'ropes' | 'positions'> {
  const { positions = shape.positions, ...one } = readRope({
    ...rope,
    theta: rope.theta ?? 10_000,
    dims: shape.headDim,
    positions: shape.positions,
    where,
  });
  return { ropes: [one], positions };
}

function checkHeads({ heads, kvHeads, headDim }: Shape, where: string): void {
  // GroupQueryAttention's rotary kernel works on 16 values at a time.
  if (!Number.isInteger(headDim) || headDim % 16 !== 0) {
    throw new Fault('config', `${where}: head size ${headDim} is not a multiple of 16`);
  }
  if (heads % kvHeads !== 0) {
    throw new Fault(
      'config',
      `${where}: ${heads} query heads cannot share ${kvHeads} key/value heads`,
    );
  }
}

function parse<S extends v.GenericSchema>(
  schema: S,
  file: unknown,
  where: string,
): v.InferOutput<S> {
  const read = v.safeParse(schema, file);
  if (read.success) return read.output;
  const issue = read.issues[0];
  throw new Fault('config', `${where}: ${v.getDotPath(issue) ?? 'file'}: ${issue.message}`);
}

const generationSchema = v.looseObject({ eos_token_id: v.nullish(idList) });

/** generation_config.json wins over config.json, as in transformers. */
export function eosIds(generation: unknown, own: number | number[] | null | undefined): number[] {
  const read = v.safeParse(generationSchema, generation);
  const ids = (read.success ? read.output.eos_token_id : undefined) ?? own ?? [];
  return typeof ids === 'number' ? [ids] : ids;
}
