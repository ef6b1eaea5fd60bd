// Who holds which block of an arena, and what is in it. Pure: no memory, no clock of its own.
//
//          take            publish              last holder lets go
//   free ───────▶ held ───────────▶ held, shared ─────────────────▶ cached ──▶ (reused) held
//    ▲             │ offer ▶ leased, until release or the deadline      │
//    └─ let go unpublished ────────────────────── evicted when room is needed, least recent first
//
// A block is named by the hash of everything up to its end (kv/prefix.ts), so two requests with one
// beginning hold the same block. Each `take` raises the block's generation: a ticket or a cache key of
// an earlier use can be told from this one.

import { assert } from '../std/fault.ts';

export type TakenBlock = { readonly index: number; readonly generation: number };

export type BlockCounts = {
  readonly free: number;
  /** In use by a request that is still being computed. */
  readonly held: number;
  /** In use by a reader that has the ticket. */
  readonly leased: number;
  /** In nobody's use; kept for whoever comes with the same beginning. */
  readonly cached: number;
};

type Holder = { readonly blocks: number[]; deadlineMs: number | null };

type Block = {
  generation: number;
  hash: string | null;
  /** Its content is complete and may be found by its hash. */
  published: boolean;
  holders: number;
};

export class BlockStore {
  readonly #blocks: Block[];
  readonly #keeps: boolean;
  readonly #free: number[];
  /** Cached blocks, least recently used first (a Set keeps the order of insertion). */
  readonly #cached = new Set<number>();
  readonly #byHash = new Map<string, number>();
  readonly #holders = new Map<string, Holder>();
  /** Called before a published block's content goes. */
  readonly #onEvict: (index: number) => void;
  /** Raised whenever the set of published blocks changes. */
  version = 0;

  /** @param options.keeps false: nothing is cached and nothing found (`--no-enable-prefix-caching`). */
  constructor(blockCount: number, options: { keeps: boolean; onEvict?: (index: number) => void }) {
    this.#blocks = Array.from({ length: blockCount }, () => ({
      generation: 0,
      hash: null,
      published: false,
      holders: 0,
    }));
    this.#free = Array.from({ length: blockCount }, (_, i) => blockCount - 1 - i);
    this.#keeps = options.keeps;
    this.#onEvict = options.onEvict ?? (() => undefined);
  }

  /** The block of that name, if its content is here. */
  find(hash: string): TakenBlock | null {
    const index = this.#byHash.get(hash);
    const block = index === undefined ? undefined : this.#blocks[index];
    if (index === undefined || block === undefined) return null;
    return { index, generation: block.generation };
  }

  /** One more holder of a found block. */
  hold(requestId: string, index: number): void {
    const block = this.#block(index);
    assert(block.published, `block ${index} held before its content is there`);
    this.#cached.delete(index);
    block.holders++;
    this.#holder(requestId).blocks.push(index);
  }

  /** An empty block for `requestId`, the least recently used cached one if none is free, or null. */
  take(requestId: string, hash: string): TakenBlock | null {
    const index = this.#free.pop() ?? this.#evict();
    if (index === undefined) return null;
    const block = this.#block(index);
    block.generation = (block.generation + 1) >>> 0;
    block.hash = hash;
    block.holders = 1;
    this.#holder(requestId).blocks.push(index);
    return { index, generation: block.generation };
  }

  /**
   * The content is complete: the block can be found from now on. Only for full blocks. False where
   * nothing is kept, or another block of that name is there already.
   */
  publish(index: number): boolean {
    const block = this.#block(index);
    if (!this.#keeps || block.hash === null || this.#byHash.has(block.hash)) return false;
    block.published = true;
    this.#byHash.set(block.hash, index);
    this.version++;
    return true;
  }

  /** A cached block was of use: it becomes the most recent one. */
  touch(index: number): void {
    if (this.#cached.delete(index)) this.#cached.add(index);
  }

  /** The reader has the ticket, and time until `deadlineMs`. */
  offer(requestId: string, deadlineMs: number): void {
    const holder = this.#holders.get(requestId);
    if (holder !== undefined) holder.deadlineMs = deadlineMs;
  }

  /** Lets go of all blocks of the request; harmless when there are none. Returns how many. */
  release(requestId: string): number {
    const holder = this.#holders.get(requestId);
    if (holder === undefined) return 0;
    this.#holders.delete(requestId);
    // Last block first: of one prompt the tail is forgotten before what it stands on.
    for (const index of holder.blocks.toReversed()) this.#letGo(index);
    return holder.blocks.length;
  }

  /** Releases every request whose deadline has passed and names them. */
  expire(nowMs: number): string[] {
    const late = [...this.#holders]
      .filter(([, holder]) => holder.deadlineMs !== null && holder.deadlineMs <= nowMs)
      .map(([requestId]) => requestId);
    for (const requestId of late) this.release(requestId);
    return late;
  }

  /** free + held + leased + cached = all, always. */
  counts(): BlockCounts {
    const leased = new Set<number>();
    const held = new Set<number>();
    for (const holder of this.#holders.values()) {
      for (const index of holder.blocks) (holder.deadlineMs === null ? held : leased).add(index);
    }
    const both = [...held].filter((index) => leased.has(index)).length;
    return {
      free: this.#free.length,
      held: held.size - both,
      leased: leased.size,
      cached: this.#cached.size,
    };
  }

  /** For when no request runs: every block is accounted for once, and nobody is still writing one. */
  assertIdle(): void {
    const { free, held, leased, cached } = this.counts();
    const all = this.#blocks.length;
    const sum = `${free} free + ${held} held + ${leased} leased + ${cached} cached`;
    assert(free + held + leased + cached === all, `${sum} blocks of ${all}`);
    assert(held === 0, `${sum} blocks, and nobody runs`);
  }

  /** Names of published blocks, latest use first, at most `countMax`. */
  hashes(countMax: number): string[] {
    const inUse = [...this.#byHash.values()].filter((index) => !this.#cached.has(index));
    const order = [...inUse, ...[...this.#cached].reverse()].slice(0, countMax);
    return order.map((index) => this.#block(index).hash ?? '');
  }

  #letGo(index: number): void {
    const block = this.#block(index);
    block.holders--;
    assert(block.holders >= 0, `block ${index} let go of too often`);
    if (block.holders > 0) return;
    if (block.published) {
      this.#cached.add(index);
    } else {
      block.hash = null;
      this.#free.push(index);
    }
  }

  #evict(): number | undefined {
    const [index] = this.#cached;
    if (index === undefined) return undefined;
    this.#onEvict(index);
    this.#cached.delete(index);
    const block = this.#block(index);
    if (block.hash !== null) this.#byHash.delete(block.hash);
    block.published = false;
    this.version++;
    return index;
  }

  #holder(requestId: string): Holder {
    const known = this.#holders.get(requestId);
    if (known !== undefined) {
      assert(known.deadlineMs === null, `block taken for ${requestId} after its offer`);
      return known;
    }
    const holder: Holder = { blocks: [], deadlineMs: null };
    this.#holders.set(requestId, holder);
    return holder;
  }

  #block(index: number): Block {
    const block = this.#blocks[index];
    assert(block !== undefined, `block ${index} of ${this.#blocks.length}`);
    return block;
  }
}
