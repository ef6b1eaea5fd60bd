// Runs the graphs of onnx/rows.ts. Rows are given as runs of consecutive ones at equal distances: one
// run for each head.

import type { Geometry } from '../../protocol/ticket.ts';
import { type Mapping, mapAnonymousMemory, unmap, viewBytes, viewInts } from '../../std/memory.ts';
import type { Precision } from '../onnx/graph.ts';
import { copyGraph, type RowGraph, readGraph, writeGraph } from '../onnx/rows.ts';
import { elementType, type Ort, type TensorList } from '../ort.ts';
import type { Device } from './device.ts';

/** Rows base + i·stride + j for each run i and each j below count. */
export type Rows = {
  readonly runs: number;
  readonly stride: number;
  readonly base: number;
  readonly count: number;
};

type Mover = {
  readonly session: number;
  readonly inputs: TensorList;
  readonly outputs: TensorList;
};

export class RowMover {
  readonly #ort: Ort;
  readonly #planes: number;
  readonly #headDim: number;
  readonly #read: Mover;
  readonly #write: Mover;
  readonly #copy: Mover;
  /** Row numbers of one call at most: a slot's heads and positions. */
  readonly #narrow: Mapping;
  readonly #wide: Mapping;

  constructor(
    ort: Ort,
    geometry: Geometry,
    options: { device: Device; capacity: number; precision: Precision },
  ) {
    const { layers, kvHeads, headDim } = geometry;
    this.#ort = ort;
    this.#planes = layers * 2;
    this.#headDim = headDim;
    const open = (graph: RowGraph): Mover => ({
      session: ort.createSession(graph.model, { threads: 1, provider: options.device.provider }),
      inputs: ort.tensorList(graph.inputs),
      outputs: ort.tensorList(graph.outputs),
    });
    this.#read = open(readGraph(this.#planes, headDim, options.precision));
    this.#write = open(writeGraph(this.#planes, headDim, options.precision));
    this.#copy = open(copyGraph(this.#planes, headDim, options.precision));
    const rowsMax = kvHeads * options.capacity;
    this.#narrow = mapAnonymousMemory(rowsMax * 4);
    this.#wide = mapAnonymousMemory(rowsMax * 8);
  }

  /** A session on the device, for whoever asks for its memory. */
  get session(): number {
    return this.#read.session;
  }

  /** Rows of the planes → float32 at `address`, plane by plane. */
  read(planes: BigUint64Array, rows: Rows, address: number): void {
    const count = rows.runs * rows.count;
    const { inputs, outputs } = this.#read;
    const numbers = this.#numbers32(rows);
    const packed = this.#packed(address, [this.#planes * count, this.#headDim]);
    inputs.handles.set(planes);
    inputs.handles[this.#planes] = numbers;
    outputs.handles[0] = packed;
    this.#run(this.#read, [numbers, packed]);
  }

  /** Float32 at `address`, plane by plane → rows of the planes. */
  write(planes: BigUint64Array, rows: Rows, address: number): void {
    const count = rows.runs * rows.count;
    const { inputs, outputs } = this.#write;
    const numbers = this.#numbers64(rows);
    const packed = this.#packed(address, [this.#planes, count, this.#headDim]);
    inputs.handles.set(planes);
    inputs.handles[this.#planes] = numbers;
    inputs.handles[this.#planes + 1] = packed;
    outputs.handles.set(planes);
    this.#run(this.#write, [numbers, packed]);
  }

  copy(from: BigUint64Array, source: Rows, to: BigUint64Array, target: Rows): void {
    const { inputs, outputs } = this.#copy;
    const numbers = [this.#numbers32(source), this.#numbers64(target)] as const;
    inputs.handles.set(from);
    inputs.handles.set(to, this.#planes);
    inputs.handles.set(numbers, this.#planes * 2);
    outputs.handles.set(to);
    this.#run(this.#copy, numbers);
  }

  close(): void {
    for (const { session } of [this.#read, this.#write, this.#copy]) {
      this.#ort.releaseSession(session);
    }
    unmap(this.#narrow);
    unmap(this.#wide);
  }

  /** Tensors made for one run go with it. */
  #run(mover: Mover, made: readonly bigint[]): void {
    try {
      this.#ort.run(mover.session, mover.inputs, mover.outputs);
    } finally {
      for (const tensor of made) this.#ort.releaseTensor(Number(tensor));
    }
  }

  #numbers32(rows: Rows): bigint {
    const count = rows.runs * rows.count;
    const view = viewInts(this.#narrow.address, count);
    eachRow(rows, (row, i) => {
      view[i] = row;
    });
    const { address } = this.#narrow;
    return BigInt(this.#ort.createTensor(address, count * 4, [count], elementType.int32));
  }

  #numbers64(rows: Rows): bigint {
    const count = rows.runs * rows.count;
    // Little-endian and below 2³¹: the upper halves stay zero.
    const view = new Int32Array(viewBytes(this.#wide.address, count * 8).buffer, 0, count * 2);
    eachRow(rows, (row, i) => {
      view[i * 2] = row;
    });
    const { address } = this.#wide;
    return BigInt(this.#ort.createTensor(address, count * 8, [count, 1], elementType.int64));
  }

  #packed(address: number, shape: readonly number[]): bigint {
    const bytes = shape.reduce((a, b) => a * b, 4);
    return BigInt(this.#ort.createTensor(address, bytes, shape, elementType.float32));
  }
}

function eachRow({ runs, stride, base, count }: Rows, put: (row: number, i: number) => void): void {
  let i = 0;
  for (let run = 0; run < runs; run++) {
    const first = base + run * stride;
    for (let j = 0; j < count; j++) put(first + j, i++);
  }
}
