// 8-bit integers −127 … 127 times a scale, the largest magnitude m of a group / 127. Symmetric: no zero
// point, since K and V of a head lie on both sides of 0.
//
//   error ≤ 0.50001 · max(m / 127, 2⁻¹²⁶), for m ≤ 2¹²⁷; larger values are taken for ±2¹²⁷
//
// Halves are rounded up. The smallest normal number is the least scale: zeros need no case of their own.

import { scaledCodec } from './scaled.ts';

const leastScale = 2 ** -126;
/** A multiple of 256, so the low byte is the number's; positive, so truncation rounds to nearest. */
const lift = 2 ** 23 + 0.5;

export const int8 = scaledCodec({
  dtype: 'int8',
  code: 4,
  scaleOf: (largest) => Math.max(largest / 127, leastScale),
  encodeGroup({ floats }, { begin, end }, scale, bytes) {
    narrow(floats, begin, end, 1 / scale, bytes);
  },
  decodeGroup: widen,
});

function narrow(
  floats: Float32Array,
  begin: number,
  end: number,
  inverse: number,
  bytes: Uint8Array,
): void {
  for (let i = begin; i < end; i++) bytes[i] = ((floats[i] as number) * inverse + lift) | 0;
}

function widen(
  bytes: Uint8Array,
  { begin, end }: { readonly begin: number; readonly end: number },
  scale: number,
  target: Float32Array,
): void {
  for (let i = begin; i < end; i++) target[i] = (((bytes[i] as number) << 24) >> 24) * scale;
}
