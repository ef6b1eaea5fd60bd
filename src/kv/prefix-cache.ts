// KV that need not be computed again. `restore` fills a slot with the longest known beginning of a
// prompt: full blocks out of this worker's arena or any other worker's on the host. `keep` leaves a
// sequence's full blocks behind when it ends or is preempted. Room is bounded by the arena; what is
// there is reused least recent first. Only blocks of its own dtype are looked for: others have other
// names and lie in arenas of another identity.

import { Fault } from '../std/fault.ts';
import type { Arena } from './arena.ts';
import { blockKey } from './arena.ts';
import { type Rows, readBlock, writeBlock } from './block-io.ts';
import type { BlockStore } from './block-store.ts';
import type { KvIdentity } from './identity.ts';
import type { FoundBlock, PeerArenas } from './peers.ts';
import type { KvSlots } from './pool.ts';
import type { KnownPrompt, KvCache } from './transfer.ts';

export type OwnArena = { readonly arena: Arena; readonly store: BlockStore };

export class PrefixCache implements KvCache {
  readonly #own: OwnArena;
  readonly #peers: PeerArenas;
  readonly #pool: KvSlots;
  readonly #kv: KvIdentity;
  #keepCount = 0;

  constructor(options: { own: OwnArena; peers: PeerArenas; pool: KvSlots; kv: KvIdentity }) {
    this.#own = options.own;
    this.#peers = options.peers;
    this.#pool = options.pool;
    this.#kv = options.kv;
  }

  restore({ ids, salt, slot, from }: KnownPrompt & { readonly from: number }): number {
    const { blockTokens } = this.#pool.geometry;
    if (from % blockTokens !== 0) return from;
    // The last token must be computed in any case: its logits choose the next one.
    const usable = Math.floor((ids.length - 1) / blockTokens) * blockTokens;
    const hashes = this.#kv.hashes(ids.slice(0, usable), salt);
    let known = from;
    for (const hash of hashes.slice(from / blockTokens)) {
      if (!this.#read(hash, { slot, first: known, count: blockTokens })) break;
      known += blockTokens;
    }
    // Last block first: of one prompt the tail is forgotten before what it stands on.
    for (const hash of hashes.slice(0, known / blockTokens).reverse()) this.#used(hash);
    return known;
  }

  keep(request: KnownPrompt & { readonly computed: number }): void {
    const { ids, salt, slot, computed } = request;
    const { store, arena } = this.#own;
    const { blockTokens } = this.#pool.geometry;
    const full = Math.floor(computed / blockTokens) * blockTokens;
    const holder = `keep ${this.#keepCount++}`;
    for (const [i, hash] of this.#kv.hashes(ids.slice(0, full), salt).entries()) {
      const own = store.find(hash);
      if (own !== null) {
        store.hold(holder, own.index);
        continue;
      }
      if (this.#peers.has(blockKey(hash))) continue;
      const taken = store.take(holder, hash);
      if (taken === null) break;
      const rows = { slot, first: i * blockTokens, count: blockTokens };
      writeBlock({ arena: arena.view, ...taken }, { kv: this.#kv, hash, rows }, this.#pool);
      publish(this.#own, taken.index, hash);
    }
    store.release(holder);
  }

  #used(hash: string): void {
    const own = this.#own.store.find(hash);
    if (own !== null) this.#own.store.touch(own.index);
  }

  /** Own first, then every other that seems to have it: one may have been reused, or be damaged. */
  #read(hash: string, rows: Rows): boolean {
    const own = this.#own.store.find(hash);
    if (
      own !== null &&
      this.#readFrom({ arena: this.#own.arena.view, index: own.index }, hash, rows)
    ) {
      return true;
    }
    for (const found of this.#peers.find(blockKey(hash))) {
      if (this.#readFrom(found, hash, rows)) return true;
    }
    return false;
  }

  #readFrom({ arena, index }: FoundBlock, hash: string, rows: Rows): boolean {
    const wanted = { index, hash, generation: null, checksum: null };
    try {
      readBlock(arena, { kv: this.#kv, wanted, rows }, this.#pool);
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
