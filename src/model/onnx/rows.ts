// Graphs that move rows of KV on a device whose memory can only be named, not addressed: between planes
// and one packed buffer of the host's, and between planes. A plane is one layer's K or V of all slots,
// seen as [rows, headDim]; a plane that is written is input and output at once, so only the rows that
// are named are touched.

import { Graph, type OnnxType, onnxType, type Precision } from './graph.ts';

export type RowGraph = {
  readonly model: Uint8Array;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
};

/** planes, `rows` int32 [n] → `packed` float32 [planes · n, headDim], plane by plane. */
export function readGraph(planes: number, headDim: number, element: Precision): RowGraph {
  const graph = open('read');
  const names = declare(graph, 'plane', { planes, headDim, element });
  graph.input('rows', 'int32', ['n']);
  graph.output('packed', 'float32', ['all', headDim]);
  const parts = names.map((name, i) => {
    const taken = graph.node('Gather', [name, 'rows'], [`taken.${i}`], rowAxis);
    return element === 'float32' ? taken : cast(graph, taken, `wide.${i}`, 'float32');
  });
  graph.node('Concat', parts, ['packed'], rowAxis);
  return { model: graph.finish(), inputs: [...names, 'rows'], outputs: ['packed'] };
}

/** planes, `rows` int64 [n, 1], `packed` float32 [planes, n, headDim] → the planes with those rows. */
export function writeGraph(planes: number, headDim: number, element: Precision): RowGraph {
  const graph = open('write');
  const names = declare(graph, 'plane', { planes, headDim, element });
  graph.input('rows', 'int64', ['n', 1]);
  graph.input('packed', 'float32', [planes, 'n', headDim]);
  const outputs = names.map((name, i) => {
    // A node for each: one Split would bind more buffers than a shader may.
    const index = graph.constant(`index.${i}`, [i], []);
    const part = graph.node('Gather', ['packed', index], [`part.${i}`], rowAxis);
    const values = element === 'float32' ? part : cast(graph, part, `narrow.${i}`, element);
    return scatter(graph, [name, 'rows', values], { headDim, element, i });
  });
  return { model: graph.finish(), inputs: [...names, 'rows', 'packed'], outputs };
}

/** `from.i`, `to.i`, `source` int32 [n], `target` int64 [n, 1] → `to.i` with the rows of `from.i`. */
export function copyGraph(planes: number, headDim: number, element: Precision): RowGraph {
  const graph = open('copy');
  const from = declare(graph, 'from', { planes, headDim, element });
  const to = declare(graph, 'to', { planes, headDim, element });
  graph.input('source', 'int32', ['n']);
  graph.input('target', 'int64', ['n', 1]);
  const outputs = to.map((name, i) => {
    const taken = graph.node('Gather', [from[i] ?? '', 'source'], [`taken.${i}`], rowAxis);
    return scatter(graph, [name, 'target', taken], { headDim, element, i });
  });
  return { model: graph.finish(), inputs: [...from, ...to, 'source', 'target'], outputs };
}

const rowAxis = { attributes: { axis: 0 } } as const;

function open(name: string): Graph {
  return new Graph(name, ''); // without weights, so without a file of them
}

function declare(
  graph: Graph,
  name: string,
  planes: { planes: number; headDim: number; element: Precision },
): string[] {
  return Array.from({ length: planes.planes }, (_, i) =>
    graph.input(`${name}.${i}`, planes.element, [`${name}.rows`, planes.headDim]),
  );
}

function scatter(
  graph: Graph,
  inputs: readonly string[],
  plane: { headDim: number; element: Precision; i: number },
): string {
  const name = `kept.${plane.i}`;
  graph.output(name, plane.element, ['kept.rows', plane.headDim]);
  return graph.node('ScatterND', inputs, [name]);
}

function cast(graph: Graph, input: string, output: string, to: OnnxType): string {
  return graph.node('Cast', [input], [output], { attributes: { to: onnxType[to] } });
}
