// ModelProto → a graph as plain data: names, operators, attributes; weights stay where they are in the
// file, as views. Field numbers from onnx.proto3. What a graph must be to be served is scan.ts's.

import { Fault } from '../../std/fault.ts';
import { WireReader } from '../onnx/wire.ts';

export type Attribute = {
  readonly name: string;
  readonly int: number;
  readonly float: number;
  readonly text: string;
  readonly ints: readonly number[];
  readonly tensor: Tensor | null;
  /** AttributeProto as it is in the file. */
  readonly message: Uint8Array;
};

export type Node = {
  readonly type: string;
  /** '' is ONNX's own. */
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, Attribute>;
};

/** Where a tensor's numbers are. */
export type Payload =
  | { readonly kind: 'inside'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'outside';
      readonly location: string;
      readonly offset: number;
      /** Null: to the end of the file. */
      readonly length: number | null;
    }
  /** In fields of numbers, which are among `others`. */
  | { readonly kind: 'fields' };

export type Tensor = {
  readonly name: string;
  /** TensorProto.DataType. */
  readonly type: number;
  readonly shape: readonly number[];
  readonly payload: Payload;
  /** The first number of what is small enough to be looked at (`numberOf`). */
  readonly numbers: readonly number[];
  /** Fields that are not in the above, as they are. */
  readonly others: readonly Uint8Array[];
};

export type Value = {
  readonly name: string;
  readonly type: number;
  /** Numbers, or names of what varies; '?' where nothing is said. */
  readonly shape: readonly (number | string)[];
};

export type OnnxModel = {
  readonly irVersion: number;
  readonly opsets: ReadonlyMap<string, number>;
  readonly nodes: readonly Node[];
  readonly tensors: readonly Tensor[];
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** FunctionProtos as they are. */
  readonly functions: readonly Uint8Array[];
};

/** Numbers of a tensor that are looked at: scalars and shapes. */
const numbersMax = 16;
/** Nodes, tensors, inputs and outputs: the largest decoders have some 20,000. */
const partsMax = 250_000;
/** Of a name. */
const textBytesMax = 4096;

/** @param where names the file in messages. Throws a Fault `config`. */
export function parseOnnx(bytes: Uint8Array, where: string): OnnxModel {
  return new Parser(where).model(bytes);
}

class Parser {
  readonly #wire: WireReader;
  readonly #where: string;
  readonly #utf8 = new TextDecoder();

  constructor(where: string) {
    this.#where = where;
    this.#wire = new WireReader(where);
  }

