// A decoder as others export it → one that our sessions run: the same weights and operators between
// other inputs and outputs (onnx/decoder.ts names them). What attention reads is wired to our lengths
// and our KV, in place; what else the graph wants to be fed is made from our inputs, inside the graph;
// and the head is left with the rows that somebody asks for. Pure.

import { Fault } from '../../std/fault.ts';
import type { ModelConfig } from '../config.ts';
import { type Heads, replaceConcat } from './concat.ts';
import { castIds, makeMask, makePositions, replaceLengths } from './derive.ts';
import { narrowHead } from './head.ts';
import { made, type Names, parts, rename } from './naming.ts';
import { describe, describeAll, integers, intOf, Net } from './net.ts';
import type { Node, OnnxModel } from './parse.ts';

export type Dimensions = Heads & {
  readonly layers: number;
  readonly vocabSize: number;
  readonly positions: number;
};

export type RewriteOptions = {
  /** Names the file in messages. */
  readonly where: string;
  readonly names: Names;
  /** As the folder's configuration has them. */
  readonly dimensions: Dimensions;
  /** Of attention that is no operator of its own: what the model's architecture says of it. */
  readonly architecture: () => Pick<ModelConfig, 'windows' | 'attentionSoftcap' | 'attentionScale'>;
  /** Ends a refusal of 16-bit files: what to use instead. */
  readonly instead: string;
};

export type Rewritten = {
  /** Inputs and outputs are not listed in it: they are as `decoderNames` says. */
  readonly model: OnnxModel;
  /** Which attention was found. */
  readonly attention: 'GroupQueryAttention' | 'Concat';
  /** Where a table of rotations ends before the configuration does, its length. */
  readonly positions: number;
};

const float32 = 1;
const int64 = 7;
const typeNames: Readonly<Record<number, string>> = {
  ...{ 1: 'float32', 2: 'uint8', 3: 'int8', 6: 'int32', 7: 'int64' },
  ...{ 10: 'float16', 11: 'float64', 16: 'bfloat16' },
};
/** The first with axes as inputs. */
const opsetMin = 13;

/** Throws a Fault `config` that names what cannot be served. */
export function rewrite(original: OnnxModel, options: RewriteOptions): Rewritten {
  const { where, dimensions } = options;
  checkOpset(original, where);
  const { model, layers, declared } = rename(original, options.names, where);
  same('layers', layers, dimensions.layers, where);
  for (let layer = 0; layer < layers; layer++) {
    for (const part of parts) {
      const { type = 0, shape = [] } = declared.get(`past.${layer}.${part}`) ?? {};
      checkKv(type, options);
      if (typeof shape[1] === 'number') same('KV heads', shape[1], dimensions.kvHeads, where);
      if (typeof shape[3] === 'number') same('head size', shape[3], dimensions.headDim, where);
    }
  }
  const logits = declared.get(made.logits);
  const [, rows, vocabSize] = logits?.shape ?? [];
  if (typeof vocabSize === 'number') same('tokens', vocabSize, dimensions.vocabSize, where);
  if (rows === 1) {
    throw new Fault(
      'config',
      `${where} gives logits of the last position only (prune_lm_head), which is none of a shorter prompt’s in a ` +
        'batch; export it with prune_lm_head=false',
    );
  }

  const net = new Net(model);
  const attention = wireAttention(net, layers, options);
  narrowHead(net, logits?.type ?? float32);
  const present = Array.from({ length: layers }, (_, layer) =>
    parts.map((part) => `present.${layer}.${part}`),
  ).flat();
  const outputs = ['logits', ...present];
  net.prune(outputs);
  replaceLengths(net, { ...dimensions, hasPositions: declared.has(made.positions), where });
  net.prune(outputs);
  const typeOf = (role: string): number => declared.get(role)?.type || int64;
  if (net.consumersOf(made.mask).length > 0) makeMask(net, typeOf(made.mask));
  if (net.consumersOf(made.positions).length > 0) makePositions(net, typeOf(made.positions));
  castIds(net, typeOf(made.ids));
  // 0 is all of them: what is asked for is chosen behind it.
  const keep = declared.get(made.keep)?.shape ?? [];
  net.addTensor(integers(made.keep, [0], keep.length === 0 ? [] : [1]));
  net.prune(outputs);
  const opsets = new Map(model.opsets).set('com.microsoft', 1);
  return {
    model: { ...model, opsets, nodes: net.nodes, tensors: net.tensors },
    attention,
    positions: tableLengths(net).reduce((a, b) => Math.min(a, b), dimensions.positions),
  };
}

