// float32: the slot's own bytes. No error, every bit kept. kv/block-io.ts copies rows straight between
// slot and arena instead of calling this.

import { kvPayloadBytes } from '../../protocol/kv-size.ts';
import type { Codec } from './codec.ts';

export const float32: Codec = {
  dtype: 'float32',
  code: 1,
  payloadBytes: (geometry, count) => kvPayloadBytes('float32', geometry, count),
  encode(source, target) {
    floatsOf(target, source.length).set(source);
  },
  decode(source, target) {
    target.set(floatsOf(source, target.length));
  },
};

function floatsOf(payload: Uint8Array, count: number): Float32Array {
  return new Float32Array(payload.buffer, payload.byteOffset, count);
}
