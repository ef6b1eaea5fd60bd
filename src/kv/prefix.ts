// The name of a block: a hash over the model, the KV dtype and every token up to the block's end. Two
// blocks with one name hold the same bytes' meaning, whoever computed them.

import { digest } from '../std/hash.ts';

/** Chained hashes of the blocks of `ids`, the last one perhaps part-filled. */
export function prefixHashes(
  ids: readonly number[],
  options: {
    readonly modelDigest: string;
    readonly dtype: string;
    readonly blockTokens: number;
    /** Requests with different salts share no block; of those without one all do. */
    readonly salt?: string | undefined;
  },
): string[] {
  const hashes: string[] = [];
  const { salt } = options;
  const salted = salt === undefined ? [] : ['\nsalt ', salt];
  let chain = digest('tdist-kv-1\n', options.modelDigest, '\n', options.dtype, ...salted);
  for (let at = 0; at < ids.length; at += options.blockTokens) {
    const tokens = Uint32Array.from(ids.slice(at, at + options.blockTokens));
    chain = digest(chain, new Uint8Array(tokens.buffer));
    hashes.push(chain);
  }
  return hashes;
}
