// The Runner over ONNX Runtime: one session, the KV pool as both past and present of every layer, so
// that nothing of it is copied. All tensors are made once per (slot) or (batch size) and kept; a call
// fills a few integers and runs.

import type { KvPool } from '../kv/pool.ts';
import { limit } from '../protocol/limit.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { assert } from '../std/fault.ts';
import { mapAnonymousMemory, viewFloats, viewInts } from '../std/memory.ts';
import { decoderNames } from './onnx/decoder.ts';
import { elementType, type Ort, type Provider, type TensorList } from './ort.ts';

export type SessionOptions = {
  readonly modelPath: string;
  readonly pool: KvPool | KvPlaces;
  readonly vocabSize: number;
  readonly threads: number;
  /** What computes; the CPU unless said. */
  readonly provider?: Provider;
  /** Tokens of one call at most, padding included. */
  readonly stepTokens: number;
};

/** KV that only its owner can name: past and present tensors of a run of slots, layer by layer. */
export type KvPlaces = {
  readonly slots: number;
  readonly geometry: Geometry;
  readonly caches: (slot: number, count: number) => BigUint64Array;
};

export class OrtSession {
  readonly vocabSize: number;
  readonly #ort: Ort;
  readonly #caches: (slot: number, count: number) => BigUint64Array;
  readonly #session: number;
  readonly #inputs: TensorList;
  readonly #outputs: TensorList;
  readonly #ids: { address: number; view: Int32Array };
  readonly #lengths: { address: number; view: Int32Array };
  readonly #lastRows: { address: number; view: Int32Array };
  readonly #total: { view: Int32Array; tensor: bigint };
  readonly #logits: { address: number; view: Float32Array };
  /** Tensor handles by shape, so that none is made twice. */
  readonly #tensors = new Map<string, bigint>();

  constructor(ort: Ort, options: SessionOptions) {
    const { pool, vocabSize, stepTokens } = options;
    this.vocabSize = vocabSize;
    this.#ort = ort;
    this.#caches = 'caches' in pool ? pool.caches : hostCaches(ort, pool);
    this.#session = ort.createSession(options.modelPath, options);
    const names = decoderNames(pool.geometry.layers);
    this.#inputs = ort.tensorList(names.inputs);
    this.#outputs = ort.tensorList(names.outputs);
    this.#ids = int32Buffer(Math.max(stepTokens, pool.slots));
    this.#lengths = int32Buffer(pool.slots);
    const rowsMax = Math.max(pool.slots, limit.scoreTokens);
    this.#lastRows = int32Buffer(rowsMax);
    const total = int32Buffer(1);
    const tensor = ort.createTensor(total.address, 4, [], elementType.int32);
    this.#total = { view: total.view, tensor: BigInt(tensor) };
    const logitsBytes = rowsMax * vocabSize * 4;
    const { address } = mapAnonymousMemory(logitsBytes);
    this.#logits = { address, view: viewFloats(address, rowsMax * vocabSize) };
  }

  prefill(step: {
    slot: number;
    past: number;
    ids: readonly number[];
    everyRow?: boolean;
  }): Float32Array {
    const { slot, past, ids, everyRow = false } = step;
    this.#ids.view.set(ids);
    this.#lengths.view[0] = past + ids.length - 1;
    this.#total.view[0] = past + ids.length;
    if (!everyRow) {
      this.#lastRows.view[0] = ids.length - 1;
      return this.#run(slot, 1, ids.length);
    }
    assert(ids.length <= limit.scoreTokens, `${ids.length} rows of logits`);
    for (let row = 0; row < ids.length; row++) this.#lastRows.view[row] = row;
    return this.#run(slot, 1, ids.length, ids.length);
  }

  prefillTogether(step: { slot: number; prompts: readonly (readonly number[])[] }): Float32Array {
    const { slot, prompts } = step;
    const longest = Math.max(...prompts.map((ids) => ids.length));
    // Padded on the right: the rows behind a short prompt are written over by what comes next.
    this.#ids.view.fill(0, 0, prompts.length * longest);
    for (const [i, ids] of prompts.entries()) {
      this.#ids.view.set(ids, i * longest);
      this.#lengths.view[i] = ids.length - 1;
      this.#lastRows.view[i] = i * longest + ids.length - 1;
    }
    this.#total.view[0] = longest;
    return this.#run(slot, prompts.length, longest);
  }

  decode(step: { count: number; ids: Int32Array; pasts: Int32Array }): Float32Array {
    const { count, ids, pasts } = step;
    let longest = 0;
    for (let i = 0; i < count; i++) {
      const past = pasts[i] ?? 0;
      this.#ids.view[i] = ids[i] ?? 0;
      this.#lengths.view[i] = past;
      this.#lastRows.view[i] = i;
      if (past > longest) longest = past;
    }
    this.#total.view[0] = longest + 1;
    return this.#run(0, count, 1);
  }

  close(): void {
    this.#ort.releaseSession(this.#session);
  }

  /** Slots [slot, slot + batch), `length` tokens each; logits of the first `rows` of `lastRows`. */
  #run(slot: number, batch: number, length: number, rows = batch): Float32Array {
    const { address: ids } = this.#ids;
    const cache = this.#caches(slot, batch);
    const inputs = this.#inputs.handles;
    inputs[0] = this.#int32('ids', ids, [batch, length]);
    inputs[1] = this.#int32('lengths', this.#lengths.address, [batch]);
    inputs[2] = this.#total.tensor;
    inputs[3] = this.#int32('rows', this.#lastRows.address, [rows]);
    inputs.set(cache, 4);
    const outputs = this.#outputs.handles;
    outputs[0] = this.#tensor(
      'logits',
      this.#logits.address,
      [rows, this.vocabSize],
      elementType.float32,
    );
    outputs.set(cache, 1);
    this.#ort.run(this.#session, this.#inputs, this.#outputs);
    return this.#logits.view;
  }

  #int32(name: string, address: number, shape: readonly number[]): bigint {
    return this.#tensor(name, address, shape, elementType.int32);
  }

  #tensor(
    name: string,
    address: number,
    shape: readonly number[],
    type: (typeof elementType)[keyof typeof elementType],
  ): bigint {
    const key = `${name}:${shape.join()}`;
    const known = this.#tensors.get(key);
    if (known !== undefined) return known;
    const bytes = shape.reduce((a, b) => a * b, 1) * 4;
    const handle = BigInt(this.#ort.createTensor(address, bytes, shape, type));
    this.#tensors.set(key, handle);
    return handle;
  }
}

/** Tensors over the pool's own memory, made once for each run of slots. */
function hostCaches(ort: Ort, pool: KvPool): (slot: number, count: number) => BigUint64Array {
  const known = new Map<string, BigUint64Array>();
  const { layers, kvHeads, headDim } = pool.geometry;
  return (slot, count) => {
    const key = `${slot}:${count}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    const shape = [count, kvHeads, pool.capacity, headDim];
    const handles = new BigUint64Array(layers * 2);
    for (let plane = 0; plane < layers * 2; plane++) {
      const address = pool.slotAddress(plane >> 1, plane & 1 ? 1 : 0, slot);
      const bytes = count * pool.slotBytes;
      handles[plane] = BigInt(ort.createTensor(address, bytes, shape, elementType.float32));
    }
    known.set(key, handles);
    return handles;
  };
}

function int32Buffer(count: number): { address: number; view: Int32Array } {
  const { address } = mapAnonymousMemory(count * 4);
  return { address, view: viewInts(address, count) };
}
