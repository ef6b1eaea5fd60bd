// Rotary embeddings as a config.json describes them: the kinds of `rope_scaling`, each turned into the
// frequencies it comes down to. Formulas from transformers, modeling_rope_utils.py. Two of its kinds
// change their frequencies once a sequence grows longer than the model was trained for, so that KV
// computed earlier no longer fits; they are served up to that length, where they are constant.

import * as v from 'valibot';
import { Fault } from '../std/fault.ts';

export type Rope = {
  /** Radians per position of each rotated pair (j, j + count) of a head. */
  readonly frequencies: readonly number[];
  /** What cos and sin are multiplied by. */
  readonly amplitude: number;
};

export type RopeSource = {
  /** `rope_scaling`, or `rope_parameters` as newer files have it. */
  readonly scaling: Readonly<Record<string, unknown>> | null | undefined;
  /** Where the record above has none. */
  readonly theta: number;
  /** Values of a head that are rotated. */
  readonly dims: number;
  /** `max_position_embeddings`. */
  readonly positions: number;
  /** The length trained for, where it stands beside the record and not in it. */
  readonly originalPositions?: number | undefined;
  /** Names the file in messages. */
  readonly where: string;
};

const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
const tokens = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const factors = v.array(positive);
const common = {
  rope_type: v.optional(v.string()),
  type: v.optional(v.string()),
  rope_theta: v.optional(positive),
  partial_rotary_factor: v.optional(positive),
};
const original = { original_max_position_embeddings: v.optional(tokens) };

const linearSchema = v.strictObject({ ...common, factor: positive });
const dynamicSchema = v.strictObject({ ...common, ...original, factor: positive });
const llama3Schema = v.strictObject({
  ...common,
  ...original,
  factor: positive,
  low_freq_factor: positive,
  high_freq_factor: positive,
});
const yarnSchema = v.strictObject({
  ...common,
  ...original,
  factor: v.nullish(positive),
  attention_factor: v.nullish(positive),
  beta_fast: v.nullish(positive),
  beta_slow: v.nullish(positive),
  mscale: v.nullish(v.number()),
  mscale_all_dim: v.nullish(v.number()),
  truncate: v.nullish(v.boolean()),
});
const longropeSchema = v.strictObject({
  ...common,
  ...original,
  factor: v.nullish(positive),
  attention_factor: v.nullish(positive),
  short_factor: factors,
  long_factor: factors,
});

/** What a kind comes down to; `positions` only where it serves another number than the file says. */
type Scaled = Rope & { readonly positions?: number };

/** Plain frequencies and the source in, the kind's own out. */
type Kind = (plain: readonly number[], source: RopeSource) => Scaled;

const kinds: Readonly<Record<string, Kind>> = {
  default: (frequencies) => ({ frequencies, amplitude: 1 }),
  linear,
  dynamic,
  llama3,
  yarn,
  longrope,
};

/** Throws a Fault `config` that names kind or field. */
export function readRope(source: RopeSource): Scaled {
  const record = source.scaling ?? {};
  const kind = record['rope_type'] ?? record['type'] ?? 'default';
  const compute = typeof kind === 'string' && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (compute === undefined) {
    throw new Fault(
      'config',
      `${source.where}: rope scaling is ${JSON.stringify(kind)}; this version can serve ${Object.keys(kinds).join(', ')}`,
    );
  }
  // GroupQueryAttention's kernel rotates 8 pairs at a time.
  if (source.dims % 16 !== 0) {
    throw new Fault(
      'config',
      `${source.where}: ${source.dims} values of a head are rotated; this version can only serve a multiple of 16`,
    );
  }
  const theta = record['rope_theta'];
  const known = typeof theta === 'number' ? { ...source, theta } : source;
  return compute(plainFrequencies(known), known);
}

/** Rounded where transformers rounds, which computes in float32. */
function plainFrequencies({ theta, dims }: RopeSource): number[] {
  return Array.from({ length: dims / 2 }, (_, j) =>
    Math.fround(1 / Math.fround(theta ** ((2 * j) / dims))),
  );
}

