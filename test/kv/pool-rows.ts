// KV whose every value says where it belongs, so that a row copied to or from the wrong place shows.

import { blockStride } from '../../src/kv/arena.ts';
import { KvIdentity } from '../../src/kv/identity.ts';
import type { KvPool } from '../../src/kv/pool.ts';
import type { KvDtype } from '../../src/protocol/kv-size.ts';
import type { Geometry } from '../../src/protocol/ticket.ts';
import { viewFloats } from '../../src/std/memory.ts';

export const geometry: Geometry = { layers: 3, kvHeads: 2, headDim: 16, blockTokens: 64 };
export const modelDigest = 'ab'.repeat(32);
export const capacity = 256;
/** All of it, as blocks of float32 hold it. */
export const kv = new KvIdentity({ modelDigest, dtype: 'float32', geometry });
/** Of arenas whose blocks may be shared. */
export const identity = 'e1'.repeat(32);

/** Size of an arena that has exactly so many blocks. */
export function arenaBytes(blocks: number, dtype: KvDtype = 'float32'): number {
  return 2 * 4096 + blocks * (blockStride(geometry, dtype) + 8);
}

/** The slot's rows [0, tokens) as [layer][K|V][head][position][dim], by the plainest loops. */
export function readRows(pool: KvPool, slot: number, tokens: number): Float32Array {
  const { layers, kvHeads, headDim } = pool.geometry;
  const out: number[] = [];
  for (let layer = 0; layer < layers; layer++) {
    for (const part of [0, 1] as const) {
      const values = slotValues(pool, layer, part, slot);
      for (let head = 0; head < kvHeads; head++) {
        for (let position = 0; position < tokens; position++) {
          const at = (head * pool.capacity + position) * headDim;
          for (let d = 0; d < headDim; d++) out.push(values[at + d] ?? Number.NaN);
        }
      }
    }
  }
  return Float32Array.from(out);
}

/** Writes a different value into every place of a slot's first rows; `salt` tells slots apart. */
export function fillRows(pool: KvPool, slot: number, tokens: number, salt: number): void {
  const { layers, kvHeads, headDim } = pool.geometry;
  for (let layer = 0; layer < layers; layer++) {
    for (const part of [0, 1] as const) {
      const values = slotValues(pool, layer, part, slot);
      for (let head = 0; head < kvHeads; head++) {
        for (let position = 0; position < tokens; position++) {
          const place = ((layer * 2 + part) * kvHeads + head) * 512 + position;
          const at = (head * pool.capacity + position) * headDim;
          for (let d = 0; d < headDim; d++) values[at + d] = salt + place + d / 32;
        }
      }
    }
  }
}

/** [kvHead][capacity][headDim] */
function slotValues(pool: KvPool, layer: number, part: 0 | 1, slot: number): Float32Array {
  return viewFloats(pool.slotAddress(layer, part, slot), pool.slotBytes / 4);
}

/** What a codec may change, as a share of the largest value; kv/codec/ has exact bounds, tested there. */
export const errorShare: Readonly<Record<KvDtype, number>> = {
  float32: 0,
  float16: 2 ** -11,
  bfloat16: 2 ** -8,
  int8: 0.501 / 127,
  fp8: 2 ** -4,
};

export function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

export function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.NaN;
  return largest(a.map((value, i) => value - (b[i] ?? Number.NaN)));
}

export function promptOf(length: number, salt = 0): number[] {
  return Array.from({ length }, (_, i) => (i * 31 + salt * 17 + 5) % 1000);
}
