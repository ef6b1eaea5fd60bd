// A graph that is being changed: who makes a value, who reads it, nodes put in and taken out. Knows
// nothing of what the nodes compute.

import { type Attribute as AttributeValue, attribute } from '../onnx/graph.ts';
import type { Attribute, Node, OnnxModel, Tensor } from './parse.ts';

/** What stands in a node's place. */
export type Edits = ReadonlyMap<Node, readonly Node[]>;

export class Net {
  readonly #tensors: Map<string, Tensor>;
  #nodes: readonly Node[];
  #producers: ReadonlyMap<string, Node> | null = null;
  #consumers: ReadonlyMap<string, readonly Node[]> | null = null;

  constructor(model: Pick<OnnxModel, 'nodes' | 'tensors'>) {
    this.#nodes = model.nodes;
    this.#tensors = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  }

  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  get tensors(): readonly Tensor[] {
    return [...this.#tensors.values()];
  }

  tensor(name: string): Tensor | null {
    return this.#tensors.get(name) ?? null;
  }

  producerOf(name: string): Node | null {
    this.#producers ??= new Map(
      this.#nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)),
    );
    return name === '' ? null : (this.#producers.get(name) ?? null);
  }

  consumersOf(name: string): readonly Node[] {
    if (this.#consumers === null) {
      const consumers = new Map<string, Node[]>();
      for (const node of this.#nodes) {
        for (const input of new Set(node.inputs)) {
          const known = consumers.get(input);
          if (known === undefined) consumers.set(input, [node]);
          else known.push(node);
        }
      }
      this.#consumers = consumers;
    }
    return this.#consumers.get(name) ?? [];
  }

  /** Puts others in the places of nodes, all at once. */
  replace(edits: Edits): void {
    this.#set(this.#nodes.flatMap((node) => edits.get(node) ?? [node]));
  }

  putFirst(...nodes: readonly Node[]): void {
    this.#set([...nodes, ...this.#nodes]);
  }

  putLast(...nodes: readonly Node[]): void {
    this.#set([...this.#nodes, ...nodes]);
  }

  addTensor(tensor: Tensor): void {
    this.#tensors.set(tensor.name, tensor);
  }

  /** Leaves what `outputs` are made from, each node behind those that it reads. */
  prune(outputs: readonly string[]): void {
    const wanted = new Set<string>();
    const live = new Set<Node>();
    const entered = new Set<Node>();
    const left: (string | Node)[] = [...outputs];
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      if (typeof next !== 'string') {
        live.add(next);
        continue;
      }
      wanted.add(next);
      const node = this.producerOf(next);
      if (node === null || entered.has(node)) continue;
      entered.add(node);
      left.push(node);
      for (const input of node.inputs) if (input !== '') left.push(input);
    }
    this.#set([...live]);
    for (const name of this.#tensors.keys()) if (!wanted.has(name)) this.#tensors.delete(name);
  }

  #set(nodes: readonly Node[]): void {
    this.#nodes = nodes;
    this.#producers = null;
    this.#consumers = null;
  }
}

/** A node of ours. */
export function makeNode(
  type: string,
  inputs: readonly string[],
  outputs: readonly string[],
  options: { domain?: string; attributes?: Readonly<Record<string, AttributeValue>> } = {},
): Node {
  const { domain = '', attributes = {} } = options;
  const made = Object.entries(attributes).map(([name, value]): [string, Attribute] => [
    name,
    {
      name,
      int: typeof value === 'number' ? value : 0,
      float: typeof value === 'object' && 'float' in value ? value.float : 0,
      text: typeof value === 'string' ? value : '',
      ints: Array.isArray(value) ? value : [],
      tensor: null,
      message: attribute(name, value).finish(),
    },
  ]);
  // No two nodes of a graph may have one name.
  const name = `tdist/${type}/${outputs[0] ?? ''}`;
  return { type, domain, name, inputs, outputs, attributes: new Map(made) };
}

/** An int64 constant; shape [] makes it a scalar. */
export function integers(
  name: string,
  values: readonly number[],
  shape: readonly number[] = [values.length],
): Tensor {
  const bytes = new Uint8Array(new BigInt64Array(values.map(BigInt)).buffer);
  const payload = { kind: 'inside', bytes } as const;
  return { name, type: 7, shape, payload, numbers: values, others: [] };
}

/** In messages. */
export function describe({ type, domain, name }: Node): string {
  return `${domain === '' ? '' : `${domain}.`}${type} node ${name}`.slice(0, 200);
}

/** Some of them, in messages. */
export function describeAll(nodes: readonly Node[]): string {
  const more = nodes.length > 3 ? ` and ${nodes.length - 3} more` : '';
  return nodes.length === 0 ? 'nobody' : nodes.slice(0, 3).map(describe).join(' and ') + more;
}

export function intOf(node: Node, name: string, otherwise: number): number {
  return node.attributes.get(name)?.int ?? otherwise;
}
