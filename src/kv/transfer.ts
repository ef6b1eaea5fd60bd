// Handing KV over, as two ports: what a context worker does (export) and what a generate worker does
// (import). Bodies here: kv/shm-export.ts and kv/shm-import.ts; tests and the simulation have others.

import type { Ticket } from '../protocol/ticket.ts';

export type KvExport = {
  /** Stages every block of `ids` that is filled by position `computed`; at the prompt's end the rest. */
  append(request: {
    requestId: string;
    ids: readonly number[];
    slot: number;
    computed: number;
  }): void;
  /** The ticket, and the lease starts; null when the arena had no room. */
  offer(requestId: string): Ticket | null;
  release(requestId: string): void;
  /** Takes back what nobody fetched in time; returns the requests concerned. */
  sweep(): string[];
};

export type KvImport = {
  /**
   * Copies the KV of `ids` into the slot. Returns the bytes copied; throws a Fault `mismatch` when
   * the two workers cannot understand each other, `transfer` when the blocks are gone or damaged.
   */
  fetch(request: { ticket: Ticket; ids: readonly number[]; slot: number }): number;
};
