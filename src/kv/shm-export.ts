// Export through the arena, block by block as the prompt's chunks are computed; only the last waits
// for the end. A block that is there already (an earlier prompt began the same way) is not written
// again, the request just holds it too.

import type { BlockRef, ShmTicket } from '../protocol/ticket.ts';
import type { Clock } from '../std/clock.ts';
import { blockBegin } from './arena.ts';
import { readHeader } from './block.ts';
import { writeBlock } from './block-io.ts';
import type { KvIdentity } from './identity.ts';
import type { KvSlots } from './pool.ts';
import { type OwnArena, publish } from './prefix-cache.ts';
import type { KvExport } from './transfer.ts';

type Staging = {
  readonly hashes: readonly string[];
  readonly blocks: BlockRef[];
  full: boolean;
  exportMs: number;
};

type Prompt = {
  readonly requestId: string;
  readonly ids: readonly number[];
  readonly salt?: string | undefined;
  readonly slot: number;
  readonly computed: number;
};

export class ShmExport implements KvExport {
  readonly #own: OwnArena;
  readonly #pool: KvSlots;
  readonly #clock: Clock;
  readonly #kv: KvIdentity;
  readonly #owner: string;
  readonly #stagings = new Map<string, Staging>();

  constructor(options: {
    own: OwnArena;
    pool: KvSlots;
    clock: Clock;
    kv: KvIdentity;
    owner: string;
  }) {
    this.#own = options.own;
    this.#pool = options.pool;
    this.#clock = options.clock;
    this.#kv = options.kv;
    this.#owner = options.owner;
  }

  append(prompt: Prompt): readonly BlockRef[] {
    const startMs = this.#clock.nowMs();
    const staging = this.#stagings.get(prompt.requestId) ?? this.#begin(prompt);
    const { blockTokens } = this.#pool.geometry;
    const before = staging.blocks.length;
    while (!staging.full) {
      const first = staging.blocks.length * blockTokens;
      const count = Math.min(blockTokens, prompt.ids.length - first);
      if (count <= 0 || first + count > prompt.computed) break;
      this.#stage(staging, prompt.requestId, { slot: prompt.slot, first, count });
    }
    staging.exportMs += this.#clock.nowMs() - startMs;
    return staging.full ? [] : staging.blocks.slice(before);
  }

  offer(requestId: string, leaseMs: number): ShmTicket | null {
    const staging = this.#stagings.get(requestId);
    if (staging === undefined || staging.full) {
      this.release(requestId);
      return null;
    }
    this.#own.store.offer(requestId, this.#clock.nowMs() + leaseMs);
    return {
      kind: 'shm',
      arena: this.#own.arena.name,
      owner: this.#owner,
      modelDigest: this.#kv.modelDigest,
      dtype: this.#kv.dtype,
      geometry: this.#kv.geometry,
      tokens: staging.blocks.reduce((sum, block) => sum + block.count, 0),
      blocks: staging.blocks,
      exportMs: staging.exportMs,
    };
  }

  release(requestId: string): void {
    this.#stagings.delete(requestId);
    this.#own.store.release(requestId);
  }

  sweep(): string[] {
    const late = this.#own.store.expire(this.#clock.nowMs());
    for (const requestId of late) this.#stagings.delete(requestId);
    return late;
  }

  #begin({ requestId, ids, salt }: Prompt): Staging {
    const hashes = this.#kv.hashes(ids, salt);
    const staging: Staging = { hashes, blocks: [], full: false, exportMs: 0 };
    this.#stagings.set(requestId, staging);
    return staging;
  }

  #stage(
    staging: Staging,
    requestId: string,
    rows: { slot: number; first: number; count: number },
  ): void {
    const { store, arena } = this.#own;
    const hash = staging.hashes[staging.blocks.length] ?? '';
    const place = { firstPosition: rows.first, count: rows.count, hash };
    const known = store.find(hash);
    if (known !== null) {
      store.hold(requestId, known.index);
      staging.blocks.push({ ...place, ...known, checksum: this.#checksumOf(known.index) });
      return;
    }
    const taken = store.take(requestId, hash);
    if (taken === null) {
      // No room: give back what this request has, the generate worker will prefill by itself.
      staging.full = true;
      store.release(requestId);
      return;
    }
    const block = { kv: this.#kv, hash, rows };
    const checksum = writeBlock({ arena: arena.view, ...taken }, block, this.#pool);
    if (rows.count === this.#pool.geometry.blockTokens) publish(this.#own, taken.index, hash);
    staging.blocks.push({ ...place, ...taken, checksum });
  }

  #checksumOf(index: number): string {
    const { view } = this.#own.arena;
    const header = readHeader(view.bytes.subarray(blockBegin(view, index)));
    return 'flaw' in header ? '0'.repeat(16) : header.checksum;
  }
}
