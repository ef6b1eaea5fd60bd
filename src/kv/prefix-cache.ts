// KV that need not be computed again. `restore` fills a slot with the longest known beginning of a
// prompt: full blocks out of this worker's arena or any other worker's on the host. `keep` leaves a
// sequence's full blocks behind when it ends or is preempted. Room is bounded by the arena; what is
// there is reused least recent first.

import { Fault } from '../std/fault.ts';
import type { Arena } from './arena.ts';
import { blockKey } from './arena.ts';
import { readBlock, writeBlock } from './block-io.ts';
import type { BlockStore } from './block-store.ts';
import type { PeerArenas } from './peers.ts';
import type { KvPool } from './pool.ts';
import { prefixHashes } from './prefix.ts';
import type { KvCache } from './transfer.ts';

export type OwnArena = { readonly arena: Arena; readonly store: BlockStore };

export class PrefixCache implements KvCache {
  readonly #own: OwnArena;
  readonly #peers: PeerArenas;
  readonly #pool: KvPool;
  readonly #modelDigest: string;
  readonly #dtype: string;
  #keepCount = 0;

  constructor(options: {
    own: OwnArena;
    peers: PeerArenas;
    pool: KvPool;
    modelDigest: string;
    dtype: string;
  }) {
    this.#own = options.own;
    this.#peers = options.peers;
    this.#pool = options.pool;
    this.#modelDigest = options.modelDigest;
    this.#dtype = options.dtype;
  }

  restore(request: { ids: readonly number[]; slot: number }): number {
    const { ids, slot } = request;
    const { blockTokens } = this.#pool.geometry;
    // The last token must be computed in any case: its logits choose the next one.
    const usable = Math.floor((ids.length - 1) / blockTokens) * blockTokens;
    const hashes = this.#hashes(ids.slice(0, usable));
    let known = 0;
    for (const hash of hashes) {
      if (!this.#read(hash, { slot, first: known, count: blockTokens })) break;
      known += blockTokens;
    }
    // Last block first: of one prompt the tail is forgotten before what it stands on.
    for (const hash of hashes.slice(0, known / blockTokens).reverse()) this.#used(hash);
    return known;
  }

  keep(request: { ids: readonly number[]; slot: number; computed: number }): void {
    const { ids, slot, computed } = request;
    const { store, arena } = this.#own;
    const { blockTokens } = this.#pool.geometry;
    const full = Math.floor(computed / blockTokens) * blockTokens;
    const holder = `keep ${this.#keepCount++}`;
    for (const [i, hash] of this.#hashes(ids.slice(0, full)).entries()) {
      const own = store.find(hash);
      if (own !== null) {
        store.hold(holder, own.index);
        continue;
      }
      if (this.#peers.find(blockKey(hash)) !== null) continue;
      const taken = store.take(holder, hash);
      if (taken === null) break;
      const identity = { modelDigest: this.#modelDigest, dtype: this.#dtype, hash };
      const rows = { slot, first: i * blockTokens, count: blockTokens };
      writeBlock({ arena: arena.view, ...taken }, identity, rows, this.#pool);
      publish(this.#own, taken.index, hash);
    }
    store.release(holder);
  }

  #used(hash: string): void {
    const own = this.#own.store.find(hash);
    if (own !== null) this.#own.store.touch(own.index);
  }

  #hashes(ids: readonly number[]): string[] {
    const { blockTokens } = this.#pool.geometry;
    return prefixHashes(ids, { modelDigest: this.#modelDigest, dtype: this.#dtype, blockTokens });
  }

  #read(hash: string, rows: { slot: number; first: number; count: number }): boolean {
    const own = this.#own.store.find(hash);
    const found =
      own === null
        ? this.#peers.find(blockKey(hash))
        : { arena: this.#own.arena.view, index: own.index };
    if (found === null) return false;
    const wanted = {
      index: found.index,
      hash,
      modelDigest: this.#modelDigest,
      dtype: this.#dtype,
      generation: null,
      checksum: null,
    };
    try {
      readBlock(found.arena, wanted, rows, this.#pool);
      return true;
    } catch (thrown) {
      if (thrown instanceof Fault) return false; // reused by its owner: not known any more
      throw thrown;
    }
  }
}

/** The block can be found from now on, here and by the other workers of the host. */
export function publish(own: OwnArena, index: number, hash: string): void {
  if (own.store.publish(index)) own.arena.announce(index, hash);
}
