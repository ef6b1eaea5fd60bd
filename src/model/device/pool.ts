// The KV cache of one worker in a device's memory, which can be named but not addressed: rows move by
// small graphs (onnx/rows.ts) that run where the model runs. What the host's pool does with addresses
// (kv/pool.ts) this does with numbers of rows.
//
//   plane (one layer's K or V): [slot][kvHead][capacity][headDim]; the first n slots are one tensor
//
// A batch is always slots 0 … n−1. A prompt's chunk wants one slot alone, which no name can say: it is
// computed in a slot aside, whose new rows are copied to their place.

import type { KvSlots, Staging } from '../../kv/pool.ts';
import type { Geometry } from '../../protocol/ticket.ts';
import { assert } from '../../std/fault.ts';
import {
  copyMemory,
  type Mapping,
  mapAnonymousMemory,
  unmap,
  viewFloats,
} from '../../std/memory.ts';
import type { Precision } from '../onnx/graph.ts';
import { type DeviceMemory, elementType, type Ort } from '../ort.ts';
import type { Device } from './device.ts';
import { RowMover, type Rows } from './row-mover.ts';

type Plane = { readonly tensor: number; readonly data: number; readonly rows: bigint };

export class DevicePool implements KvSlots {
  readonly geometry: Geometry;
  readonly slots: number;
  readonly capacity: number;
  readonly #ort: Ort;
  readonly #memory: DeviceMemory;
  readonly #mover: RowMover;
  readonly #precision: Precision;
  readonly #planes: readonly Plane[];
  readonly #aside: readonly Plane[];
  readonly #packed: Mapping;
  /** Past and present of slots 0 … n−1, by n. */
  readonly #batches = new Map<number, BigUint64Array>();
  /** Whose rows the slot aside holds, from the first on. */
  #held = { slot: -1, count: 0 };
  #staging: (Staging & { readonly mapping: Mapping }) | null = null;

  constructor(
    ort: Ort,
    geometry: Geometry,
    options: { device: Device; slots: number; capacity: number; precision: Precision },
  ) {
    this.geometry = geometry;
    this.slots = options.slots;
    this.capacity = options.capacity;
    this.#ort = ort;
    this.#precision = options.precision;
    this.#mover = new RowMover(ort, geometry, options);
    this.#memory = ort.deviceMemory(this.#mover.session, options.device.memory);
    this.#planes = this.#makePlanes(options.slots);
    this.#aside = this.#makePlanes(1);
    const { kvHeads, headDim, blockTokens, layers } = geometry;
    this.#packed = mapAnonymousMemory(layers * 2 * kvHeads * blockTokens * headDim * 4);
  }

