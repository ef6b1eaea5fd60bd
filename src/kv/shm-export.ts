// Export through the arena: each block is one strided copy out of the slot, a checksum and a header.
// Blocks are staged as the prompt's chunks are computed; only the last waits for the end.

import { limit } from '../protocol/limit.ts';
import type { BlockRef, KvDtype, Ticket } from '../protocol/ticket.ts';
import type { Clock } from '../std/clock.ts';
import { checksum } from '../std/hash.ts';
import type { Arena } from './arena.ts';
import { blockHeaderBytes, writeHeader } from './block.ts';
import { tokenBytes } from './geometry.ts';
import { LeaseTable } from './lease.ts';
import type { KvPool } from './pool.ts';
import { prefixHashes } from './prefix.ts';
import type { KvExport } from './transfer.ts';

type Staging = {
  readonly hashes: readonly string[];
  readonly blocks: BlockRef[];
  full: boolean;
  exportMs: number;
};

export class ShmExport implements KvExport {
  readonly leases: LeaseTable;
  readonly #arena: Arena;
  readonly #pool: KvPool;
  readonly #clock: Clock;
  readonly #modelDigest: string;
  readonly #owner: string;
  readonly #dtype: KvDtype = 'float32';
  readonly #stagings = new Map<string, Staging>();

  constructor(options: {
    arena: Arena;
    pool: KvPool;
    clock: Clock;
    modelDigest: string;
    owner: string;
  }) {
    this.#arena = options.arena;
    this.#pool = options.pool;
    this.#clock = options.clock;
    this.#modelDigest = options.modelDigest;
    this.#owner = options.owner;
    this.leases = new LeaseTable(options.arena.blockCount);
  }

  append(request: {
    requestId: string;
    ids: readonly number[];
    slot: number;
    computed: number;
  }): void {
    const { requestId, ids } = request;
    const startMs = this.#clock.nowMs();
    const staging = this.#stagings.get(requestId) ?? this.#begin(requestId, ids);
    this.#stageUpTo(staging, request);
    staging.exportMs += this.#clock.nowMs() - startMs;
  }

  #stageUpTo(
    staging: Staging,
    request: { requestId: string; ids: readonly number[]; slot: number; computed: number },
  ): void {
    const { requestId, ids, slot, computed } = request;
    const { blockTokens } = this.#pool.geometry;
    while (!staging.full) {
      const first = staging.blocks.length * blockTokens;
      const count = Math.min(blockTokens, ids.length - first);
      if (count <= 0 || first + count > computed) return;
      this.#stage(staging, requestId, { slot, first, count });
    }
  }

  offer(requestId: string): Ticket | null {
    const staging = this.#stagings.get(requestId);
    if (staging === undefined || staging.full) {
      this.release(requestId);
      return null;
    }
    this.leases.offer(requestId, this.#clock.nowMs() + limit.leaseMs);
    return {
      kind: 'shm',
      arena: this.#arena.name,
      owner: this.#owner,
      modelDigest: this.#modelDigest,
      dtype: this.#dtype,
      geometry: this.#pool.geometry,
      tokens: staging.blocks.reduce((sum, block) => sum + block.count, 0),
      blocks: staging.blocks,
      exportMs: staging.exportMs,
    };
  }

  release(requestId: string): void {
    this.#stagings.delete(requestId);
    this.leases.release(requestId);
  }

  sweep(): string[] {
    const late = this.leases.expire(this.#clock.nowMs());
    for (const requestId of late) this.#stagings.delete(requestId);
    return late;
  }

  #begin(requestId: string, ids: readonly number[]): Staging {
    const hashes = prefixHashes(ids, {
      modelDigest: this.#modelDigest,
      dtype: this.#dtype,
      blockTokens: this.#pool.geometry.blockTokens,
    });
    const staging: Staging = { hashes, blocks: [], full: false, exportMs: 0 };
    this.#stagings.set(requestId, staging);
    return staging;
  }

  #stage(
    staging: Staging,
    requestId: string,
    rows: { slot: number; first: number; count: number },
  ): void {
    const taken = this.leases.take(requestId);
    if (taken === null) {
      // No room: give back what this request has, the generate worker will prefill by itself.
      staging.full = true;
      this.leases.release(requestId);
      return;
    }
    const begin = taken.index * this.#arena.stride;
    const header = this.#arena.bytes.subarray(begin, begin + blockHeaderBytes);
    const hash = staging.hashes[staging.blocks.length] ?? '';
    const fields = {
      modelDigest: this.#modelDigest,
      dtype: this.#dtype,
      geometry: this.#pool.geometry,
      generation: taken.generation,
      firstPosition: rows.first,
      count: rows.count,
      hash,
    };
    // The new generation goes in before the payload: a late reader of the old one sees it change.
    writeHeader(header, { ...fields, checksum: '0'.repeat(16) });
    const payload = begin + blockHeaderBytes;
    this.#pool.copyRows('out', rows, this.#arena.mapping.address + payload);
    const bytes = rows.count * tokenBytes(this.#pool.geometry);
    const sum = checksum(this.#arena.bytes.subarray(payload, payload + bytes));
    writeHeader(header, { ...fields, checksum: sum });
    staging.blocks.push({
      index: taken.index,
      generation: taken.generation,
      firstPosition: rows.first,
      count: rows.count,
      hash,
      checksum: sum,
    });
  }
}
