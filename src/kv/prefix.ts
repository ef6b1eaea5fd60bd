// The name of a block: a hash over the model, the KV dtype and every token up to the block's end. Two
// blocks with one name hold the same bytes' meaning, whoever computed them.

import { digest } from '../std/hash.ts';

/** Chained hashes of the blocks of `ids`, the last one perhaps part-filled. */
export function prefixHashes(
  ids: readonly number[],
  options: { modelDigest: string; dtype: string; blockTokens: number },
): string[] {
  const hashes: string[] = [];
  let chain = digest('tdist-kv-1\n', options.modelDigest, '\n', options.dtype);
  for (let at = 0; at < ids.length; at += options.blockTokens) {
    const tokens = Uint32Array.from(ids.slice(at, at + options.blockTokens));
    chain = digest(chain, new Uint8Array(tokens.buffer));
    hashes.push(chain);
  }
  return hashes;
}
