// The number that a value of a graph always has, where it can be told without running it: constants and
// what exports compute of them, such as 1 / √(size of a head).

import type { Net } from './net.ts';
import type { Node } from './parse.ts';

/** Nodes looked at for one number. */
const looksMax = 64;

/** Null: not known, or not one number. @param headDim last dimension of queries, keys and values. */
export function numberOf(net: Net, name: string, headDim: number): number | null {
  return find(net, name, headDim, { left: looksMax });
}

function find(net: Net, name: string, headDim: number, looks: { left: number }): number | null {
  looks.left--;
  if (looks.left < 0) return null;
  const tensor = net.tensor(name);
  if (tensor !== null) {
    const isOne = tensor.shape.every((size) => size === 1);
    return isOne ? (tensor.numbers[0] ?? null) : null;
  }
  const node = net.producerOf(name);
  if (node === null || node.domain !== '') return null;
  const input = (index: number): number | null =>
    find(net, node.inputs[index] ?? '', headDim, looks);
  return compute(net, node, input, headDim);
}

function compute(
  net: Net,
  node: Node,
  input: (index: number) => number | null,
  headDim: number,
): number | null {
  const [a, b] = [() => input(0), () => input(1)];
  switch (node.type) {
    case 'Constant':
      return constant(node);
    case 'Identity':
    case 'Cast':
    case 'Squeeze':
    case 'Unsqueeze':
    case 'Reshape':
      return a();
    case 'Sqrt':
      return map(a(), Math.sqrt);
    case 'Reciprocal':
      return map(a(), (x) => 1 / x);
    case 'Mul':
      return join(a(), b(), (x, y) => x * y);
    case 'Div':
      return join(a(), b(), (x, y) => x / y);
    case 'Pow':
      return join(a(), b(), (x, y) => x ** y);
    case 'Gather':
    case 'Slice': {
      const shape = net.producerOf(node.inputs[0] ?? '');
      const isLast = [-1, 3].includes(b() ?? Number.NaN);
      return isLast && shape?.type === 'Shape' && shape.attributes.size === 0 ? headDim : null;
    }
    default:
      return null;
  }
}

function constant({ attributes }: Node): number | null {
  const value = attributes.get('value')?.tensor;
  if (value != null) {
    return value.shape.every((size) => size === 1) ? (value.numbers[0] ?? null) : null;
  }
  const ints = attributes.get('value_ints')?.ints;
  if (ints?.length === 1) return ints[0] ?? null;
  return attributes.get('value_float')?.float ?? attributes.get('value_int')?.int ?? null;
}

function map(a: number | null, f: (x: number) => number): number | null {
  return a === null ? null : f(a);
}

function join(a: number | null, b: number | null, f: (x: number, y: number) => number) {
  return a === null || b === null ? null : f(a, b);
}
