// What is left of each kind of export: nothing that only its own inputs were for.

import { afterAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { usualNames } from '../../../src/model/foreign/naming.ts';
import { type Node, type OnnxModel, parseOnnx } from '../../../src/model/foreign/parse.ts';
import { rewrite } from '../../../src/model/foreign/rewrite.ts';
import { serialize } from '../../../src/model/foreign/serialize.ts';
import { decoderNames } from '../../../src/model/onnx/decoder.ts';
import { tinyTensors } from '../tiny-llama.ts';
import { writeExport } from './export.ts';
import type { Kind } from './export-ops.ts';

const folder = mkdtempSync(join(tmpdir(), 'tdist-rewrite-'));
afterAll(() => rmSync(folder, { recursive: true }));

const dimensions = {
  ...{ layers: 3, heads: 4, kvHeads: 2, headDim: 16 },
  ...{ vocabSize: 320, positions: 1000 },
};

function rewritten(kind: Kind): ReturnType<typeof rewrite> {
  const path = join(folder, 'model.onnx');
  writeExport(path, kind, tinyTensors(1));
  return rewrite(parseOnnx(new Uint8Array(readFileSync(path)), path), {
    where: path,
    names: usualNames,
    dimensions,
    architecture: () => ({ windows: [null], attentionSoftcap: null, attentionScale: 0.25 }),
    instead: '',
  });
}

const typesOf = ({ nodes }: OnnxModel): Set<string> => new Set(nodes.map(({ type }) => type));
const reads = ({ nodes }: OnnxModel, name: string): Node[] =>
  nodes.filter(({ inputs }) => inputs.includes(name));

const kinds: readonly Kind[] = [
  { attention: 'fused', positions: false, keep: false },
  { attention: 'apart', positions: true, keep: true },
  { attention: 'eager', positions: true, keep: false },
  { attention: 'sdpa', positions: true, keep: true },
  { attention: 'fused', positions: false, keep: false, quantized: 'int4' },
  { attention: 'sdpa', positions: true, keep: true, quantized: 'int8' },
];

describe.each(kinds.map((kind) => [Object.values(kind).join(' '), kind] as const))(
  '%s',
  (_, kind) => {
    const { model, attention, positions } = rewritten(kind);

    test('attention is GroupQueryAttention over our KV and lengths, once a layer', () => {
      const nodes = model.nodes.filter(({ type }) => type === 'GroupQueryAttention');
      expect(nodes.length).toBe(3);
      for (const node of nodes) {
        expect(node.inputs.slice(3, 7)).toEqual([
          expect.stringMatching(/^past\.[012]\.key$/),
          expect.stringMatching(/^past\.[012]\.value$/),
          'seqlens_k',
          'total_sequence_length',
        ]);
      }
      const isFused = kind.attention === 'fused' || kind.attention === 'apart';
      expect(attention).toBe(isFused ? 'GroupQueryAttention' : 'Concat');
      for (const type of ['Softmax', 'IsNaN', 'Expand', 'Where']) {
        expect(typesOf(model)).not.toContain(type);
      }
    });

    test('masks are fed to nobody, positions to those that ask for them', () => {
      expect(reads(model, 'tdist/mask')).toEqual([]);
      expect(reads(model, 'tdist/positions').length > 0).toBe(kind.positions);
    });

    test('rows are chosen before the head', () => {
      const [choice] = reads(model, 'last_rows');
      expect(choice?.type).toBe('Gather');
      const readers = reads(model, choice?.outputs[0] ?? '').map(({ type }) => type);
      const head = { int4: 'MatMulNBits', int8: 'DynamicQuantizeLinear' } as const;
      expect(readers).toEqual([kind.quantized === undefined ? 'MatMul' : head[kind.quantized]]);
    });

    test('a table of rotations ends the sequence', () => {
      const hasTable = kind.attention === 'fused' || kind.attention === 'apart';
      expect(positions).toBe(hasTable ? 512 : 1000);
    });

    test('every node comes behind what it reads, and the file can be read again', () => {
      const inputs = decoderNames(3).inputs;
      const known = new Set(['', ...inputs, ...model.tensors.map(({ name }) => name)]);
      for (const node of model.nodes) {
        expect(node.inputs.filter((name) => !known.has(name))).toEqual([]);
        for (const output of node.outputs) known.add(output);
      }
      const file = serialize(model, dimensions, 'model.onnx');
      expect(file.locations).toEqual(['model.onnx_data']);
      const again = parseOnnx(file.model, 'model.onnx');
      expect(again.inputs.map(({ name }) => name)).toEqual(inputs);
      expect(again.nodes).toEqual(model.nodes.map((node) => ({ ...node })));
    });
  },
);
