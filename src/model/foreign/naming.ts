// What a graph's inputs and outputs are for, by their names: optimum's and transformers.js's, or those
// that a genai_config.json gives. Everything is then renamed to what our sessions say (onnx/decoder.ts);
// what we still have to make of our inputs is called tdist/….

import { Fault } from '../../std/fault.ts';
import type { Node, OnnxModel, Value } from './parse.ts';

export type Names = {
  readonly inputIds: string;
  readonly attentionMask: string;
  readonly positionIds: string;
  readonly logits: string;
  /** With %d for the layer. */
  readonly pastKey: string;
  readonly pastValue: string;
  readonly presentKey: string;
  readonly presentValue: string;
};

export const usualNames: Names = {
  inputIds: 'input_ids',
  attentionMask: 'attention_mask',
  positionIds: 'position_ids',
  logits: 'logits',
  pastKey: 'past_key_values.%d.key',
  pastValue: 'past_key_values.%d.value',
  presentKey: 'present.%d.key',
  presentValue: 'present.%d.value',
};

/** Values of a renamed graph that have to be made of our inputs. */
export const made = {
  ids: 'tdist/ids',
  mask: 'tdist/mask',
  positions: 'tdist/positions',
  keep: 'tdist/keep',
  logits: 'tdist/logits',
} as const;

export type Part = 'key' | 'value';
export const parts: readonly Part[] = ['key', 'value'];

export type Renamed = {
  readonly model: OnnxModel;
  readonly layers: number;
  /** Declared in the file, under our names. */
  readonly declared: ReadonlyMap<string, Value>;
};

/** Throws a Fault `config` that names what cannot be fed. */
export function rename(model: OnnxModel, names: Names, where: string): Renamed {
  const weights = new Set(model.tensors.map(({ name }) => name));
  const inputs = model.inputs.filter(({ name }) => !weights.has(name));
  const roles = new Map<string, string>();
  const declared = new Map<string, Value>();
  for (const [values, roleOf, kind] of [
    [inputs, inputRole, 'input'],
    [model.outputs, outputRole, 'output'],
  ] as const) {
    for (const value of values) {
      const role = roleOf(value.name, names);
      if (role === null) {
        // An output that nobody asks for costs nothing.
        if (kind === 'output') continue;
        throw new Fault(
          'config',
          `${where}: the graph has an input ${value.name} [${value.shape.slice(0, 8).join(', ')}], which a decoder of ` +
            'text with a KV cache does not have; it cannot be served',
        );
      }
      roles.set(value.name, role);
      declared.set(role, value);
    }
  }
  const layers = countLayers(declared, where);
  for (const role of [made.ids, made.logits]) {
    if (declared.has(role)) continue;
    const name = role === made.ids ? names.inputIds : names.logits;
    throw new Fault('config', `${where}: the graph has no ${name}; it is no decoder of text`);
  }
  return { model: renamed(model, roles), layers, declared };
}

function inputRole(name: string, names: Names): string | null {
  if (name === names.inputIds) return made.ids;
  if (name === names.attentionMask) return made.mask;
  if (name === names.positionIds) return made.positions;
  if (name === 'num_logits_to_keep') return made.keep;
  return cacheRole(name, 'past', names.pastKey, names.pastValue);
}

function outputRole(name: string, names: Names): string | null {
  if (name === names.logits) return made.logits;
  return cacheRole(name, 'present', names.presentKey, names.presentValue);
}

function cacheRole(name: string, role: string, key: string, value: string): string | null {
  for (const [pattern, part] of [
    [key, 'key'],
    [value, 'value'],
  ] as const) {
    const [before = '', after = ''] = pattern.split('%d');
    const layer = name.slice(before.length, name.length - after.length);
    if (!/^\d{1,4}$/.test(layer) || name !== `${before}${layer}${after}`) continue;
    return `${role}.${Number(layer)}.${part}`;
  }
  return null;
}

function countLayers(declared: ReadonlyMap<string, Value>, where: string): number {
  const caches = [...declared.keys()].filter((role) => /^(past|present)\./.test(role));
  const layers = caches.length / 4;
  for (let layer = 0; layer < Math.max(1, layers); layer++) {
    for (const part of parts) {
      for (const side of ['past', 'present']) {
        if (declared.has(`${side}.${layer}.${part}`)) continue;
        throw new Fault(
          'config',
          `${where}: the graph has no ${part}s of layer ${layer} in its ${side} KV (it names ${caches.length} parts of ` +
            'one); export it with a KV cache (text-generation-with-past)',
        );
      }
    }
  }
  return layers;
}

/** Whatever has one of our names by chance gets another. */
function renamed(model: OnnxModel, roles: ReadonlyMap<string, string>): OnnxModel {
  const taken = /^(input_ids|seqlens_k|total_sequence_length|last_rows|logits|tdist\/.*)$/;
  const caches = /^(past|present)\.\d+\.(key|value)$/;
  const to = (name: string): string =>
    roles.get(name) ?? (taken.test(name) || caches.test(name) ? `own/${name}` : name);
  const node = (one: Node): Node => ({
    ...one,
    name: one.name.startsWith('tdist/') ? `own/${one.name}` : one.name,
    inputs: one.inputs.map(to),
    outputs: one.outputs.map(to),
  });
  return {
    ...model,
    nodes: model.nodes.map(node),
    tensors: model.tensors.map((tensor) => ({ ...tensor, name: to(tensor.name) })),
  };
}
