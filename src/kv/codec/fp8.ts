// fp8 E4M3 (OFP8's "FN" kind: no infinities, largest 448) times a power of two for each group, so
// that scaling is exact and rounding, to nearest even, happens once.
//
//   s eeee mmm   value = (−1)^s · 2^(e−7) · 1.mmm,  e = 0: (−1)^s · 2⁻⁶ · 0.mmm
//
//   error ≤ max(|x| · 2⁻⁴, m · 2⁻¹⁷, 2⁻¹³⁰), m the group's largest magnitude ≤ 2¹²⁷; larger values
//   are taken for ±2¹²⁷

import { scaledCodec } from './scaled.ts';

const largestCode = 448;
/** Such that numbers below 2⁻⁶ · scale, the least that has a leading 1, are the only ones without. */
const leastScale = 2 ** -120;

export const fp8 = scaledCodec({
  dtype: 'fp8',
  code: 5,
  scaleOf(largest) {
    if (largest <= leastScale * largestCode) return leastScale;
    // The least in which it fits: log2 is exact at powers of two, and no float32 lies nearer to one
    // than the logarithm's rounding can bridge.
    return 2 ** Math.ceil(Math.log2(largest / largestCode));
  },
  encodeGroup({ floats, bits }, { begin, end }, scale, bytes) {
    narrow(floats, bits, begin, end, scale, bytes);
  },
  decodeGroup: widen,
});

/** 2^52 · 1.5: adding and taking away rounds a small double to an integer, halves to even. */
const roundEven = 2 ** 52 * 1.5;

function narrow(
  floats: Float32Array,
  bits: Int32Array,
  begin: number,
  end: number,
  scale: number,
  bytes: Uint8Array,
): void {
  const least = new Int32Array(Float32Array.of(scale * 2 ** -6).buffer)[0] as number;
  /** Takes the scale's exponent away and float32's bias, gives E4M3's, and half a unit less a bit. */
  const shift = 0x7_ffff - (least - (1 << 23));
  const toSteps = 2 ** 9 / scale;
  for (let i = begin; i < end; i++) {
    const word = bits[i] as number;
    const magnitude = word & 0x7fff_ffff;
    const sign = (word >>> 24) & 0x80;
    if (magnitude >= least) {
      bytes[i] = sign | ((magnitude + shift + ((magnitude >>> 20) & 1)) >>> 20);
    } else {
      const steps = Math.abs(floats[i] as number) * toSteps;
      bytes[i] = sign | (steps + roundEven - roundEven);
    }
  }
}

/** Every E4M3 number; 0x7f and 0xff, which are NaN there, are never written and read as ±480. */
const values = Float32Array.from({ length: 256 }, (_, code) => {
  const [exponent, fraction] = [(code >>> 3) & 15, code & 7];
  const magnitude = exponent === 0 ? fraction / 512 : 2 ** (exponent - 7) * (1 + fraction / 8);
  return code & 0x80 ? -magnitude : magnitude;
});

function widen(
  bytes: Uint8Array,
  { begin, end }: { readonly begin: number; readonly end: number },
  scale: number,
  target: Float32Array,
): void {
  for (let i = begin; i < end; i++) {
    target[i] = (values[bytes[i] as number] as number) * scale;
  }
}
