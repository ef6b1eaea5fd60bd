// KV hand-over between two fake runners, without shared memory: tickets lead into a map.

import type { KvExport, KvImport } from '../../src/kv/transfer.ts';
import type { BlockRef, ShmTicket } from '../../src/protocol/ticket.ts';
import { Fault } from '../../src/std/fault.ts';
import type { FakeRunner } from './fake-runner.ts';

const geometry = { layers: 1, kvHeads: 1, headDim: 16, blockTokens: 4 };

/** Staged rows by request, as the arena would hold them. */
export class FakeArena {
  readonly staged = new Map<string, readonly number[]>();
  /** Requests at most; beyond them `offer` has nothing. */
  roomFor = Number.POSITIVE_INFINITY;
}

export class FakeExport implements KvExport {
  /** The time given with each offer. */
  readonly leases: number[] = [];
  readonly #arena: FakeArena;
  readonly #runner: FakeRunner;

  constructor(arena: FakeArena, runner: FakeRunner) {
    this.#arena = arena;
    this.#runner = runner;
  }

  append(request: {
    requestId: string;
    ids: readonly number[];
    slot: number;
    computed: number;
  }): readonly BlockRef[] {
    const { requestId, ids, slot, computed } = request;
    const whole = Math.floor(computed / geometry.blockTokens) * geometry.blockTokens;
    const rows = this.#runner.rows(slot, computed === ids.length ? computed : whole);
    const had = this.#arena.staged.get(requestId)?.length ?? 0;
    if (this.#arena.staged.size < this.#arena.roomFor) this.#arena.staged.set(requestId, rows);
    return blocksOf(had, rows.length);
  }

  offer(requestId: string, leaseMs: number): ShmTicket | null {
    this.leases.push(leaseMs);
    const rows = this.#arena.staged.get(requestId);
    if (rows === undefined) return null;
    return {
      kind: 'shm',
      arena: `tdist-${requestId}`,
      owner: requestId,
      modelDigest: '0'.repeat(64),
      dtype: 'float32',
      geometry,
      tokens: rows.length,
      blocks: [],
      exportMs: 2,
    };
  }

  release(requestId: string): void {
    this.#arena.staged.delete(requestId);
  }

  sweep(): string[] {
    return [];
  }
}

export class FakeImport implements KvImport {
  /** Set: the next fetches fail with it. */
  fault: Fault | null = null;
  readonly #arena: FakeArena;
  readonly #runner: FakeRunner;

  constructor(arena: FakeArena, runner: FakeRunner) {
    this.#arena = arena;
    this.#runner = runner;
  }

  fetch(request: {
    ticket: ShmTicket;
    ids: readonly number[];
    slot: number;
    from: number;
  }): number {
    const { ticket, ids, slot, from } = request;
    const rows = this.#arena.staged.get(ticket.owner);
    if (this.fault !== null) {
      const wrong = ids.slice(0, 3).reverse(); // some of it came, and it is wrong
      this.#runner.setRows(slot, [...this.#runner.rows(slot, from), ...wrong]);
      throw this.fault;
    }
    if (rows === undefined || rows.join() !== ids.join()) throw new Fault('transfer', 'gone');
    this.#runner.setRows(slot, rows);
    return this.bytesOf(rows.length - from);
  }

  put(request: {
    frame: Uint8Array<ArrayBuffer>;
    ids: readonly number[];
    slot: number;
    from: number;
  }): number {
    const { frame, ids, slot, from } = request;
    const came = [...new Int32Array(frame.buffer)];
    const wanted = ids.slice(from, from + came.length);
    if (this.fault !== null) throw this.fault;
    if (came.join() !== wanted.join()) throw new Fault('transfer', 'other', { reason: 'digest' });
    this.#runner.setRows(slot, [...this.#runner.rows(slot, from), ...came]);
    return came.length;
  }

  bytesOf(tokens: number): number {
    return tokens * 128;
  }
}

/** A block of a prompt on its way, as `FakeImport` reads it. */
export function frameOf(ids: readonly number[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Int32Array.from(ids).buffer);
}

function blocksOf(from: number, to: number): BlockRef[] {
  const blocks: BlockRef[] = [];
  for (let first = from; first < to; first += geometry.blockTokens) {
    const count = Math.min(geometry.blockTokens, to - first);
    const index = first / geometry.blockTokens;
    const names = { hash: '0'.repeat(64), checksum: '0'.repeat(16) };
    blocks.push({ index, generation: 1, firstPosition: first, count, ...names });
  }
  return blocks;
}
