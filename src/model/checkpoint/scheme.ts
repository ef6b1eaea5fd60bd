// How a checkpoint says that its weights are quantized: `quantization_config` of config.json. What can
// be read is taken, everything else refused by name. Which tensors are quantized the tensors say
// themselves (matrix.ts), so lists of layers left alone need no reading.

import * as v from 'valibot';
import { Fault } from '../../std/fault.ts';
import type { Quantization } from '../quantize.ts';

export type Scheme =
  | { readonly kind: 'dense' }
  /** `block`: rows and columns that share a scale, where the file has one for each block. */
  | { readonly kind: 'fp8'; readonly block: readonly [number, number]; readonly notes: string[] }
  /** `group`: columns that share scale and zero point; null: all of a row. */
  | { readonly kind: 'awq'; readonly group: number | null }
  /** `zeroOffset`: what is added to a stored zero point. */
  | { readonly kind: 'gptq'; readonly group: number | null; readonly zeroOffset: 0 | 1 };

/** How such a checkpoint is computed with where the user does not say. */
export function usualQuantization(scheme: Scheme): Quantization {
  switch (scheme.kind) {
    case 'dense':
      return 'none';
    case 'fp8': // a byte a weight, as in the file
      return 'int8';
    case 'awq':
    case 'gptq': // as stored
      return 'int4';
  }
}

const record = v.record(v.string(), v.unknown());
const methodSchema = v.looseObject({ quant_method: v.optional(v.string()) });
const blockSchema = v.nullish(v.tuple([v.number(), v.number()]), null);

const fp8Schema = v.looseObject({
  activation_scheme: v.nullish(v.string()),
  fmt: v.nullish(v.picklist(['e4m3', 'float8_e4m3fn', 'float8_e5m2'])),
  weight_block_size: blockSchema,
});

const weightsSchema = v.looseObject({
  num_bits: v.literal(8),
  type: v.literal('float'),
  strategy: v.picklist(['tensor', 'channel', 'block']),
  dynamic: v.nullish(v.literal(false)),
  block_structure: blockSchema,
});
const compressedSchema = v.looseObject({
  format: v.picklist(['float-quantized', 'naive-quantized']),
  config_groups: v.record(
    v.string(),
    v.looseObject({ weights: weightsSchema, input_activations: v.nullish(record) }),
  ),
  kv_cache_scheme: v.nullish(record),
});

const group = v.pipe(
  v.number(),
  v.check((size) => size === -1 || [32, 64, 128].includes(size), 'wanted 32, 64, 128 or -1'),
  v.transform((size) => (size === -1 ? null : size)),
);
const none = v.pipe(
  v.nullish(record, {}),
  v.check((rules) => Object.keys(rules).length === 0, 'layers with settings of their own'),
);
const gptqSchema = v.looseObject({
  bits: v.literal(4),
  group_size: group,
  checkpoint_format: v.nullish(v.picklist(['gptq', 'gptq_v2']), 'gptq'),
  dynamic: none,
});
const awqSchema = v.looseObject({
  bits: v.optional(v.literal(4)),
  w_bit: v.optional(v.literal(4)),
  group_size: v.optional(group),
  q_group_size: v.optional(group),
  zero_point: v.optional(v.literal(true), true),
  version: v.pipe(v.optional(v.string(), 'gemm'), v.toLowerCase(), v.literal('gemm')),
});

/** @param file config.json. Throws a Fault `config` that names field, value and what is read. */
export function readScheme(file: Readonly<Record<string, unknown>>, where: string): Scheme {
  const field =
    (file['quantization_config'] ?? null) === null ? 'compression_config' : 'quantization_config';
  const raw = file[field] ?? null;
  if (raw === null) return { kind: 'dense' };
  const context = { field, where };
  const method = read(methodSchema, raw, context).quant_method ?? 'none';
  switch (method) {
    case 'fp8':
      return fp8(read(fp8Schema, raw, context));
    case 'compressed-tensors':
      return compressed(read(compressedSchema, raw, context));
    case 'gptq': {
      const { group_size, checkpoint_format } = read(gptqSchema, raw, context);
      return { kind: 'gptq', group: group_size, zeroOffset: checkpoint_format === 'gptq' ? 1 : 0 };
    }
    case 'awq': {
      const { group_size, q_group_size } = read(awqSchema, raw, context);
      const size = group_size === undefined ? q_group_size : group_size;
      return { kind: 'awq', group: size === undefined ? 128 : size };
    }
    default:
      throw new Fault(
        'config',
        `${where}: ${field}.quant_method is ${method}; this version reads fp8, compressed-tensors, gptq and awq`,
      );
  }
}

function fp8(read: v.InferOutput<typeof fp8Schema>): Scheme {
  const notes = read.activation_scheme === 'static' ? [inputScales] : [];
  return { kind: 'fp8', block: read.weight_block_size ?? usualBlock, notes };
}

function compressed(read: v.InferOutput<typeof compressedSchema>): Scheme {
  const groups = Object.values(read.config_groups);
  const isStatic = groups.some(({ input_activations: input }) => {
    return (input ?? null) !== null && input?.['dynamic'] !== true;
  });
  const notes = [
    ...(isStatic ? [inputScales] : []),
    ...((read.kv_cache_scheme ?? null) === null ? [] : [kvScales]),
  ];
  return { kind: 'fp8', block: groups[0]?.weights.block_structure ?? usualBlock, notes };
}

const usualBlock = [128, 128] as const;
const inputScales = 'its input_scale is not used: activations are not fp8 on a CPU';
const kvScales = 'its KV scales are not used: see --kv-cache-dtype';

function read<S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  { field, where }: { field: string; where: string },
): v.InferOutput<S> {
  const found = v.safeParse(schema, value);
  if (found.success) return found.output;
  const issue = found.issues[0];
  const path = v.getDotPath(issue);
  const name = path === null ? field : `${field}.${path}`;
  const wanted = issue.expected === null ? issue.message : `this version reads ${issue.expected}`;
  throw new Fault('config', `${where}: ${name} is ${JSON.stringify(issue.input)}; ${wanted}`);
}
