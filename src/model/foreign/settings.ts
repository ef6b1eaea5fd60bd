// What the configuration beside a graph says of it: config.json as on the Hub, or the genai_config.json
// of onnxruntime-genai. How the model computes is the graph's business; here is only what serving needs.

import * as v from 'valibot';
import { Fault } from '../../std/fault.ts';
import { eosIds, idList, type ModelConfig, parseConfig, plainConfig } from '../config.ts';
import { type Names, usualNames } from './naming.ts';

export type Settings = {
  readonly config: ModelConfig;
  readonly names: Names;
  /** The model file that it names; null: none. */
  readonly file: string | null;
  /** For attention as single operators. Throws a Fault `config` where the architecture is not known. */
  readonly architecture: () => ModelConfig;
};

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

const hubSchema = v.looseObject({
  hidden_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: v.nullish(count),
  head_dim: v.nullish(count),
  vocab_size: count,
  max_position_embeddings: count,
  eos_token_id: v.nullish(idList),
});

/** config.json and generation_config.json. @param where names the former in messages. */
export function readHubSettings(file: unknown, generation: unknown, where: string): Settings {
  const raw = parse(hubSchema, file, where);
  const { hidden_size: hidden, num_attention_heads: heads } = raw;
  const shape = {
    hidden,
    heads,
    layers: raw.num_hidden_layers,
    kvHeads: raw.num_key_value_heads ?? heads,
    headDim: raw.head_dim ?? Math.floor(hidden / heads),
    vocabSize: raw.vocab_size,
    positions: raw.max_position_embeddings,
  };
  return {
    config: plainConfig(shape, eosIds(generation, raw.eos_token_id)),
    names: usualNames,
    file: null,
    architecture: () => parseConfig(file, generation, where),
  };
}

/** A name, or one with %d for the layer. */
const name = v.pipe(v.string(), v.nonEmpty());
const layerName = v.pipe(v.string(), v.regex(/^[^%]*%d[^%]*$/));

const genaiSchema = v.looseObject({
  model: v.looseObject({
    context_length: count,
    vocab_size: count,
    eos_token_id: v.nullish(idList),
    decoder: v.looseObject({
      // Beside the configuration: a path would lead out of the folder.
      filename: v.optional(v.pipe(v.string(), v.regex(/^[^/\\]+\.onnx$/)), 'model.onnx'),
      pipeline: v.optional(v.never('a model in several graphs is not supported')),
      head_size: count,
      hidden_size: count,
      num_attention_heads: count,
      num_hidden_layers: count,
      num_key_value_heads: count,
      inputs: v.optional(
        v.looseObject({
          input_ids: v.optional(name),
          attention_mask: v.optional(name),
          position_ids: v.optional(name),
          past_key_names: v.optional(layerName),
          past_value_names: v.optional(layerName),
        }),
        {},
      ),
      outputs: v.optional(
        v.looseObject({
          logits: v.optional(name),
          present_key_names: v.optional(layerName),
          present_value_names: v.optional(layerName),
        }),
        {},
      ),
    }),
  }),
});

/** @param hub config.json, which such a folder has seldom; null: not there. */
export function readGenaiSettings(
  file: unknown,
  options: { hub: unknown; where: string },
): Settings {
  const { hub, where } = options;
  const { model } = parse(genaiSchema, file, where);
  const { decoder } = model;
  const { inputs, outputs } = decoder;
  const shape = {
    hidden: decoder.hidden_size,
    heads: decoder.num_attention_heads,
    layers: decoder.num_hidden_layers,
    kvHeads: decoder.num_key_value_heads,
    headDim: decoder.head_size,
    vocabSize: model.vocab_size,
    positions: model.context_length,
  };
  return {
    config: plainConfig(shape, eosIds({}, model.eos_token_id)),
    file: decoder.filename,
    names: {
      inputIds: inputs.input_ids ?? usualNames.inputIds,
      attentionMask: inputs.attention_mask ?? usualNames.attentionMask,
      positionIds: inputs.position_ids ?? usualNames.positionIds,
      logits: outputs.logits ?? usualNames.logits,
      pastKey: inputs.past_key_names ?? usualNames.pastKey,
      pastValue: inputs.past_value_names ?? usualNames.pastValue,
      presentKey: outputs.present_key_names ?? usualNames.presentKey,
      presentValue: outputs.present_value_names ?? usualNames.presentValue,
    },
    architecture() {
      if (hub !== null) return parseConfig(hub, {}, where);
      throw new Fault(
        'config',
        `${where}: the graph has attention as single operators, which only the model’s config.json explains; ` +
          'put it beside',
      );
    },
  };
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
