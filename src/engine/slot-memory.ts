// Memory of the slots in use, held below the scheduler's `tokensMax`: what will be written is noted
// before, and when the sum would exceed the limit, pages go back to the system that hold nothing of use
// (vacated slots, and what an earlier owner left behind a slot's present one).
//
// The bound is exact in positions, but for the one sequence that is just being moved from slot to slot
// and is there twice. In bytes each slot's plane of a head adds up to two pages that a neighbour shares.

import { type ChunkGroup, groupChunks, longestOf, paddingOf } from './group.ts';
import type { StepPlan } from './plan.ts';
import type { Scheduler } from './scheduler.ts';
import { rowCount } from './sequence.ts';

/** Which pages the slots have touched, and how to give them back. */
export type SlotMemory = {
  /** Copies the first `tokens` positions of a slot to another. */
  move(from: number, to: number, tokens: number): void;
  /** The slot's first `tokens` positions are about to be written. */
  touch(slot: number, tokens: number): void;
  /** The slot's content from position `keep` on is of no use any more: its pages may go. */
  forget(slot: number, keep: number): void;
  /** Positions that have memory behind them, over all slots. */
  residentTokens(): number;
};

export class MemoryUse {
  readonly #memory: SlotMemory;
  readonly #scheduler: Scheduler;

  constructor(memory: SlotMemory, scheduler: Scheduler) {
    this.#memory = memory;
    this.#scheduler = scheduler;
  }

  /** The slot's first `tokens` positions are about to be written. */
  note(slot: number, tokens: number): void {
    this.#memory.touch(slot, tokens);
    this.#hasRoom(0);
  }

  /**
   * Notes what a step will write, and returns which of its chunks run together: as many as fit in a run
   * of `rowsMax`, and none where there is no memory for their padding.
   */
  noteStep({ batch, chunks }: StepPlan, rowsMax: number): readonly ChunkGroup[] {
    for (const [slot, { past }] of batch.entries()) this.#memory.touch(slot, past + 1);
    for (const { slot, past, count } of chunks) this.#memory.touch(slot, past + count);
    const groups = groupChunks(chunks, rowsMax);
    const padding = groups.reduce((sum, group) => sum + paddingOf(group), 0);
    if (!this.#hasRoom(padding)) return chunks.map((chunk) => [chunk]);
    for (const group of groups) {
      for (const { slot, past } of group) this.#memory.touch(slot, past + longestOf(group));
    }
    return groups;
  }

  /** Whether so many positions more may be used, after everything useless has gone if need be. */
  #hasRoom(tokens: number): boolean {
    const most = this.#scheduler.tokensMax - tokens;
    if (this.#memory.residentTokens() <= most) return true;
    for (let slot = 0; slot < this.#scheduler.slots; slot++) {
      if (this.#scheduler.isFree(slot)) this.#memory.forget(slot, 0);
    }
    for (const sequence of this.#scheduler.running()) {
      if (sequence.slot !== null) this.#memory.forget(sequence.slot, rowCount(sequence));
    }
    return this.#memory.residentTokens() <= most;
  }
}
