// The KV cache of one worker: one mapping, cut so that ONNX Runtime can use any run of slots as one
// tensor and write new rows in place.
//
//   [layer][K|V][slot][kvHead][capacity][headDim]   float32
//               └── a run of slots is one tensor [n, kvHeads, capacity, headDim]
//
// Pages are taken from the system when a row is first written: unused capacity costs nothing.

import type { Geometry } from '../protocol/ticket.ts';
import { assert } from '../std/fault.ts';
import {
  copyMemory,
  discard,
  type Mapping,
  mapAnonymousMemory,
  unmap,
  viewFloats,
} from '../std/memory.ts';
import { rowBytes, tokenBytes } from './geometry.ts';

/** Room for one block's packed rows, on their way from or to another dtype. */
export type Staging = { readonly address: number; readonly floats: Float32Array };

/** What others do with a worker's slots, wherever they lie (on a device: model/device/pool.ts). */
export type KvSlots = Pick<
  KvPool,
  | 'geometry'
  | 'slots'
  | 'capacity'
  | 'copyRows'
  | 'moveSlot'
  | 'touch'
  | 'forget'
  | 'residentTokens'
  | 'staging'
  | 'close'
>;

export class KvPool {
  readonly geometry: Geometry;
  readonly slots: number;
  /** Positions a slot can hold. */
  readonly capacity: number;
  /** Bytes of one slot in one layer's K (or V). */
  readonly slotBytes: number;
  readonly #headBytes: number;
  readonly #mapping: Mapping;
  /** Positions of each slot that may have pages behind them. */
  readonly #touched: number[];
  #staging: (Staging & { readonly mapping: Mapping }) | null = null;

  constructor(geometry: Geometry, options: { slots: number; capacity: number }) {
    this.geometry = geometry;
    this.slots = options.slots;
    this.capacity = options.capacity;
    this.#headBytes = this.capacity * rowBytes(geometry);
    this.slotBytes = geometry.kvHeads * this.#headBytes;
    this.#touched = new Array<number>(this.slots).fill(0);
    this.#mapping = mapAnonymousMemory(geometry.layers * 2 * this.slots * this.slotBytes);
  }

  /** Address of a slot's tensor in one layer; `part` 0 = K, 1 = V. */
  slotAddress(layer: number, part: 0 | 1, slot: number): number {
    assert(slot >= 0 && slot < this.slots, `slot ${slot} of ${this.slots}`);
    return this.#mapping.address + ((layer * 2 + part) * this.slots + slot) * this.slotBytes;
  }

  /**
   * Copies `count` positions from `first` on between a slot and a packed buffer
   * [layer][K|V][kvHead][count][headDim] at `address`.
   */
  copyRows(
    direction: 'out' | 'in',
    rows: { slot: number; first: number; count: number },
    address: number,
  ): void {
    const { slot, first, count } = rows;
    assert(first >= 0 && first + count <= this.capacity, `rows ${first}+${count}`);
    const { layers, kvHeads } = this.geometry;
    const row = rowBytes(this.geometry);
    const bytes = count * row;
    let packed = address;
    for (let plane = 0; plane < layers * 2; plane++) {
      const base = this.slotAddress(plane >> 1, plane & 1 ? 1 : 0, slot) + first * row;
      for (let head = 0; head < kvHeads; head++) {
        const own = base + head * this.#headBytes;
        if (direction === 'out') copyMemory(packed, own, bytes);
        else copyMemory(own, packed, bytes);
        packed += bytes;
      }
    }
  }

  /** Copies the first `tokens` positions of a slot to another slot. */
  moveSlot(from: number, to: number, tokens: number): void {
    const { layers, kvHeads } = this.geometry;
    const bytes = tokens * rowBytes(this.geometry);
    for (let plane = 0; plane < layers * 2; plane++) {
      const source = this.slotAddress(plane >> 1, plane & 1 ? 1 : 0, from);
      const target = this.slotAddress(plane >> 1, plane & 1 ? 1 : 0, to);
      for (let head = 0; head < kvHeads; head++) {
        copyMemory(target + head * this.#headBytes, source + head * this.#headBytes, bytes);
      }
    }
  }

  /** The slot's first `tokens` positions are about to be written. */
  touch(slot: number, tokens: number): void {
    if (tokens > (this.#touched[slot] ?? 0)) this.#touched[slot] = tokens;
  }

  /** Gives the slot's pages from position `keep` on back to the system; what they held is gone. */
  forget(slot: number, keep: number): void {
    const count = (this.#touched[slot] ?? 0) - keep;
    if (count <= 0) return;
    this.#touched[slot] = keep;
    const { layers, kvHeads } = this.geometry;
    const bytes = count * rowBytes(this.geometry);
    for (let plane = 0; plane < layers * 2; plane++) {
      const first = keep * rowBytes(this.geometry);
      const base = this.slotAddress(plane >> 1, plane & 1 ? 1 : 0, slot) + first;
      for (let head = 0; head < kvHeads; head++) discard(base + head * this.#headBytes, bytes);
    }
  }

  /** Positions with pages behind them, over all slots. */
  residentTokens(): number {
    return this.#touched.reduce((a, b) => a + b, 0);
  }

  /** One for all, overwritten by whoever comes next; pages are taken when it is first used. */
  get staging(): Staging {
    if (this.#staging === null) {
      const mapping = mapAnonymousMemory(this.geometry.blockTokens * tokenBytes(this.geometry));
      const { address, bytes } = mapping;
      this.#staging = { mapping, address, floats: viewFloats(address, bytes / 4) };
    }
    return this.#staging;
  }

  close(): void {
    if (this.#staging !== null) unmap(this.#staging.mapping);
    this.#staging = null;
    unmap(this.#mapping);
  }
}
