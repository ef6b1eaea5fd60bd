// Attention as older exports have it, found layer by layer and made one GroupQueryAttention:
//
//   q ───────────────────────────── MatMul ─ · scale ─ + mask ─ Softmax ─ MatMul ─▶ out [B, heads, S, D]
//   k [B, kvHeads, S, D] ─ Concat(past) ─ repeat ─ Transpose ┘            │
//   v [B, kvHeads, S, D] ─ Concat(past) ─ repeat ─────────────────────────┘
//
// Only this is known; whatever else stands in between (a cap on the scores, a second bias) is refused by
// name. That the mask is the causal one cannot be seen here: the model's architecture says it (open.ts).

import { Fault } from '../../std/fault.ts';
import { describe, describeAll, type Edits, intOf, makeNode, type Net } from './net.ts';
import type { Node } from './parse.ts';
import { numberOf } from './scalar.ts';

export type Heads = { readonly heads: number; readonly kvHeads: number; readonly headDim: number };

export type ConcatOptions = Heads & {
  readonly layer: number;
  /** That the architecture has, which the graph must have, too. */
  readonly scale: number;
  readonly where: string;
};

/** Through which K and V pass on their way, repeated and turned but not changed. */
const movers = new Set(['Identity', 'Reshape', 'Transpose', 'Unsqueeze', 'Expand', 'Cast']);
const depthMax = 12;

/** Throws a Fault `config`. What the edits leave without a reader is to be pruned. */
export function replaceConcat(net: Net, options: ConcatOptions): Edits {
  return new Layer(net, options).replace();
}

class Layer {
  readonly #net: Net;
  readonly #options: ConcatOptions;
  /** Of everything that queries, keys and their products are multiplied by. */
  #scale = 1;

  constructor(net: Net, options: ConcatOptions) {
    this.#net = net;
    this.#options = options;
  }

  replace(): Edits {
    const { layer, scale, heads, kvHeads } = this.#options;
    const [key, value] = [this.#joined('key'), this.#joined('value')];
    const product = this.#readerOfValues(value.all);
    const softmax = this.#softmaxBefore(product.inputs[0] ?? '');
    const scores = this.#scores(softmax.inputs[0] ?? '', 0, false);
    this.#follow(scores.inputs[1] ?? '', key.all);
    if (heads !== kvHeads) this.#checkRepeat(scores.inputs[1] ?? '');
    const query = this.#unscaled(scores.inputs[0] ?? '');
    if (Math.abs(this.#scale / scale - 1) > 1e-3) {
      this.#refuse(`attention is scaled by ${this.#scale}, where the architecture has ${scale}`);
    }
    const name = `tdist/attention.${layer}`;
    const [output = ''] = product.outputs;
    const attention = [
      ...this.#flat(query, `${name}.q`),
      ...this.#flat(key.rows, `${name}.k`),
      ...this.#flat(value.rows, `${name}.v`),
      this.#attention(name),
      makeNode('Reshape', [name, 'tdist/heads'], [`${name}.heads`]),
      makeNode('Transpose', [`${name}.heads`], [output], { attributes: { perm: [0, 2, 1, 3] } }),
    ];
    return new Map([
      [product, attention],
      [key.node, []],
      [value.node, []],
    ]);
  }

  #attention(name: string): Node {
    const { layer, heads, kvHeads, scale } = this.#options;
    const cache = (side: string): string[] => [`${side}.${layer}.key`, `${side}.${layer}.value`];
    return makeNode(
      'GroupQueryAttention',
      [
        ...['q', 'k', 'v'].map((part) => `${name}.${part}`),
        ...cache('past'),
        'seqlens_k',
        'total_sequence_length',
      ],
      [name, ...cache('present')],
      {
        domain: 'com.microsoft',
        attributes: { num_heads: heads, kv_num_heads: kvHeads, scale: { float: scale } },
      },
    );
  }

  /** [B, heads, S, D] → [B, S, heads · D]. */
  #flat(input: string, output: string): Node[] {
    return [
      makeNode('Transpose', [input], [`${output}.rows`], { attributes: { perm: [0, 2, 1, 3] } }),
      makeNode('Reshape', [`${output}.rows`, 'tdist/flat'], [output]),
    ];
  }