  /** Past and present tensors of slots 0 … count−1. */
  batch(count: number): BigUint64Array {
    const known = this.#batches.get(count);
    if (known !== undefined) return known;
    const { kvHeads, headDim } = this.geometry;
    const shape = [count, kvHeads, this.capacity, headDim];
    const made = BigUint64Array.from(this.#planes, ({ data }) => BigInt(this.#view(data, shape)));
    this.#batches.set(count, made);
    return made;
  }

  /** Past and present tensors of the slot aside. */
  get aside(): BigUint64Array {
    return BigUint64Array.from(this.#aside, ({ tensor }) => BigInt(tensor));
  }

  /** Brings the slot's first `past` positions aside, where they are not there already. */
  enter(slot: number, past: number): void {
    const held = this.#held;
    if (past > 0 && (held.slot !== slot || held.count !== past)) {
      const rows = { first: 0, count: past };
      this.#mover.copy(
        handles(this.#planes),
        this.#rows(slot, rows),
        handles(this.#aside),
        this.#rows(0, rows),
      );
    }
    this.#held = { slot, count: past };
  }

  /** `count` more positions have been written aside: brings them to their slot. */
  leave(count: number): void {
    const { slot, count: first } = this.#held;
    const rows = { first, count };
    this.#mover.copy(
      handles(this.#aside),
      this.#rows(0, rows),
      handles(this.#planes),
      this.#rows(slot, rows),
    );
    this.#held = { slot, count: first + count };
  }

  /** The batch wrote one row to each of these slots, behind that many. */
  wrote(pasts: Int32Array, count: number): void {
    const { slot, count: held } = this.#held;
    if (slot >= 0 && slot < count && (pasts[slot] ?? 0) < held) this.#forgetAside(slot);
  }

  copyRows(
    direction: 'out' | 'in',
    rows: { slot: number; first: number; count: number },
    address: number,
  ): void {
    const { kvHeads, headDim, layers, blockTokens } = this.geometry;
    assert(rows.count <= blockTokens, `${rows.count} rows of a block of ${blockTokens}`);
    const bytes = layers * 2 * kvHeads * rows.count * headDim * 4;
    const places = this.#rows(rows.slot, rows);
    if (direction === 'out') {
      this.#mover.read(handles(this.#planes), places, this.#packed.address);
      copyMemory(address, this.#packed.address, bytes);
      return;
    }
    this.#forgetAside(rows.slot);
    copyMemory(this.#packed.address, address, bytes);
    this.#mover.write(handles(this.#planes), places, this.#packed.address);
  }

  moveSlot(from: number, to: number, tokens: number): void {
    this.#forgetAside(to);
    const rows = { first: 0, count: tokens };
    const planes = handles(this.#planes);
    if (tokens > 0) this.#mover.copy(planes, this.#rows(from, rows), planes, this.#rows(to, rows));
  }

  touch(): void {
    // All of it is taken from the device at the start: nothing to count, nothing to give back.
  }

  forget(slot: number): void {
    this.#forgetAside(slot);
  }

  residentTokens(): number {
    return 0;
  }

  get staging(): Staging {
    if (this.#staging === null) {
      const mapping = mapAnonymousMemory(this.#packed.bytes);
      const { address, bytes } = mapping;
      this.#staging = { mapping, address, floats: viewFloats(address, bytes / 4) };
    }
    return this.#staging;
  }

  close(): void {
    for (const batch of this.#batches.values()) {
      for (const tensor of batch) this.#ort.releaseTensor(Number(tensor));
    }
    for (const { tensor, rows } of [...this.#planes, ...this.#aside]) {
      this.#ort.releaseTensor(Number(rows));
      this.#ort.releaseTensor(tensor);
    }
    this.#mover.close();
    unmap(this.#packed);
    if (this.#staging !== null) unmap(this.#staging.mapping);
  }

  #makePlanes(slots: number): Plane[] {
    const { layers, kvHeads, headDim } = this.geometry;
    const shape = [slots, kvHeads, this.capacity, headDim];
    return Array.from({ length: layers * 2 }, () => {
      const { tensor, data } = this.#ort.createDeviceTensor(
        this.#memory,
        shape,
        elementType[this.#precision],
      );
      const rows = BigInt(this.#view(data, [slots * kvHeads * this.capacity, headDim]));
      return { tensor, data, rows };
    });
  }

  /** A tensor of another shape over a plane's memory, from its beginning on. */
  #view(data: number, shape: readonly number[]): number {
    const bytes = shape.reduce((a, b) => a * b, this.#precision === 'float32' ? 4 : 2);
    return this.#ort.createTensor(data, bytes, shape, elementType[this.#precision], this.#memory);
  }

  #rows(slot: number, { first, count }: { first: number; count: number }): Rows {
    assert(slot >= 0 && slot < this.slots, `slot ${slot} of ${this.slots}`);
    assert(first >= 0 && first + count <= this.capacity, `rows ${first}+${count}`);
    const { kvHeads } = this.geometry;
    return {
      runs: kvHeads,
      stride: this.capacity,
      base: slot * kvHeads * this.capacity + first,
      count,
    };
  }

  #forgetAside(slot: number): void {
    if (this.#held.slot === slot) this.#held = { slot: -1, count: 0 };
  }
}

function handles(planes: readonly Plane[]): BigUint64Array {
  return BigUint64Array.from(planes, ({ rows }) => rows);
}
