// A rewritten graph → a model file without its weights. What other files hold stays there, under names
// of ours; what the model file itself held goes to a data file, so that ONNX Runtime maps it and
// nobody has it in memory whole.

import { Fault } from '../../std/fault.ts';
import { decoderNames } from '../onnx/decoder.ts';
import { type OnnxType, valueInfo } from '../onnx/graph.ts';
import { Message } from '../onnx/proto.ts';
import type { Node, OnnxModel, Payload, Tensor } from './parse.ts';

export type Moved = { readonly bytes: Uint8Array; readonly offset: number };

export type ModelFile = {
  readonly model: Uint8Array;
  /** What the data file `weightsFile` is filled with. */
  readonly moved: readonly Moved[];
  readonly movedBytes: number;
  /** Other data files, by the names they have beside the original; here the n-th is `linkName(n)`. */
  readonly locations: readonly string[];
};

export const weightsFile = 'weights.bin';
export function linkName(index: number): string {
  return `data.${index}`;
}

/** Smaller tensors stay in the model file: shapes are read from them when the graph is optimized. */
const movedFromBytes = 1024;
const alignment = 64;
/** Operators and names of the largest decoders take some 10 MiB. */
const modelBytesMax = 256 * 2 ** 20;

/** @param where names the original in messages. Throws a Fault `config`. */
export function serialize(
  original: OnnxModel,
  dimensions: { layers: number; kvHeads: number; headDim: number; vocabSize: number },
  where: string,
): ModelFile {
  const bytes = bytesInside(original);
  if (bytes > modelBytesMax) {
    const mib = Math.ceil(bytes / 2 ** 20);
    throw new Fault('config', `${where}: its graph takes ${mib} MiB without weights; wanted: less`);
  }
  const data = new Data();
  const graph = new Message();
  for (const node of original.nodes) graph.message(1, nodeMessage(node));
  graph.text(2, 'decoder');
  for (const tensor of original.tensors) graph.message(5, data.tensor(tensor));
  declare(graph, dimensions);
  const model = new Message().varint(1, original.irVersion).text(2, 'tdist').message(7, graph);
  for (const [domain, version] of original.opsets) {
    model.message(8, new Message().text(1, domain).varint(2, version));
  }
  for (const one of original.functions) model.bytes(25, one);
  const { moved, movedBytes, locations } = data;
  return { model: model.finish(), moved, movedBytes, locations };
}

/** Of what goes from file to file as it is. */
function bytesInside({ nodes, tensors, functions }: OnnxModel): number {
  const sum = (list: readonly Uint8Array[]): number =>
    list.reduce((bytes, one) => bytes + one.byteLength, 0);
  const ofNode = ({ attributes }: Node): number =>
    sum([...attributes.values()].map(({ message }) => message));
  return (
    sum(functions) +
    nodes.reduce((bytes, node) => bytes + ofNode(node), 0) +
    tensors.reduce((bytes, { others }) => bytes + sum(others), 0)
  );
}

class Data {
  readonly moved: Moved[] = [];
  readonly locations: string[] = [];
  movedBytes = 0;

  tensor({ name, type, shape, payload, others }: Tensor): Message {
    const message = new Message();
    for (const size of shape) message.varint(1, size);
    message.varint(2, type).text(8, name);
    for (const field of others) message.whole(field);
    return this.#payload(message, payload);
  }

  #payload(message: Message, payload: Payload): Message {
    if (payload.kind === 'fields') return message;
    if (payload.kind === 'outside') {
      const { location, offset, length } = payload;
      return this.#outside(message, linkName(this.#place(location)), offset, length);
    }
    const { bytes } = payload;
    if (bytes.byteLength < movedFromBytes) return message.bytes(9, bytes);
    const offset = Math.ceil(this.movedBytes / alignment) * alignment;
    this.moved.push({ bytes, offset });
    this.movedBytes = offset + bytes.byteLength;
    return this.#outside(message, weightsFile, offset, bytes.byteLength);
  }

  #place(location: string): number {
    const known = this.locations.indexOf(location);
    return known >= 0 ? known : this.locations.push(location) - 1;
  }

  #outside(message: Message, location: string, offset: number, length: number | null): Message {
    message.varint(14, 1);
    for (const [key, value] of [
      ['location', location],
      ['offset', String(offset)],
      ...(length === null ? [] : [['length', String(length)] as const]),
    ] as const) {
      message.message(13, new Message().text(1, key).text(2, value));
    }
    return message;
  }
}

function nodeMessage({ type, domain, name, inputs, outputs, attributes }: Node): Message {
  const node = new Message();
  for (const input of inputs) node.text(1, input);
  for (const output of outputs) node.text(2, output);
  node.text(3, name).text(4, type);
  for (const { message } of attributes.values()) node.bytes(5, message);
  return domain === '' ? node : node.text(7, domain);
}

/** As our sessions bind them. */
function declare(
  graph: Message,
  dimensions: { layers: number; kvHeads: number; headDim: number; vocabSize: number },
): void {
  const { layers, kvHeads, headDim, vocabSize } = dimensions;
  const known: Readonly<Record<string, readonly [OnnxType, readonly (number | string)[]]>> = {
    input_ids: ['int32', ['batch', 'sequence']],
    seqlens_k: ['int32', ['batch']],
    total_sequence_length: ['int32', []],
    last_rows: ['int32', ['rows']],
    logits: ['float32', ['rows', vocabSize]],
  };
  const { inputs, outputs } = decoderNames(layers);
  for (const [field, names] of [
    [11, inputs],
    [12, outputs],
  ] as const) {
    for (const name of names) {
      const cache = ['float32', ['batch', kvHeads, 'capacity', headDim]] as const;
      const [type, shape] = known[name] ?? cache;
      graph.message(field, valueInfo(name, type, shape));
    }
  }
}
