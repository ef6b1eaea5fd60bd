// What is in the slots: the memory behind it, the KV that is known before it is computed, what is left
// behind for whoever comes next, and what is exported. Failing to export or to remember costs
// computing later, never the engine's thread.

import type { Ticket } from '../protocol/ticket.ts';
import { type ChunkGroup, groupChunks, longestOf, paddingOf } from './group.ts';
import type { EngineParts } from './parts.ts';
import type { StepPlan } from './plan.ts';
import type { Scheduler } from './scheduler.ts';
import type { Sequence } from './sequence.ts';

type Parts = Pick<EngineParts, 'memory' | 'kvCache' | 'kvExport' | 'scheduler'>;

export class SlotContent {
  readonly #parts: Parts;
  readonly #scheduler: () => Scheduler;
  /** Whose export has failed: no ticket for them. */
  readonly #unexported = new Set<string>();

  /** @param scheduler asked when needed: it needs this object itself when it is made. */
  constructor(parts: Parts, scheduler: () => Scheduler) {
    this.#parts = parts;
    this.#scheduler = scheduler;
  }

  /**
   * Notes what this step will write, and returns which chunks run together: as many as fit, and none
   * where there is no memory for their padding. Never are more than `tokensMax` positions in memory,
   * but for the one sequence that is being moved from slot to slot.
   */
  takeMemory({ batch, chunks }: StepPlan): readonly ChunkGroup[] {
    const { memory, scheduler } = this.#parts;
    for (const [slot, { past }] of batch.entries()) memory.touch(slot, past + 1);
    for (const { slot, past, count } of chunks) memory.touch(slot, past + count);
    const groups = groupChunks(chunks, scheduler.stepTokens);
    const padding = groups.reduce((sum, group) => sum + paddingOf(group), 0);
    if (!this.#hasRoom(padding)) return chunks.map((chunk) => [chunk]);
    for (const group of groups) {
      for (const { slot, past } of group) memory.touch(slot, past + longestOf(group));
    }
    return groups;
  }

  /** Whether so many positions more may be used, after everything useless has gone if need be. */
  #hasRoom(tokens: number): boolean {
    const { memory, scheduler } = this.#parts;
    const most = scheduler.tokensMax - tokens;
    if (memory.residentTokens() <= most) return true;
    for (let slot = 0; slot < scheduler.slots; slot++) {
      if (this.#scheduler().isFree(slot)) memory.forget(slot, 0);
    }
    for (const { slot, ids } of this.#scheduler().running()) {
      if (slot !== null) memory.forget(slot, ids.length);
    }
    return memory.residentTokens() <= most;
  }

  /** Room for `tokens` positions that are about to be written into the slot. */
  reserve(slot: number, tokens: number): void {
    this.#parts.memory.touch(slot, tokens);
    this.#hasRoom(0);
  }

  /** Known KV of the sequence's beginning into its slot; returns how many tokens. */
  restore(sequence: Sequence): number {
    const { kvCache } = this.#parts;
    if (kvCache === null || sequence.slot === null) return 0;
    this.reserve(sequence.slot, sequence.ids.length - 1);
    return kvCache.restore({ ids: sequence.ids, slot: sequence.slot });
  }

  /** Leaves the sequence's KV to whoever comes next with the same beginning: itself, perhaps. */
  keep(sequence: Sequence): void {
    const { ids, slot, computed } = sequence;
    if (slot !== null) this.#parts.kvCache?.keep({ ids, slot, computed });
  }

  /** Stages the prompt's KV as far as it is computed. */
  exportRows(sequence: Sequence): void {
    const { requestId, slot, computed } = sequence;
    if (slot === null) return;
    const ids = sequence.ids.slice(0, sequence.promptLength);
    try {
      this.#parts.kvExport?.append({ requestId, ids, slot, computed });
    } catch {
      // Costs a prefill on the generate worker, which is told; not this thread and everybody in it.
      this.#parts.kvExport?.release(requestId);
      this.#unexported.add(requestId);
    }
  }

  offer(requestId: string): Ticket | null {
    if (this.#unexported.delete(requestId)) {
      this.#parts.kvExport?.release(requestId);
      return null;
    }
    return this.#parts.kvExport?.offer(requestId) ?? null;
  }

  /** Whatever was exported for the request is of no use any more. */
  release(requestId: string): void {
    this.#unexported.delete(requestId);
    this.#parts.kvExport?.release(requestId);
  }
}
