// The KV side of two workers in one process, for benchmarks: one exports from its pool through an
// arena, the other imports into its own; and a prefix cache over the same arena.

import { Arena } from '../kv/arena.ts';
import { BlockStore } from '../kv/block-store.ts';
import { KvIdentity } from '../kv/identity.ts';
import { PeerArenas } from '../kv/peers.ts';
import type { KvPool } from '../kv/pool.ts';
import { PrefixCache } from '../kv/prefix-cache.ts';
import { ShmExport } from '../kv/shm-export.ts';
import { ShmImport } from '../kv/shm-import.ts';
import type { KvDtype } from '../protocol/kv-size.ts';
import { realClock } from '../std/clock.ts';
import { digest } from '../std/hash.ts';
import { realChance } from '../std/prng.ts';

export type KvDesk = Disposable & {
  /** The arena's: as a worker's id. */
  readonly id: string;
  readonly kvExport: ShmExport;
  readonly kvImport: ShmImport;
  readonly kvCache: PrefixCache;
};

/** @param options.keeps whether blocks stay behind when nobody holds them. */
export function openKvDesk(options: {
  readonly source: KvPool;
  readonly target: KvPool;
  readonly sizeBytes: number;
  readonly keeps: boolean;
  /** As the blocks store it; float32 where none is given. */
  readonly dtype?: KvDtype;
}): KvDesk {
  const { source, target, sizeBytes, keeps, dtype = 'float32' } = options;
  const { geometry } = source;
  const identity = digest('bench identity');
  const id = `bench-${realChance.id()}`;
  const arena = new Arena({ id, geometry, dtype, sizeBytes, identity });
  const own = { arena, store: new BlockStore(arena.blockCount, { keeps }) };
  const peers = new PeerArenas({ identity, ownName: null });
  const kv = new KvIdentity({ modelDigest: digest('bench'), dtype, geometry });
  const common = { kv, peers, own };
  return {
    id,
    kvExport: new ShmExport({ ...common, pool: source, clock: realClock, owner: 'bench' }),
    kvImport: new ShmImport({ ...common, pool: target, worker: 'bench' }),
    kvCache: new PrefixCache({ ...common, pool: source }),
    [Symbol.dispose]() {
      peers.close();
      arena.close();
    },
  };
}
