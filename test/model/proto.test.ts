import { describe, expect, test } from 'bun:test';
import { Graph } from '../../src/model/onnx/graph.ts';
import { Message } from '../../src/model/onnx/proto.ts';

const varint = (value: number | bigint): number[] => [...new Message().varint(1, value).finish()];

describe('Message', () => {
  test('varints, as the encoding guide has them', () => {
    expect(varint(0)).toEqual([0x08, 0]);
    expect(varint(1)).toEqual([0x08, 1]);
    expect(varint(127)).toEqual([0x08, 0x7f]);
    expect(varint(128)).toEqual([0x08, 0x80, 0x01]);
    expect(varint(150)).toEqual([0x08, 0x96, 0x01]); // the guide's own example
    expect(varint(2 ** 32)).toEqual([0x08, 0x80, 0x80, 0x80, 0x80, 0x10]);
    expect(varint(Number.MAX_SAFE_INTEGER)).toEqual([0x08, ...new Array(7).fill(0xff), 0x0f]);
    expect(varint(2n ** 63n - 1n)).toEqual([0x08, ...new Array(8).fill(0xff), 0x7f]);
  });

  test('negative numbers take ten bytes, two’s complement', () => {
    expect(varint(-1)).toEqual([0x08, ...new Array(9).fill(0xff), 0x01]);
    expect(varint(-2)).toEqual([0x08, 0xfe, ...new Array(8).fill(0xff), 0x01]);
    expect(varint(-(2n ** 63n))).toEqual([0x08, ...new Array(9).fill(0x80), 0x01]);
  });

  test('field numbers beyond 15 take two bytes', () => {
    expect([...new Message().varint(16, 1).finish()]).toEqual([0x80, 0x01, 1]);
    expect([...new Message().varint(20, 7).finish()]).toEqual([0xa0, 0x01, 7]);
  });

  test('texts, bytes, floats and messages within messages', () => {
    expect([...new Message().text(2, 'testing').finish()]).toEqual([
      0x12, 7, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67,
    ]);
    expect([...new Message().text(1, 'é').finish()]).toEqual([0x0a, 2, 0xc3, 0xa9]);
    expect([...new Message().bytes(9, new Uint8Array()).finish()]).toEqual([0x4a, 0]);
    expect([...new Message().float(2, -1.5).finish()]).toEqual([0x15, 0, 0, 0xc0, 0xbf]);
    const inner = new Message().varint(1, 150);
    expect([...new Message().message(3, inner).finish()]).toEqual([0x1a, 3, 0x08, 0x96, 0x01]);
    const long = new Message().bytes(1, new Uint8Array(300)).finish();
    expect([...long.subarray(0, 3), long.byteLength]).toEqual([0x0a, 0xac, 0x02, 303]);
  });
});

test('a small graph, field by field as onnx.proto3 numbers them', () => {
  const graph = new Graph('g', 'w.bin');
  const values = Float32Array.of(7);
  graph.weight({ kind: 'values', values }, { name: 'v', type: 'float32', shape: [1] });
  graph.input('x', 'int32', ['n', 2]);
  const two = { kind: 'values', values: Float32Array.of(1, 2) } as const;
  graph.weight(two, { name: 'w', type: 'float32', shape: [2] });
  graph.constant('c', [-1], []);
  graph.node('Op', ['x', 'w'], ['y'], { domain: 'com.microsoft', attributes: { axis: -1 } });
  const model = new TextDecoder('latin1').decode(graph.finish());
  expect(graph.placed.map(({ offsets }) => offsets)).toEqual([[0], [4096]]);
  expect(graph.dataBytes).toBe(4096 + 8);
  // TensorProto of w: dims 2, float, its name, EXTERNAL, and where it lies.
  const place = '\x6a\x11\x0a\x08location\x12\x05w.bin\x6a\x0e\x0a\x06offset\x12\x044096';
  expect(model).toContain(
    `\x08\x02\x10\x01\x42\x01w\x70\x01${place}\x6a\x0b\x0a\x06length\x12\x018`,
  );
  // The scalar c: no dims, int64, raw −1.
  expect(model).toContain(`\x10\x07\x42\x01c\x4a\x08${'\xff'.repeat(8)}`);
  // x: int32 [n, 2].
  expect(model).toContain(
    '\x0a\x01x\x12\x0f\x0a\x0d\x08\x06\x12\x09\x0a\x03\x12\x01n\x0a\x02\x08\x02',
  );
  // axis = −1 as an INT attribute of ten bytes.
  expect(model).toContain(`\x0a\x04axis\x18${'\xff'.repeat(9)}\x01\xa0\x01\x02`);
});
