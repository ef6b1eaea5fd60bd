// What int8 and fp8 share: one byte a value, and a scale for each layer, K or V, and head of a block.
//
//   f32 scale [groups]
//   u8  value [groups][values]

import { type KvDtype, kvPayloadBytes } from '../../protocol/kv-size.ts';
import { bitsOf, type Codec, largestBits, tamed } from './codec.ts';

/** Beyond it a value times its scale may leave float32. */
const most = 2 ** 127;
const mostBits = 0x7f00_0000;

export type Span = { readonly begin: number; readonly end: number };

export type Scaling = {
  readonly dtype: KvDtype;
  readonly code: number;
  /** A normal float32 > 0. @param largest magnitude in the group, 0 … 2^127 */
  scaleOf(largest: number): number;
  /** @param source the same numbers twice, none larger than what `scale` was made for */
  encodeGroup(
    source: { readonly floats: Float32Array; readonly bits: Int32Array },
    group: Span,
    scale: number,
    bytes: Uint8Array,
  ): void;
  decodeGroup(bytes: Uint8Array, group: Span, scale: number, target: Float32Array): void;
};

export function scaledCodec(scaling: Scaling): Codec {
  return {
    dtype: scaling.dtype,
    code: scaling.code,
    payloadBytes: (geometry, count) => kvPayloadBytes(scaling.dtype, geometry, count),
    encode(source, target, groups) {
      const { scales, bytes } = partsOf(target, groups);
      const length = source.length / groups;
      let floats = source;
      let bits = bitsOf(source);
      for (let g = 0; g < groups; g++) {
        const group = { begin: g * length, end: (g + 1) * length };
        let largest = largestBits(bits, group.begin, group.end);
        if (largest > mostBits) {
          floats = tamed(floats, most);
          bits = bitsOf(floats);
          largest = largestBits(bits, group.begin, group.end);
        }
        scales[g] = scaling.scaleOf(floatOf(largest));
        scaling.encodeGroup({ floats, bits }, group, scales[g] as number, bytes);
      }
    },
    decode(source, target, groups) {
      const { scales, bytes } = partsOf(source, groups);
      const length = target.length / groups;
      for (let g = 0; g < groups; g++) {
        const group = { begin: g * length, end: (g + 1) * length };
        scaling.decodeGroup(bytes, group, scales[g] as number, target);
      }
    },
  };
}

function partsOf(payload: Uint8Array, groups: number) {
  const { buffer, byteOffset } = payload;
  return {
    scales: new Float32Array(buffer, byteOffset, groups),
    bytes: payload.subarray(groups * Float32Array.BYTES_PER_ELEMENT),
  };
}

const one = new Int32Array(1);
const oneFloat = new Float32Array(one.buffer);
function floatOf(bits: number): number {
  one[0] = bits;
  return oneFloat[0] as number;
}