  model(bytes: Uint8Array): OnnxModel {
    let irVersion = 0;
    let graph: Uint8Array | null = null;
    const opsets = new Map<string, number>();
    const functions: Uint8Array[] = [];
    for (const { number, value, bytes: content } of this.#wire.fields(bytes)) {
      if (number === 1) irVersion = value;
      else if (number === 7) graph = content;
      else if (number === 8) opsets.set(...this.#opset(content));
      else if (number === 25) functions.push(content);
    }
    if (graph === null) throw new Fault('config', `${this.#where} has no graph; download it again`);
    return { irVersion, opsets, functions, ...this.#graph(graph) };
  }

  #opset(bytes: Uint8Array): [string, number] {
    let [domain, version] = ['', 0];
    for (const { number, value, bytes: content } of this.#wire.fields(bytes)) {
      if (number === 1) domain = this.#text(content);
      else if (number === 2) version = value;
    }
    return [domain === 'ai.onnx' ? '' : domain, version];
  }

  #graph(bytes: Uint8Array): Pick<OnnxModel, 'nodes' | 'tensors' | 'inputs' | 'outputs'> {
    const nodes: Node[] = [];
    const tensors: Tensor[] = [];
    const inputs: Value[] = [];
    const outputs: Value[] = [];
    for (const { number, bytes: content } of this.#wire.fields(bytes)) {
      if (nodes.length + tensors.length + inputs.length + outputs.length > partsMax) {
        throw new Fault('config', `${this.#where} has more than ${partsMax} nodes and tensors`);
      }
      if (number === 1) nodes.push(this.#node(content));
      else if (number === 5) tensors.push(this.#tensor(content));
      else if (number === 11) inputs.push(this.#value(content));
      else if (number === 12) outputs.push(this.#value(content));
      else if (number === 15) {
        throw new Fault('config', `${this.#where}: sparse tensors are not supported`);
      }
    }
    return { nodes, tensors, inputs, outputs };
  }

  #node(bytes: Uint8Array): Node {
    const inputs: string[] = [];
    const outputs: string[] = [];
    const attributes = new Map<string, Attribute>();
    let [type, domain, name] = ['', '', ''];
    for (const { number, bytes: content } of this.#wire.fields(bytes)) {
      if (number === 1) inputs.push(this.#text(content));
      else if (number === 2) outputs.push(this.#text(content));
      else if (number === 3) name = this.#text(content);
      else if (number === 4) type = this.#text(content);
      else if (number === 5) {
        const attribute = this.#attribute(content, `${type} node ${name}`);
        attributes.set(attribute.name, attribute);
      } else if (number === 7) domain = this.#text(content);
    }
    return {
      type,
      domain: domain === 'ai.onnx' ? '' : domain,
      name,
      inputs,
      outputs,
      attributes,
    };
  }

  #attribute(bytes: Uint8Array, node: string): Attribute {
    const ints: number[] = [];
    let [name, int, float, text] = ['', 0, 0, ''];
    let tensor: Tensor | null = null;
    for (const field of this.#wire.fields(bytes)) {
      const { number, value, bytes: content } = field;
      if (number === 1) name = this.#text(content);
      else if (number === 2 && content.byteLength === 4) float = numbersIn(content, 1)[0] ?? 0;
      else if (number === 3) int = value;
      else if (number === 4) text = content.byteLength > textBytesMax ? '' : this.#text(content);
      else if (number === 5) tensor = this.#tensor(content);
      else if (number === 8) addAll(ints, this.#wire.integers(field, content.byteLength > 0));
      else if (number === 6 || number === 11) {
        throw new Fault(
          'config',
          `${this.#where}: ${node} holds a graph of its own (a merged export, or one that ` +
            'takes another way for long sequences), which is not supported; export it without',
        );
      }
    }
    return { name, int, float, text, ints, tensor, message: bytes };
  }

  #tensor(bytes: Uint8Array): Tensor {
    const shape: number[] = [];
    const others: Uint8Array[] = [];
    const numbers: number[] = [];
    const outside = new Map<string, string>();
    let raw: Uint8Array | null = null;
    let [name, type, isOutside] = ['', 0, false];
    for (const field of this.#wire.fields(bytes)) {
      const { number, value, bytes: content, whole } = field;
      const isPacked = content.byteLength > 0;
      if (number === 1) addAll(shape, this.#wire.integers(field, isPacked));
      else if (number === 2) type = value;
      else if (number === 8) name = this.#text(content);
      else if (number === 9) raw = content;
      else if (number === 13) outside.set(...this.#entry(content));
      else if (number === 14) isOutside = value === 1;
      else {
        others.push(whole);
        if (numbers.length >= numbersMax || content.byteLength > 8 * numbersMax) continue;
        if (number === 4) numbers.push(...numbersIn(content, 1));
        else if (number === 10) numbers.push(...numbersIn(content, 11));
        else if (number === 5 || number === 7) {
          numbers.push(...this.#wire.integers(field, isPacked));
        }
      }
    }
    if (shape.some((size) => size < 0)) {
      throw new Fault('config', `${this.#where}: tensor ${name} has shape [${shape.join(', ')}]`);
    }
    if (raw !== null && raw.byteLength <= 8 * numbersMax) numbers.push(...numbersIn(raw, type));
    const payload: Payload = isOutside
      ? this.#outside(name, outside)
      : raw === null
        ? { kind: 'fields' }
        : { kind: 'inside', bytes: raw };
    return { name, type, shape, payload, numbers, others };
  }

  #outside(tensor: string, entries: ReadonlyMap<string, string>): Payload {
    const location = entries.get('location') ?? '';
    const offset = Number(entries.get('offset') ?? 0);
    const length = entries.has('length') ? Number(entries.get('length')) : null;
    const isWhole = Number.isSafeInteger(offset) && offset >= 0;
    if (isWhole && (length === null || (Number.isSafeInteger(length) && length >= 0))) {
      return { kind: 'outside', location, offset, length };
    }
    throw new Fault(
      'config',
      `${this.#where}: tensor ${tensor} lies at ${offset} with ${length} bytes in ${location}; ` +
        'download it again',
    );
  }

  #entry(bytes: Uint8Array): [string, string] {
    let [key, value] = ['', ''];
    for (const { number, bytes: content } of this.#wire.fields(bytes)) {
      if (number === 1) key = this.#text(content);
      else if (number === 2) value = this.#text(content);
    }
    return [key, value];
  }

  #value(bytes: Uint8Array): Value {
    let [name, type] = ['', 0];
    const shape: (number | string)[] = [];
    for (const { number, bytes: content } of this.#wire.fields(bytes)) {
      if (number === 1) name = this.#text(content);
      if (number !== 2) continue;
      for (const kind of this.#wire.fields(content)) {
        if (kind.number !== 1) continue; // sequences, maps: no tensor, so type 0
        for (const part of this.#wire.fields(kind.bytes)) {
          if (part.number === 1) type = part.value;
          else if (part.number === 2) shape.push(...this.#dimensions(part.bytes));
        }
      }
    }
    return { name, type, shape };
  }

  #dimensions(bytes: Uint8Array): (number | string)[] {
    const found: (number | string)[] = [];
    for (const { number, bytes: content } of this.#wire.fields(bytes)) {
      if (number !== 1) continue;
      let size: number | string = '?';
      for (const part of this.#wire.fields(content)) {
        size = part.number === 1 ? part.value : this.#text(part.bytes);
      }
      found.push(size);
    }
    return found;
  }

  #text(bytes: Uint8Array): string {
    if (bytes.byteLength > textBytesMax) {
      throw new Fault('config', `${this.#where} has a name of ${bytes.byteLength} bytes`);
    }
    return this.#utf8.decode(bytes);
  }
}

/** However many there are: as arguments of `push` they would have to fit the stack. */
function addAll(to: number[], more: readonly number[]): void {
  for (const one of more) to.push(one);
}

/** Little-endian numbers of the types that scalars have; none of any other. */
function numbersIn(bytes: Uint8Array, type: number): number[] {
  const read = readers[type];
  if (read === undefined) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = Math.min(numbersMax, Math.floor(bytes.byteLength / read.bytes));
  return Array.from({ length: count }, (_, i) => read.at(view, i * read.bytes));
}

type Reader = { readonly bytes: number; at(view: DataView, at: number): number };

const readers: Readonly<Record<number, Reader>> = {
  1: { bytes: 4, at: (view, at) => view.getFloat32(at, true) },
  6: { bytes: 4, at: (view, at) => view.getInt32(at, true) },
  7: { bytes: 8, at: (view, at) => Number(view.getBigInt64(at, true)) },
  10: { bytes: 2, at: (view, at) => view.getFloat16(at, true) },
  11: { bytes: 8, at: (view, at) => view.getFloat64(at, true) },
};
