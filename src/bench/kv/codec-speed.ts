// How fast one codec turns packed float32 rows into a block's payload and back, on one core, without
// copies, hashes and headers around it. MiB are the float32's, so that dtypes compare.

import { codecs } from '../../kv/codec/table.ts';
import { type KvDtype, kvGroupCount } from '../../protocol/kv-size.ts';
import type { Geometry } from '../../protocol/ticket.ts';
import { drawAt } from '../../std/prng.ts';
import { type Summary, summarize } from '../statistics.ts';

const rounds = 60;
/** Until the compiler has done what it will do. */
const warmRounds = 20;
/** Float32 of one measurement: more than a level-2 cache, so that it is memory that is read. */
const bytesLeast = 8 * 2 ** 20;

export type CodecSpeed = { readonly encodeMibPerS: Summary; readonly decodeMibPerS: Summary };

export function measureCodec(geometry: Geometry, dtype: KvDtype): CodecSpeed {
  const codec = codecs[dtype];
  const groups = kvGroupCount(geometry);
  const values = groups * geometry.blockTokens * geometry.headDim;
  const blocks = Math.ceil(bytesLeast / 4 / values);
  const source = Float32Array.from({ length: values }, (_, i) => (drawAt(1, i) - 0.5) * 8);
  const sources = Array.from({ length: blocks }, () => source.slice());
  const payloads = sources.map(
    () => new Uint8Array(codec.payloadBytes(geometry, geometry.blockTokens)),
  );
  const target = new Float32Array(values);
  const [encode, decode]: [number[], number[]] = [[], []];
  const mib = (blocks * values * 4) / 2 ** 20;
  for (let round = 0; round < warmRounds + rounds; round++) {
    const beganMs = performance.now();
    for (const [i, payload] of payloads.entries())
      codec.encode(sources[i] ?? source, payload, groups);
    const encodedMs = performance.now();
    for (const payload of payloads) codec.decode(payload, target, groups);
    const decodedMs = performance.now();
    if (round < warmRounds) continue;
    encode.push((1000 * mib) / (encodedMs - beganMs));
    decode.push((1000 * mib) / (decodedMs - encodedMs));
  }
  return { encodeMibPerS: summarize(encode), decodeMibPerS: summarize(decode) };
}
