// bfloat16: the upper half of a float32, rounded to nearest even. Keeps float32's range.
//
//   error ≤ max(|x| · 2⁻⁸, 2⁻¹³⁴) for |x| ≤ 3.3895e38 (0x7f7f); beyond: ± that
//
// Adding to the bits rounds up into the exponent where it must: one addition, no cases.

import { kvPayloadBytes } from '../../protocol/kv-size.ts';
import { bitsOf, type Codec, largestBits, tamed } from './codec.ts';

const most = 2 ** 127 * (2 - 2 ** -7);
/** From here on rounding leads to infinity. */
const overflowBits = 0x7f7f_8000;

export const bfloat16: Codec = {
  dtype: 'bfloat16',
  code: 3,
  payloadBytes: (geometry, count) => kvPayloadBytes('bfloat16', geometry, count),
  encode(source, target) {
    const isTame = largestBits(bitsOf(source), 0, source.length) < overflowBits;
    narrow(bitsOf(isTame ? source : tamed(source, most)), pairsOf(target));
  },
  decode(source, target) {
    widen(pairsOf(source), bitsOf(target));
  },
};

/** Two values to a word; their number is even, since there are K and V. */
function pairsOf(payload: Uint8Array): Int32Array {
  return new Int32Array(payload.buffer, payload.byteOffset, payload.byteLength / 4);
}

function narrow(bits: Int32Array, pairs: Int32Array): void {
  for (let i = 0; i < pairs.length; i++) {
    const low = bits[i * 2] as number;
    const high = bits[i * 2 + 1] as number;
    const roundedLow = (low + 0x7fff + ((low >>> 16) & 1)) | 0;
    const roundedHigh = (high + 0x7fff + ((high >>> 16) & 1)) | 0;
    pairs[i] = (roundedLow >>> 16) | (roundedHigh & 0xffff_0000);
  }
}

function widen(pairs: Int32Array, bits: Int32Array): void {
  for (let i = 0; i < pairs.length; i++) {
    const pair = pairs[i] as number;
    bits[i * 2] = pair << 16;
    bits[i * 2 + 1] = pair & 0xffff_0000;
  }
}