  /** The Concat that puts new rows behind the past. */
  #joined(part: 'key' | 'value'): { node: Node; rows: string; all: string } {
    const { layer } = this.#options;
    const all = `present.${layer}.${part}`;
    const node = this.#net.producerOf(all);
    const [past, rows] = node?.inputs ?? [];
    const axis = node === null ? 0 : intOf(node, 'axis', 0);
    const isJoin = node?.type === 'Concat' && node.inputs.length === 2 && [2, -2].includes(axis);
    if (node !== null && isJoin && past === `past.${layer}.${part}` && rows !== undefined) {
      return { node, rows, all };
    }
    return this.#refuse(
      `the KV of ${part}s is made by ${node === null ? 'nothing' : describe(node)}`,
    );
  }

  /** The MatMul that weighs the values. */
  #readerOfValues(all: string): Node {
    let name = all;
    let repeats = 0;
    for (let depth = 0; depth < depthMax; depth++) {
      const readers = this.#net
        .consumersOf(name)
        .filter(({ type, inputs }) => type !== 'Shape' && inputs.indexOf(name) < 2);
      const [reader] = readers;
      if (reader === undefined || readers.length > 1) {
        return this.#refuse(`values are read by ${describeAll(readers)}`);
      }
      if (reader.type === 'MatMul' && reader.inputs[1] === name) {
        const { heads, kvHeads } = this.#options;
        if (repeats === (heads === kvHeads ? 0 : 1)) return reader;
        return this.#refuse(`values are repeated ${repeats} times`);
      }
      if (!movers.has(reader.type) || reader.inputs[0] !== name) {
        return this.#refuse(`values are read by ${describe(reader)}`);
      }
      if (reader.type === 'Expand') repeats++;
      if (reader.type === 'Unsqueeze') this.#checkAxis(reader, 'values');
      name = reader.outputs[0] ?? '';
    }
    return this.#refuse('values are not read by a MatMul');
  }

  /** Some exports look for rows that are nothing but NaN: Where(IsNaN(s), 0, s). */
  #softmaxBefore(name: string): Node {
    let node = this.#net.producerOf(name);
    for (let depth = 0; depth < depthMax && node !== null; depth++) {
      if (node.type === 'Softmax') {
        const axis = intOf(node, 'axis', -1);
        return axis === -1 || axis === 3 ? node : this.#refuse(`softmax is over axis ${axis}`);
      }
      const isNan = node.type === 'Where' && this.#producerType(node, 0) === 'IsNaN';
      if (!isNan && !['Cast', 'Identity', 'Dropout'].includes(node.type)) break;
      node = this.#net.producerOf(node.inputs[isNan ? 2 : 0] ?? '');
    }
    return this.#refuse(`values are weighed by ${node === null ? 'an input' : describe(node)}`);
  }

  #producerType(node: Node, input: number): string | null {
    return this.#net.producerOf(node.inputs[input] ?? '')?.type ?? null;
  }

  /** From the softmax's input back to the product of queries and keys, one mask on the way. */
  #scores(name: string, depth: number, isMasked: boolean): Node {
    const node = this.#net.producerOf(name);
    if (node === null || depth > depthMax) return this.#refuse('scores come from nowhere');
    if (node.type === 'MatMul') {
      return isMasked ? node : this.#refuse('scores have no mask');
    }
    if (node.type === 'Cast' || node.type === 'Identity') {
      return this.#scores(node.inputs[0] ?? '', depth + 1, isMasked);
    }
    const [first = '', second = ''] = node.inputs;
    if (node.type === 'Mul' || node.type === 'Div') {
      return this.#scores(this.#divided(node), depth + 1, isMasked);
    }
    if (isMasked) return this.#refuse(`scores go through ${describe(node)} beside their mask`);
    if (node.type === 'Add') {
      const products = [first, second].filter((one) => this.#isProduct(one));
      const [only] = products;
      if (only !== undefined && products.length === 1) return this.#scores(only, depth + 1, true);
      const types = [0, 1].map((input) => this.#producerType(node, input) ?? 'a constant');
      this.#refuse(`a mask is not added to scores but ${types.join(' to ')}`);
    }
    if (node.type === 'Where') {
      const choice = [second, node.inputs[2] ?? ''].filter((one) => this.#isProduct(one));
      const [only] = choice;
      if (only !== undefined && choice.length === 1) return this.#scores(only, depth + 1, true);
    }
    return this.#refuse(`scores go through ${describe(node)}`);
  }

  /** Whether a product of queries and keys is behind it, scaled perhaps. */
  #isProduct(name: string): boolean {
    let node = this.#net.producerOf(name);
    for (let depth = 0; depth < depthMax && node !== null; depth++) {
      if (node.type === 'MatMul') return true;
      if (!['Mul', 'Div', 'Cast', 'Identity'].includes(node.type)) return false;
      const left = node.inputs[0] ?? '';
      const isLeft = this.#number(left) === null;
      node = this.#net.producerOf(isLeft ? left : (node.inputs[1] ?? ''));
    }
    return false;
  }

  /** What a product or quotient with a constant is made of; the constant is kept. */
  #divided(node: Node): string {
    const [left = '', right = ''] = node.inputs;
    const [a, b] = [this.#number(left), this.#number(right)];
    if (b !== null && a === null) {
      this.#scale *= node.type === 'Mul' ? b : 1 / b;
      return left;
    }
    if (a !== null && b === null && node.type === 'Mul') {
      this.#scale *= a;
      return right;
    }
    return this.#refuse(`${describe(node)} is no product with a constant`);
  }

  #number(name: string): number | null {
    return numberOf(this.#net, name, this.#options.headDim);
  }

  /** From the product's second operand back to all keys. */
  #follow(name: string, all: string): void {
    let at = name;
    for (let depth = 0; depth < depthMax; depth++) {
      if (at === all) return;
      const node = this.#net.producerOf(at);
      if (node === null) break;
      if (node.type === 'Mul' || node.type === 'Div') at = this.#divided(node);
      else if (movers.has(node.type)) at = node.inputs[0] ?? '';
      else this.#refuse(`keys go through ${describe(node)}`);
    }
    if (at !== all) this.#refuse('queries are not multiplied with the keys');
  }

  /** Each head of keys serves the queries beside one another, as repeat_kv has it. */
  #checkRepeat(name: string): void {
    let at = name;
    let expands = 0;
    for (let depth = 0; depth < depthMax; depth++) {
      const node = this.#net.producerOf(at);
      if (node === null || node.type === 'Concat') break;
      if (node.type === 'Expand') expands++;
      if (node.type === 'Unsqueeze') this.#checkAxis(node, 'keys');
      const [left = '', right = ''] = node.inputs;
      const isScaled = node.type === 'Mul' && this.#number(left) !== null;
      at = isScaled ? right : left;
    }
    if (expands !== 1) this.#refuse(`keys are repeated ${expands} times`);
  }

  #checkAxis(node: Node, what: 'keys' | 'values'): void {
    const axis = node.attributes.get('axes')?.ints[0] ?? this.#number(node.inputs[1] ?? '');
    if (axis !== 2) this.#refuse(`${describe(node)} repeats ${what} along axis ${axis}`);
  }

  #unscaled(name: string): string {
    let at = name;
    for (let depth = 0; depth < depthMax; depth++) {
      const node = this.#net.producerOf(at);
      const isScaling = node !== null && (node.type === 'Mul' || node.type === 'Div');
      // The rotation ends in an Add; a Mul with anything but a constant is none of ours either.
      if (!isScaling || !node.inputs.some((input) => this.#number(input) !== null)) return at;
      at = this.#divided(node);
    }
    return at;
  }

  #refuse(found: string): never {
    const { where, layer } = this.#options;
    throw new Fault(
      'config',
      `${where}: attention of layer ${layer} is not of a form that is known: ${found}; ` +
        'use an export with GroupQueryAttention, or the model’s safetensors',
    );
  }
}
