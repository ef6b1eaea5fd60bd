// One worker's cached KV as role/engine-thread puts it together: a pool, an arena, and the arenas of
// the others of its kind.

import { Arena } from '../../src/kv/arena.ts';
import { BlockStore } from '../../src/kv/block-store.ts';
import { KvIdentity } from '../../src/kv/identity.ts';
import { PeerArenas } from '../../src/kv/peers.ts';
import { KvPool } from '../../src/kv/pool.ts';
import { type OwnArena, PrefixCache } from '../../src/kv/prefix-cache.ts';
import type { KvDtype } from '../../src/protocol/kv-size.ts';
import { digest } from '../../src/std/hash.ts';
import { realChance } from '../../src/std/prng.ts';
import { arenaBytes, capacity, fillRows, geometry, modelDigest } from './pool-rows.ts';

export class CacheWorld {
  readonly pool = new KvPool(geometry, { slots: 2, capacity });
  readonly own: OwnArena;
  readonly peers: PeerArenas;
  readonly cache: PrefixCache;

  /** @param options.kind workers of one kind share blocks. */
  constructor(options: {
    kind: string;
    blocks?: number;
    modelDigest?: string;
    keeps?: boolean;
    dtype?: KvDtype;
  }) {
    const dtype = options.dtype ?? 'float32';
    const identity = digest(options.kind);
    const sizeBytes = arenaBytes(options.blocks ?? 8, dtype);
    const arena = new Arena({
      id: `test-${realChance.id()}`,
      geometry,
      dtype,
      sizeBytes,
      identity,
    });
    const onEvict = (index: number): void => arena.announce(index, null);
    const keeps = options.keeps ?? true;
    this.own = { arena, store: new BlockStore(arena.blockCount, { keeps, onEvict }) };
    this.peers = new PeerArenas({ identity, ownName: arena.name });
    this.cache = new PrefixCache({
      own: this.own,
      peers: this.peers,
      pool: this.pool,
      kv: new KvIdentity({ modelDigest: options.modelDigest ?? modelDigest, dtype, geometry }),
    });
  }

  /** Computes `ids` in slot 0 (values depend on `salt`) and leaves them behind. */
  keep(ids: readonly number[], options: { computed?: number; salt?: number } = {}): void {
    fillRows(this.pool, 0, ids.length, options.salt ?? 1000);
    this.cache.keep({ ids, slot: 0, computed: options.computed ?? ids.length });
  }

  /** Fills slot 1 with what is known of `ids`. */
  restore(ids: readonly number[]): number {
    fillRows(this.pool, 1, capacity, 77_000);
    return this.cache.restore({ ids, slot: 1, from: 0 });
  }

  close(): void {
    this.peers.close();
    this.own.arena.close();
    this.pool.close();
  }
}
