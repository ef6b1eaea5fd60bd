// Logits of the rows that are asked for (`last_rows`) instead of all: chosen before the head where its
// operator is found, so that a chunk of a prompt does not pay for as many rows of the vocabulary.

import { made } from './naming.ts';
import { makeNode, type Net } from './net.ts';
import type { Node } from './parse.ts';

const products = new Set(['MatMul', 'MatMulNBits', 'MatMulBnb4']);
/** Of one value, and what is beside it is the same for all rows. */
const passing = new Set(['Cast', 'Identity', 'Tanh', 'Mul', 'Div', 'Add']);
const depthMax = 12;
/** Values looked at to tell whether one is made of weights only. */
const looksMax = 64;

/** Leaves `logits`, float32 [rows, vocab]. @param type of what the graph gives. */
export function narrowHead(net: Net, type: number): void {
  const head = findHead(net);
  const narrowed = 'tdist/narrowed';
  const chosen = (all: string): Node[] => [
    // [batch, sequence, x] → [batch · sequence, x]
    makeNode('Flatten', [all], ['tdist/rows'], { attributes: { axis: 2 } }),
    makeNode('Gather', ['tdist/rows', 'last_rows'], [narrowed], { attributes: { axis: 0 } }),
  ];
  let logits = narrowed;
  if (head === null) {
    net.putLast(...chosen(made.logits));
  } else {
    const [input = '', ...rest] = head.inputs;
    const changed = { ...head, inputs: [narrowed, ...rest] };
    net.replace(new Map([[head, [...chosen(input), changed]]]));
    logits = made.logits;
  }
  const last =
    type === 1
      ? makeNode('Identity', [logits], ['logits'])
      : makeNode('Cast', [logits], ['logits'], { attributes: { to: 1 } });
  net.putLast(last);
}

/** Null: no operator that is known; rows are chosen behind it. */
function findHead(net: Net): Node | null {
  let name: string = made.logits;
  for (let depth = 0; depth < depthMax; depth++) {
    const node = net.producerOf(name);
    // Whatever else reads it would get other rows.
    if (node === null || (depth > 0 && net.consumersOf(name).length !== 1)) return null;
    if (products.has(node.type)) return isTable(net, node) ? node : null;
    if (node.type === 'MatMulInteger') return quantizerOf(net, node);
    if (!passing.has(node.type)) return null;
    const varying = node.inputs.filter((input) => input !== '' && !isFixed(net, input));
    const [main] = varying;
    if (node.type === 'Mul' && varying.length === 2) {
      name = varying.find((input) => leadsToIntegers(net, input)) ?? '';
    } else if (main !== undefined && varying.length === 1) name = main;
    else return null;
  }
  return null;
}

function isTable(net: Net, { inputs }: Node): boolean {
  return inputs.slice(1).every((input) => input === '' || isFixed(net, input));
}

/** Made of weights only. */
function isFixed(net: Net, name: string): boolean {
  const seen = new Set<string>();
  const left = [name];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (next === '' || seen.has(next)) continue;
    seen.add(next);
    if (net.tensor(next) !== null) continue;
    const node = net.producerOf(next);
    if (node === null || seen.size > looksMax) return false;
    for (const input of node.inputs) left.push(input);
  }
  return true;
}

function leadsToIntegers(net: Net, name: string): boolean {
  const node = net.producerOf(name);
  if (node?.type === 'Cast') return net.producerOf(node.inputs[0] ?? '')?.type === 'MatMulInteger';
  return node?.type === 'MatMulInteger';
}

/** What rounds the head's input, if nobody else reads what it gives but the scales behind the head. */
function quantizerOf(net: Net, { inputs }: Node): Node | null {
  const node = net.producerOf(inputs[0] ?? '');
  if (node?.type !== 'DynamicQuantizeLinear') return null;
  const [rounded = '', scale = ''] = node.outputs;
  const isOwn = [rounded, scale].every((name) => net.consumersOf(name).length === 1);
  return isOwn ? node : null;
}