function checkOpset({ opsets }: OnnxModel, where: string): void {
  const opset = opsets.get('') ?? 0;
  if (opset >= opsetMin) return;
  throw new Fault('config', `${where} is of opset ${opset}; wanted: ${opsetMin} or newer`);
}

function same(what: string, found: number, wanted: number, where: string): void {
  if (found === wanted) return;
  throw new Fault(
    'config',
    `${where}: the graph has ${found} ${what}, the configuration beside it ${wanted}; they are of different models`,
  );
}

function checkKv(type: number, { where, instead }: RewriteOptions): void {
  if (type === float32) return;
  throw new Fault(
    'config',
    `${where} keeps its KV as ${typeNames[type] ?? `type ${type}`}; on a CPU attention is computed in float32; ${instead}`,
  );
}

/** Rewires or makes the attention of all layers. */
function wireAttention(net: Net, layers: number, options: RewriteOptions): Rewritten['attention'] {
  const { where, dimensions } = options;
  const readers = Array.from({ length: layers }, (_, layer) => readerOf(net, layer, where));
  if (readers.every(isGroupQuery)) {
    net.replace(
      new Map(readers.map((node, layer) => [node, [wiredGroupQuery(node, layer, options)]])),
    );
    return 'GroupQueryAttention';
  }
  const odd = readers.find(({ type }) => type !== 'Concat');
  if (odd !== undefined) {
    throw new Fault(
      'config',
      `${where}: KV is read by ${describe(odd)}; wanted: GroupQueryAttention, or Concat as optimum exports it`,
    );
  }
  const { windows, attentionSoftcap, attentionScale: scale } = options.architecture();
  if (attentionSoftcap !== null || windows.some((window) => window !== null)) {
    throw new Fault(
      'config',
      `${where} has attention as single operators, which cannot be told from whole attention where the model has ` +
        'windows or caps; use an export with GroupQueryAttention, or the model’s safetensors',
    );
  }
  const { heads, headDim } = dimensions;
  net.addTensor(integers('tdist/flat', [0, 0, -1]));
  net.addTensor(integers('tdist/heads', [0, 0, heads, headDim]));
  const edits = readers.map((_, layer) =>
    replaceConcat(net, { ...dimensions, layer, scale, where }),
  );
  net.replace(new Map(edits.flatMap((one) => [...one])));
  return 'Concat';
}

/** Who reads a layer's keys, but for their shape. */
function readerOf(net: Net, layer: number, where: string): Node {
  const readers = net.consumersOf(`past.${layer}.key`).filter(({ type }) => type !== 'Shape');
  const [reader] = readers;
  if (reader !== undefined && readers.length === 1) return reader;
  throw new Fault(
    'config',
    `${where}: keys of layer ${layer} are read by ${describeAll(readers)}; wanted: one node`,
  );
}

function isGroupQuery({ type, domain }: Node): boolean {
  return type === 'GroupQueryAttention' && domain === 'com.microsoft';
}

function wiredGroupQuery(node: Node, layer: number, options: RewriteOptions): Node {
  const { where, dimensions } = options;
  const { heads, kvHeads } = dimensions;
  const expected = [...parts.map((part) => `past.${layer}.${part}`)];
  const outputs = parts.map((part) => `present.${layer}.${part}`);
  const isInPlace =
    expected.every((name, i) => node.inputs[3 + i] === name) &&
    outputs.every((name, i) => node.outputs[1 + i] === name);
  const refuse = (found: string): never => {
    throw new Fault('config', `${where}: ${describe(node)} ${found}, which is not supported`);
  };
  if (!isInPlace) refuse(`does not have past.${layer} and present.${layer} as its KV`);
  if ((node.inputs[10] ?? '') !== '') refuse('has a bias on its scores');
  if (intOf(node, 'sliding_window_cache', 0) !== 0) refuse('keeps a window of its KV only');
  if (intOf(node, 'causal', 1) !== 1) refuse('is not causal');
  if (intOf(node, 'kv_num_heads', 0) !== kvHeads || intOf(node, 'num_heads', 0) !== heads) {
    refuse(`has not ${heads} heads over ${kvHeads} of its KV, as the configuration has`);
  }
  const inputs = [...node.inputs];
  inputs[5] = 'seqlens_k';
  inputs[6] = 'total_sequence_length';
  return { ...node, inputs };
}

/** Lengths of the tables that positions are looked up in. */
function tableLengths(net: Net): number[] {
  const tables = net.nodes.flatMap(({ type, inputs }) => {
    if (type === 'GroupQueryAttention') return [inputs[7]];
    return type === 'RotaryEmbedding' ? [inputs[2]] : [];
  });
  return [...new Set(tables)].flatMap((name = '') => net.tensor(name)?.shape[0] ?? []);
}
