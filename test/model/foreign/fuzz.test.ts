// Damaged and malicious ONNX files: a refusal that names the file, in bounded time and memory.

import { afterAll, describe, expect, setDefaultTimeout, spyOn, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { usualNames } from '../../../src/model/foreign/naming.ts';
import { Net } from '../../../src/model/foreign/net.ts';
import { parseOnnx } from '../../../src/model/foreign/parse.ts';
import { rewrite } from '../../../src/model/foreign/rewrite.ts';
import { numberOf } from '../../../src/model/foreign/scalar.ts';
import { serialize } from '../../../src/model/foreign/serialize.ts';
import { Message } from '../../../src/model/onnx/proto.ts';
import { Fault } from '../../../src/std/fault.ts';
import { seededChance } from '../../../src/std/prng.ts';
import { tinyTensors } from '../tiny-llama.ts';
import { writeExport } from './export.ts';
import type { Kind } from './export-ops.ts';

// Thousands of graphs: a second of a core, more where the machine is busy.
setDefaultTimeout(60_000);

const where = 'model.onnx';
const dimensions = {
  ...{ layers: 3, heads: 4, kvHeads: 2, headDim: 16 },
  ...{ vocabSize: 320, positions: 512 },
};
const kinds: readonly Kind[] = [
  { attention: 'fused', positions: false, keep: false },
  { attention: 'apart', positions: true, keep: true },
  { attention: 'eager', positions: true, keep: false },
  { attention: 'sdpa', positions: true, keep: true },
];
const folder = mkdtempSync(join(tmpdir(), 'tdist-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** As opening a folder does, up to the files. */
function scan(bytes: Uint8Array): void {
  const { model } = rewrite(parseOnnx(bytes, where), {
    where,
    names: usualNames,
    dimensions,
    architecture: () => ({ windows: [null], attentionSoftcap: null, attentionScale: 0.25 }),
    instead: 'use another',
  });
  serialize(model, dimensions, where);
}

/** What is said, or 'fine'. Anything but a Fault that names the file fails the test. */
function outcome(bytes: Uint8Array): string {
  try {
    scan(bytes);
    return 'fine';
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    expect(thrown.code).toBe('config');
    expect(thrown.message).toContain(where);
    expect(thrown.message.length).toBeLessThan(2000);
    return thrown.message;
  }
}

const samples = kinds.map((kind, index) => {
  const path = join(folder, `${index}.onnx`);
  writeExport(path, kind, tinyTensors(1));
  return new Uint8Array(readFileSync(path));
});

describe('damaged files', () => {
  test('whole they are fine', () => {
    expect(samples.map(outcome)).toEqual(samples.map(() => 'fine'));
  });

  test('cut short anywhere', () => {
    for (const bytes of samples) {
      for (let end = 0; end < bytes.length; end += 61) {
        expect(outcome(bytes.subarray(0, end))).not.toBe('fine');
      }
    }
  });

  test('with bytes changed', () => {
    const chance = seededChance(3);
    const said = new Set<string>();
    for (let round = 0; round < 800; round++) {
      const bytes = (samples[round % samples.length] ?? new Uint8Array()).slice();
      for (let change = 0; change <= round % 6; change++) {
        bytes[chance.u32() % bytes.length] = chance.u32();
      }
      said.add(outcome(bytes).slice(0, 40));
    }
    expect(said.size).toBeGreaterThan(3);
  });

  test('with pieces moved, doubled and left out', () => {
    const chance = seededChance(4);
    for (let round = 0; round < 600; round++) {
      const bytes = samples[round % samples.length] ?? new Uint8Array();
      const [a, b] = [chance.u32() % bytes.length, chance.u32() % bytes.length];
      const [begin, end] = [Math.min(a, b), Math.max(a, b)];
      const parts = [bytes.subarray(0, begin), bytes.subarray(begin, end), bytes.subarray(end)];
      const order = ([
        [0, 2],
        [0, 1, 1, 2],
        [0, 2, 1],
        [1, 2],
      ][round % 4] ?? []) as number[];
      outcome(new Uint8Array(Buffer.concat(order.map((i) => parts[i] ?? new Uint8Array()))));
    }
  });

  test('that are no ONNX at all', () => {
    const chance = seededChance(5);
    expect(outcome(new Uint8Array())).toBe('model.onnx has no graph; download it again');
    for (let round = 0; round < 300; round++) {
      outcome(Uint8Array.from({ length: round }, () => chance.u32()));
    }
    outcome(new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:0'));
  });
});

describe('malicious files', () => {
  const graphOf = (fill: (graph: Message) => void): Uint8Array => {
    const graph = new Message();
    fill(graph);
    return new Message().varint(1, 8).message(7, graph).finish();
  };
  const cases: readonly [string, () => Uint8Array, RegExp][] = [
    [
      'millions of empty nodes',
      () => {
        const nodes = new Uint8Array(20_000_000);
        for (let i = 0; i < nodes.length; i += 2) nodes[i] = 0x0a; // field 1, 0 bytes
        return new Message().bytes(7, nodes).finish();
      },
      /has more than 250000 nodes and tensors/,
    ],
    [
      'a shape of millions of dimensions',
      () => {
        const tensor = new Message().bytes(1, new Uint8Array(10_000_000).fill(1));
        return graphOf((graph) => graph.message(5, tensor));
      },
      /has more than 1000000 fields/,
    ],
    [
      'a name of megabytes',
      () => graphOf((graph) => graph.message(1, new Message().bytes(4, new Uint8Array(5_000_000)))),
      /has a name of 5000000 bytes/,
    ],
    [
      'a length beyond the end',
      () => Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
      /promises \d+ bytes in field 7 where 0 are left/,
    ],
    [
      'a graph within a node',
      () => {
        const attribute = new Message().text(1, 'then_branch').message(6, new Message());
        const node = new Message().text(3, 'branch').text(4, 'If').message(5, attribute);
        return graphOf((graph) => graph.message(1, node));
      },
      /If node branch holds a graph of its own/,
    ],
  ];
  for (const [name, make, message] of cases) {
    test(name, () => {
      const bytes = make();
      const before = process.memoryUsage().rss;
      expect(outcome(bytes)).toMatch(message);
      expect(process.memoryUsage().rss - before).toBeLessThan(400 * 2 ** 20);
    });
  }

  test('constants that are made of one another again and again', () => {
    // Each doubles the ways to the one before it.
    const bytes = graphOf((graph) => {
      const op = (type: string, inputs: string[], output: string): void => {
        const node = new Message();
        for (const input of inputs) node.text(1, input);
        graph.message(1, node.text(2, output).text(3, output).text(4, type));
      };
      for (let i = 0; i < 60; i++) op('Mul', [`c${i}`, `c${i}`], `c${i + 1}`);
    });
    const net = new Net(parseOnnx(bytes, where));
    const looks = spyOn(net, 'producerOf');
    expect(numberOf(net, 'c60', 16)).toBeNull();
    expect(looks.mock.calls.length).toBeLessThan(200);
  });
});
