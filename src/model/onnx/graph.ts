// An ONNX graph under construction: nodes, typed inputs and outputs, and weights. Weights lie in one
// external file; here they get their places in it, for sizes follow from shapes, and the recipes by which
// somebody else fills them. Field numbers from onnx.proto3 (ModelProto, GraphProto, NodeProto, …).

import { type Recipe, unitsOf } from '../recipe.ts';
import { Message } from './proto.ts';

export const onnxType = {
  ...{ float32: 1, uint8: 2, int32: 6, int64: 7 },
  ...{ float16: 10, bfloat16: 16 },
} as const;
export type OnnxType = keyof typeof onnxType;

/** What a graph computes in. float16: on devices whose kernels want it. */
export const precisions = ['float32', 'float16'] as const;
export type Precision = (typeof precisions)[number];

export type Attribute = number | { readonly float: number } | readonly number[] | string;
/** A dimension is a number or a name for one that varies. */
export type Dimension = number | string;

export type NodeOptions = {
  readonly domain?: 'com.microsoft';
  readonly attributes?: Readonly<Record<string, Attribute>>;
};

/** What a recipe gives, and where each of its outputs begins in the data file. */
export type Placed = { readonly recipe: Recipe; readonly offsets: readonly number[] };

type Output = {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly number[];
};

/** Weights begin at page boundaries, so that ONNX Runtime can map them. */
const alignment = 4096;

export class Graph {
  readonly #graph = new Message();
  readonly #dataFile: string;
  readonly precision: Precision;
  readonly #placed: Placed[] = [];
  #end = 0;

  /** @param dataFile name of the external data file, relative to the model file. */
  constructor(name: string, dataFile: string, precision: Precision = 'float32') {
    this.precision = precision;
    this.#graph.text(2, name);
    this.#dataFile = dataFile;
  }

  /** What the data file must be filled with. */
  get placed(): readonly Placed[] {
    return this.#placed;
  }

  /** Of the data file. */
  get dataBytes(): number {
    return this.#end;
  }

  input(name: string, type: OnnxType, shape: readonly Dimension[]): string {
    this.#graph.message(11, valueInfo(name, type, shape));
    return name;
  }

  output(name: string, type: OnnxType, shape: readonly Dimension[]): void {
    this.#graph.message(12, valueInfo(name, type, shape));
  }

  /**
   * Initializers in the external file, one for each output of the recipe, float32 in the graph's
   * precision. Returns the first's name.
   */
  weight(given: Recipe, ...wanted: readonly Output[]): string {
    const { recipe, outputs } = this.#precise(given, wanted);
    const { units, bytes } = unitsOf(recipe);
    const offsets = outputs.map(({ name, type, shape }, index) => {
      const offset = Math.ceil(this.#end / alignment) * alignment;
      const length = units * (bytes[index] ?? 0);
      this.#end = offset + length;
      const tensor = tensorHead(name, type, shape).varint(14, 1); // data_location EXTERNAL
      for (const [key, value] of [
        ['location', this.#dataFile],
        ['offset', String(offset)],
        ['length', String(length)],
      ] as const) {
        tensor.message(13, new Message().text(1, key).text(2, value));
      }
      this.#graph.message(5, tensor);
      return offset;
    });
    this.#placed.push({ recipe, offsets });
    return outputs[0]?.name ?? '';
  }

  #precise(recipe: Recipe, outputs: readonly Output[]) {
    const marks = outputs.map(({ type }) => type === 'float32' && this.precision === 'float16');
    if (!marks.includes(true)) return { recipe, outputs };
    const narrow = outputs.map((one, i) => (marks[i] ? { ...one, type: this.precision } : one));
    return { recipe: { kind: 'halved', recipe, marks } as const, outputs: narrow };
  }

  /** A small integer initializer inside the model file; shape [] makes it a scalar. */
  constant(name: string, values: readonly number[], shape: readonly number[]): string {
    const raw = new Uint8Array(new BigInt64Array(values.map(BigInt)).buffer);
    this.#graph.message(5, tensorHead(name, 'int64', shape).bytes(9, raw));
    return name;
  }

  /** Inputs and outputs by name, '' = left out. Returns the first output's name. */
  node(
    type: string,
    inputs: readonly string[],
    outputs: readonly string[],
    options: NodeOptions = {},
  ): string {
    const node = new Message();
    for (const input of inputs) node.text(1, input);
    for (const output of outputs) node.text(2, output);
    const first = outputs[0] ?? '';
    node.text(3, `${type}/${first}`).text(4, type);
    for (const [name, value] of Object.entries(options.attributes ?? {})) {
      node.message(5, attribute(name, value));
    }
    if (options.domain !== undefined) node.text(7, options.domain);
    this.#graph.message(1, node);
    return first;
  }

  /** The model file's bytes: IR version 10, opset 21 with the com.microsoft operators. */
  finish(): Uint8Array {
    return new Message()
      .varint(1, 10)
      .text(2, 'tdist')
      .message(7, this.#graph)
      .message(8, new Message().text(1, '').varint(2, 21))
      .message(8, new Message().text(1, 'com.microsoft').varint(2, 1))
      .finish();
  }
}

function tensorHead(name: string, type: OnnxType, shape: readonly number[]): Message {
  const tensor = new Message();
  for (const dimension of shape) tensor.varint(1, dimension);
  return tensor.varint(2, onnxType[type]).text(8, name);
}

export function valueInfo(name: string, type: OnnxType, shape: readonly Dimension[]): Message {
  const dimensions = new Message();
  for (const d of shape) {
    const dimension = new Message();
    if (typeof d === 'number') dimension.varint(1, d);
    else dimension.text(2, d);
    dimensions.message(1, dimension);
  }
  const tensorType = new Message().varint(1, onnxType[type]).message(2, dimensions);
  return new Message().text(1, name).message(2, new Message().message(1, tensorType));
}

/** AttributeProto: name 1, f 2, i 3, s 4, ints 8, type 20 (FLOAT 1, INT 2, STRING 3, INTS 7). */
export function attribute(name: string, value: Attribute): Message {
  const message = new Message().text(1, name);
  if (typeof value === 'number') return message.varint(3, value).varint(20, 2);
  if (typeof value === 'string') return message.text(4, value).varint(20, 3);
  if ('float' in value) return message.float(2, value.float).varint(20, 1);
  for (const item of value) message.varint(8, item);
  return message.varint(20, 7);
}
