// KV between workers and over time, as three ports: what a context worker does (export), what a
// generate worker does (import), and what each does for whoever comes with the same beginning (cache).
// Bodies here: kv/shm-export.ts, kv/shm-import.ts, kv/prefix-cache.ts; tests have others.

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

export type KvCache = {
  /**
   * Fills the slot with the KV of the longest known beginning of `ids`, full blocks and never all of
   * them. Returns how many tokens.
   */
  restore(request: { ids: readonly number[]; slot: number }): number;
  /** Leaves the full blocks of the first `computed` tokens of `ids` behind, as far as there is room. */
  keep(request: { ids: readonly number[]; slot: number; computed: number }): void;
};

export type KvImport = {
  /**
   * Copies the KV of `ids` into the slot. Returns the bytes copied; throws a Fault `mismatch` when
   * the two workers cannot understand each other, `transfer` when the blocks are gone or damaged.
   */
  fetch(request: { ticket: Ticket; ids: readonly number[]; slot: number }): number;
};
