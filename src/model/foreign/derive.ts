// What a graph wants to be fed, made from what our sessions feed. With S tokens a row in this call:
//
//   past[b]         = max(0, seqlens_k[b] + 1 − S)     a first prompt may be padded, then it has none
//   position[b, s]  = past[b] + s
//   mask[b, t]      = t ≤ seqlens_k[b],                 t < total_sequence_length

import { Fault } from '../../std/fault.ts';
import type { Heads } from './concat.ts';
import { made } from './naming.ts';
import { describe, integers, intOf, makeNode, type Net } from './net.ts';
import type { Node } from './parse.ts';

const int64 = 7;

/** [batch, sequence] */
export function makePositions(net: Net, type: number): void {
  addSequence(net);
  net.addTensor(integers('tdist/zero', [0], []));
  net.addTensor(integers('tdist/one', [1], []));
  net.addTensor(integers('tdist/column', [-1, 1]));
  net.putFirst(
    cast('seqlens_k', 'tdist/last', int64),
    makeNode('Add', ['tdist/last', 'tdist/one'], ['tdist/length']),
    makeNode('Sub', ['tdist/length', 'tdist/sequence'], ['tdist/before']),
    makeNode('Max', ['tdist/before', 'tdist/zero'], ['tdist/past']),
    makeNode('Reshape', ['tdist/past', 'tdist/column'], ['tdist/past.column']),
    makeNode('Range', ['tdist/zero', 'tdist/sequence', 'tdist/one'], ['tdist/steps']),
    makeNode('Add', ['tdist/past.column', 'tdist/steps'], ['tdist/places']),
    cast('tdist/places', made.positions, type),
  );
  putSequenceFirst(net);
}

/** [batch, total_sequence_length] */
export function makeMask(net: Net, type: number): void {
  net.addTensor(integers('tdist/zero', [0], []));
  net.addTensor(integers('tdist/one', [1], []));
  net.addTensor(integers('tdist/column', [-1, 1]));
  net.putFirst(
    cast('total_sequence_length', 'tdist/mask.width', int64),
    cast('seqlens_k', 'tdist/mask.last', int64),
    makeNode('Reshape', ['tdist/mask.last', 'tdist/column'], ['tdist/mask.column']),
    makeNode('Range', ['tdist/zero', 'tdist/mask.width', 'tdist/one'], ['tdist/mask.steps']),
    makeNode('LessOrEqual', ['tdist/mask.steps', 'tdist/mask.column'], ['tdist/mask.seen']),
    cast('tdist/mask.seen', made.mask, type),
  );
}

export function castIds(net: Net, type: number): void {
  net.putFirst(cast('input_ids', made.ids, type));
}

/**
 * KV that grows says by its shape how long it is; ours has the slot's capacity. Who reads that shape
 * gets what it would have been, of the longest row. That is enough for a table's bounds, not for
 * positions: so they must be an input of their own.
 */
export function replaceLengths(
  net: Net,
  options: Pick<Heads, 'kvHeads' | 'headDim'> & { hasPositions: boolean; where: string },
): void {
  const { kvHeads, headDim, hasPositions, where } = options;
  const readers = net.nodes.filter(
    (node) => !isAttention(node) && node.inputs.some((name) => cache.test(name)),
  );
  const [first] = readers;
  if (first === undefined) return;
  const odd = readers.find(({ type }) => type !== 'Shape');
  if (odd !== undefined || !hasPositions) {
    const what = odd === undefined ? 'the length of the KV' : 'the KV';
    throw new Fault(
      'config',
      `${where}: ${describe(odd ?? first)} reads ${what} beside attention, and its rows have each their own; ` +
        'use an export with GroupQueryAttention or with position_ids, or the model’s safetensors',
    );
  }
  net.replace(new Map(readers.map((node) => [node, [sliceInstead(net, node)]])));
  addSequence(net);
  net.addTensor(integers('tdist/kvHeads', [kvHeads]));
  net.addTensor(integers('tdist/headDim', [headDim]));
  net.addTensor(integers('tdist/single', [1]));
  const shape = (side: string, length: string): Node =>
    makeNode(
      'Concat',
      ['tdist/batch', 'tdist/kvHeads', length, 'tdist/headDim'],
      [`tdist/shape.${side}`],
      { attributes: { axis: 0 } },
    );
  net.putFirst(
    makeNode('Shape', ['seqlens_k'], ['tdist/batch']),
    cast('total_sequence_length', 'tdist/total', int64),
    makeNode('Reshape', ['tdist/total', 'tdist/single'], ['tdist/total.one']),
    makeNode('Sub', ['tdist/total.one', 'tdist/sequence'], ['tdist/total.past']),
    shape('past', 'tdist/total.past'),
    shape('present', 'tdist/total.one'),
  );
  putSequenceFirst(net);
}

/** For a Shape node, which may ask for some dimensions only. */
function sliceInstead(net: Net, node: Node): Node {
  const side = node.inputs[0]?.startsWith('past') ? 'past' : 'present';
  const [output = ''] = node.outputs;
  const [begin, end] = [`tdist/begin/${output}`, `tdist/end/${output}`];
  net.addTensor(integers(begin, [intOf(node, 'start', 0)]));
  net.addTensor(integers(end, [intOf(node, 'end', 4)]));
  const inputs = [`tdist/shape.${side}`, begin, end];
  return makeNode('Slice', inputs, [output]);
}

const cache = /^(past|present)\.\d+\.(key|value)$/;

function isAttention({ type }: Node): boolean {
  return type === 'GroupQueryAttention';
}

function addSequence(net: Net): void {
  net.addTensor(integers('tdist/second', [1], []));
}

/** Tokens a row, int64 []. */
function putSequenceFirst(net: Net): void {
  if (net.producerOf('tdist/sequence') !== null) return;
  net.putFirst(
    makeNode('Shape', ['input_ids'], ['tdist/shape']),
    makeNode('Gather', ['tdist/shape', 'tdist/second'], ['tdist/sequence'], {
      attributes: { axis: 0 },
    }),
  );
}

function cast(from: string, to: string, type: number): Node {
  return makeNode('Cast', [from], [to], { attributes: { to: type } });
}
