// Who owns which block of an arena. Pure: no memory, no clock of its own.
//
//   free ──take──▶ held ──offer──▶ leased ──release──▶ free
//                   └────────────────┴────expire/release┘
//
// `held`: the owner is still writing. `leased`: a reader has the ticket until the deadline. Each
// `take` raises the block's generation, so a ticket for an earlier use can be told from this one.

import { assert } from '../std/fault.ts';

export type TakenBlock = { readonly index: number; readonly generation: number };

type Lease = { readonly blocks: TakenBlock[]; deadlineMs: number | null };

export class LeaseTable {
  readonly #generations: Uint32Array;
  readonly #free: number[];
  readonly #leases = new Map<string, Lease>();

  constructor(blockCount: number) {
    this.#generations = new Uint32Array(blockCount);
    this.#free = Array.from({ length: blockCount }, (_, i) => blockCount - 1 - i);
  }

  /** Another block for `requestId`, or null when all are taken. */
  take(requestId: string): TakenBlock | null {
    const lease = this.#leases.get(requestId) ?? { blocks: [], deadlineMs: null };
    assert(lease.deadlineMs === null, `block taken for ${requestId} after its offer`);
    const index = this.#free.pop();
    if (index === undefined) return null;
    const generation = ((this.#generations[index] ?? 0) + 1) >>> 0;
    this.#generations[index] = generation;
    lease.blocks.push({ index, generation });
    this.#leases.set(requestId, lease);
    return { index, generation };
  }

  /** The owner is done writing; the reader has until `deadlineMs`. */
  offer(requestId: string, deadlineMs: number): void {
    const lease = this.#leases.get(requestId);
    if (lease !== undefined) lease.deadlineMs = deadlineMs;
  }

  /** All blocks of the request go back; harmless when there are none. Returns how many. */
  release(requestId: string): number {
    const lease = this.#leases.get(requestId);
    if (lease === undefined) return 0;
    this.#leases.delete(requestId);
    for (const block of lease.blocks) this.#free.push(block.index);
    return lease.blocks.length;
  }

  /** Releases every lease whose deadline has passed and names its requests. */
  expire(nowMs: number): string[] {
    const late = [...this.#leases]
      .filter(([, lease]) => lease.deadlineMs !== null && lease.deadlineMs <= nowMs)
      .map(([requestId]) => requestId);
    for (const requestId of late) this.release(requestId);
    return late;
  }

  /** free + held + leased = all, always. */
  counts(): { free: number; held: number; leased: number } {
    let held = 0;
    let leased = 0;
    for (const lease of this.#leases.values()) {
      if (lease.deadlineMs === null) held += lease.blocks.length;
      else leased += lease.blocks.length;
    }
    return { free: this.#free.length, held, leased };
  }
}
