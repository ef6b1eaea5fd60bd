// KV hand-over between two fake runners, without shared memory: tickets lead into a map.

import type { KvExport, KvImport } from '../../src/kv/transfer.ts';
import type { Ticket } from '../../src/protocol/ticket.ts';
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
  }): void {
    const { requestId, ids, slot, computed } = request;
    const whole = Math.floor(computed / geometry.blockTokens) * geometry.blockTokens;
    const rows = this.#runner.rows(slot, computed === ids.length ? computed : whole);
    if (this.#arena.staged.size < this.#arena.roomFor) this.#arena.staged.set(requestId, rows);
  }

  offer(requestId: string): Ticket | null {
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

  fetch(request: { ticket: Ticket; ids: readonly number[]; slot: number }): number {
    const { ticket, ids, slot } = request;
    const rows = this.#arena.staged.get(ticket.owner);
    if (this.fault !== null) {
      this.#runner.setRows(slot, ids.slice(0, 3).reverse()); // some of it came, and it is wrong
      throw this.fault;
    }
    if (rows === undefined || rows.join() !== ids.join()) throw new Fault('transfer', 'gone');
    this.#runner.setRows(slot, rows);
    return rows.length * 128;
  }
}