function linear(plain: readonly number[], source: RopeSource): Scaled {
  const { factor } = fieldsOf(linearSchema, source);
  return { frequencies: plain.map((f) => f / factor), amplitude: 1 };
}

/** Up to the model's own length dynamic NTK scaling is no scaling. */
function dynamic(plain: readonly number[], source: RopeSource): Scaled {
  const fields = fieldsOf(dynamicSchema, source);
  const original = fields.original_max_position_embeddings ?? source.positions;
  return {
    frequencies: plain,
    amplitude: 1,
    positions: Math.min(original, source.positions),
  };
}

function llama3(plain: readonly number[], source: RopeSource): Scaled {
  const fields = fieldsOf(llama3Schema, source);
  const { factor, low_freq_factor: low, high_freq_factor: high } = fields;
  const length = originalLength(fields, source);
  const frequencies = plain.map((f) => {
    const turns = (length * f) / (2 * Math.PI); // within the length trained for
    if (turns > high) return f;
    if (turns < low) return f / factor;
    const smooth = (turns - low) / (high - low);
    return ((1 - smooth) * f) / factor + smooth * f;
  });
  return { frequencies, amplitude: 1 };
}

function yarn(plain: readonly number[], source: RopeSource): Scaled {
  const fields = fieldsOf(yarnSchema, source);
  const { dims, theta, positions } = source;
  const length = originalLength(fields, source);
  const factor = fields.factor ?? positions / length;
  const dimension = (turns: number): number =>
    (dims * Math.log(length / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const round = fields.truncate ?? true;
  const [from, to] = [dimension(fields.beta_fast ?? 32), dimension(fields.beta_slow ?? 1)];
  const first = Math.max(round ? Math.floor(from) : from, 0);
  const end = Math.min(round ? Math.ceil(to) : to, dims - 1);
  const width = end === first ? 0.001 : end - first;
  const frequencies = plain.map((f, j) => {
    const share = Math.min(Math.max((j - first) / width, 0), 1); // of interpolation
    return (f / factor) * share + f * (1 - share);
  });
  const scale = (m: number): number => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);
  const { mscale, mscale_all_dim: all } = fields;
  const derived = mscale && all ? scale(mscale) / scale(all) : scale(1);
  return {
    frequencies,
    amplitude: fields.attention_factor ?? derived,
    // Qwen's files are stretched by adding the record alone: the length beside it stays as it was.
    positions: Math.max(positions, Math.floor(length * factor)),
  };
}

/** Phi's: one list of factors up to the length trained for, another beyond. Served with the first. */
function longrope(plain: readonly number[], source: RopeSource): Scaled {
  const fields = fieldsOf(longropeSchema, source);
  const { short_factor: short } = fields;
  if (short.length !== plain.length) {
    throw new Fault(
      'config',
      `${source.where}: rope scaling: short_factor has ${short.length} values, the rotated part of a head wants ${plain.length}`,
    );
  }
  const length = originalLength(fields, source);
  const factor = fields.factor ?? source.positions / length;
  const derived = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(length));
  return {
    frequencies: plain.map((f, j) => f / (short[j] ?? 1)),
    amplitude: fields.attention_factor ?? derived,
    positions: Math.min(length, source.positions),
  };
}

/** The length trained for. */
function originalLength(
  fields: { original_max_position_embeddings?: number | undefined },
  { originalPositions, positions }: RopeSource,
): number {
  return originalPositions ?? fields.original_max_position_embeddings ?? positions;
}

function fieldsOf<S extends v.GenericSchema>(schema: S, source: RopeSource): v.InferOutput<S> {
  const read = v.safeParse(schema, source.scaling);
  if (read.success) return read.output;
  const issue = read.issues[0];
  throw new Fault(
    'config',
    `${source.where}: rope scaling: ${v.getDotPath(issue) ?? 'record'}: ${issue.message}`,
  );
}
