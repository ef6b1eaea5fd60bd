// What KV is of: the model that computed it, how it lies, and how blocks store it. Everything that
// names, writes or checks blocks has one of these.

import type { KvDtype } from '../protocol/kv-size.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { digest } from '../std/hash.ts';
import { prefixHashes } from './prefix.ts';

export class KvIdentity {
  readonly modelDigest: string;
  readonly dtype: KvDtype;
  readonly geometry: Geometry;

  constructor(options: { modelDigest: string; dtype: KvDtype; geometry: Geometry }) {
    this.modelDigest = options.modelDigest;
    this.dtype = options.dtype;
    this.geometry = options.geometry;
  }

  /** Names of the blocks of `ids`, the last one perhaps part-filled. */
  hashes(ids: readonly number[], salt: string | undefined): string[] {
    const { modelDigest, dtype, geometry } = this;
    return prefixHashes(ids, { modelDigest, dtype, blockTokens: geometry.blockTokens, salt });
  }

  /** The same KV, stored another way. */
  as(dtype: KvDtype): KvIdentity {
    return new KvIdentity({ modelDigest: this.modelDigest, dtype, geometry: this.geometry });
  }

  /** Equal where workers may read each other's cached blocks; 64 hex digits. */
  arenaIdentity(namespace: string): string {
    const { modelDigest, dtype, geometry } = this;
    return digest(namespace, '\n', modelDigest, dtype, JSON.stringify(geometry));
  }
}
