// What distinguishes one decoder-only model from another, as data: the graph builder reads nothing
// else. A file in arch/ says which fields of config.json its `model_type` has and what they mean; what
// it leaves out is as in Llama.

import * as v from 'valibot';
import { Fault } from '../std/fault.ts';
import type { Rope } from './rope.ts';

/** What every config.json says in the same words. */
export type Shape = {
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
};

export type Traits = {
  readonly tiedEmbeddings: boolean;
  readonly activation: 'silu' | 'gelu';
  readonly qkvBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  /** The file has Q, K and V as one matrix, and gate and up as one. */
  readonly packed: boolean;
  /** Each head of Q and K is normed before it is rotated. */
  readonly headNorms: boolean;
  /** What attention and MLP put out is normed, too, before it is added. */
  readonly outputNorms: boolean;
  /** Norm weights are stored as w − 1. */
  readonly normsFromOne: boolean;
  readonly embeddingScale: number;
  /** Of what attention and MLP add. */
  readonly residualScale: number;
  /** Of the products of query and key. */
  readonly attentionScale: number;
  readonly logitsScale: number;
  /** c · tanh(x / c), of the products of query and key and of the logits. */
  readonly attentionSoftcap: number | null;
  readonly logitsSoftcap: number | null;
  /** Of each layer: how many tokens it sees, its own one counted; null: all. */
  readonly windows: readonly (number | null)[];
  readonly ropes: readonly Rope[];
  /** Of each layer: which of `ropes`; null: no positions. */
  readonly ropeOf: readonly (number | null)[];
};

/** What an architecture may say; `positions` where it serves another number than the file says. */
export type Differences = Partial<Traits & Pick<Shape, 'positions'>>;

/** What config.json says of rotary embeddings, not yet understood. */
export type RopeFields = {
  readonly scaling: Readonly<Record<string, unknown>> | null;
  readonly theta: number | undefined;
  /** Length trained for, where it stands outside the record. */
  readonly originalPositions: number | undefined;
};

export type Surroundings = {
  readonly shape: Shape;
  readonly rope: RopeFields;
  /** Names the file in messages. */
  readonly where: string;
};

/** Where the file is silent: transformers' defaults, which it leaves out when it writes. */
export type Defaults = {
  readonly headDim?: number;
  readonly ropeTheta?: number;
  readonly tiedEmbeddings?: boolean;
};

export type Architecture = {
  /** `model_type` in config.json. */
  readonly modelType: string;
  /** Of `architectures` in config.json. */
  readonly className: string;
  readonly defaults: Defaults;
  /** Fields that it understands beyond those of all. */
  readonly fields: readonly string[];
  /** Throws a Fault `config` that names field, value found and value wanted. */
  read(file: unknown, surroundings: Surroundings): Differences;
};

export function architecture<const Entries extends v.ObjectEntries>(description: {
  readonly modelType: string;
  readonly className: string;
  readonly defaults?: Defaults;
  readonly fields: Entries;
  readonly differences: (
    own: v.InferOutput<v.ObjectSchema<Entries, undefined>>,
    surroundings: Surroundings,
  ) => Differences;
}): Architecture {
  const { modelType, className, defaults = {}, fields, differences } = description;
  const schema = v.object(fields);
  return {
    modelType,
    className,
    defaults,
    fields: Object.keys(fields),
    read(file, surroundings) {
      const read = v.safeParse(schema, file);
      if (read.success) return differences(read.output, surroundings);
      const issue = read.issues[0];
      throw new Fault(
        'config',
        `${surroundings.where}: ${v.getDotPath(issue) ?? 'file'} is ${JSON.stringify(issue.input)}; ` +
          `of ${modelType} this version can only serve ${issue.expected ?? 'other values'}`,
      );
    },
  };
}

// Kinds of fields that several architectures have.

export const flag = v.nullish(v.boolean(), false);
export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
/** JSON can say numbers beyond all that there are, which would become infinite. */
export const number = v.pipe(v.number(), v.finite(), v.gtValue(0));
export const silu = v.nullish(v.literal('silu'), 'silu');
export const geluTanh = v.nullish(v.literal('gelu_pytorch_tanh'), 'gelu_pytorch_tanh');
/** `slidingWindow` where the class has none of itself, `slidingWindow4096` where it has that one. */
export const slidingWindow = v.nullish(count, null);
export const slidingWindow4096 = v.optional(v.nullable(count), 4096);
export const layerTypes = v.nullish(
  v.array(v.picklist(['full_attention', 'sliding_attention'])),
  null,
);

/** The window of each layer: where `types` is given it decides, else `slides`. */
export function windowsBy(
  { shape, where }: Surroundings,
  window: number | null,
  types: readonly string[] | null,
  slides: (layer: number) => boolean,
): (number | null)[] {
  if (types !== null && types.length !== shape.layers) {
    throw new Fault(
      'config',
      `${where}: layer_types has ${types.length} entries, num_hidden_layers wants ${shape.layers}`,
    );
  }
  return Array.from({ length: shape.layers }, (_, layer) => {
    const sliding = types === null ? slides(layer) : types[layer] === 'sliding_attention';
    return sliding ? window : null;
  });
}
