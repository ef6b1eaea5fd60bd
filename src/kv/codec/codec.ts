// How float32 KV is written into a block and read again. One body a file; kv/codec/table.ts lists them.
// All are deterministic, and none writes anything but finite numbers: NaN becomes 0, and what lies
// beyond ±`most`, infinities too, becomes ±`most`. (float32 alone keeps every bit.)
//
// Hot loops run over typed arrays by index, all of one class each, which JavaScriptCore compiles to
// plain loops; the casts `as number` there spare a branch for each value: the index is within bounds.

import type { KvDtype } from '../../protocol/kv-size.ts';
import type { Geometry } from '../../protocol/ticket.ts';

export type Codec = {
  readonly dtype: KvDtype;
  /** In block headers (kv/block.ts); never reused for another meaning. */
  readonly code: number;
  /** Bytes of `count` positions. */
  payloadBytes(geometry: Geometry, count: number): number;
  /**
   * Writes packed rows into a payload.
   * @param source [groups][values]: of each layer, K or V, and head the rows of all positions
   * @param target payloadBytes long; begins at a multiple of 4
   */
  encode(source: Float32Array, target: Uint8Array, groups: number): void;
  /** The other way; whatever bytes `source` has, it only gives wrong numbers. */
  decode(source: Uint8Array, target: Float32Array, groups: number): void;
};

/** The numbers' bits, in place. */
export function bitsOf(values: Float32Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length);
}

/** Bits of the largest magnitude in [begin, end); NaN counts as larger than infinity. */
export function largestBits(bits: Int32Array, begin: number, end: number): number {
  let most = 0;
  for (let i = begin; i < end; i++) {
    const magnitude = (bits[i] as number) & 0x7fff_ffff;
    most = magnitude > most ? magnitude : most;
  }
  return most;
}

/** A copy without NaN and within ±`most`: the slow road, for values that no healthy model has. */
export function tamed(values: Float32Array, most: number): Float32Array {
  return values.map((value) => (Number.isNaN(value) ? 0 : Math.max(-most, Math.min(most, value))));
}
