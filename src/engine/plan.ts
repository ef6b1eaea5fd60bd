// What one step does. A plan is made by the scheduler, carried out by the engine, and never changed.

import type { Sequence } from './sequence.ts';

export type Move = { readonly from: number; readonly to: number; readonly tokens: number };

/** A row of the decode batch; its slot is its index. */
export type BatchRow = {
  /**
   * Null for a passenger: a slot inside the run that has nothing to decode. It gets a dummy token at
   * the first position it has not computed, which its next real token overwrites.
   */
  readonly sequence: Sequence | null;
  readonly past: number;
  readonly id: number;
};

export type Chunk = {
  readonly sequence: Sequence;
  readonly slot: number;
  readonly past: number;
  readonly count: number;
  /** The chunk reaches the end of what is known: its logits choose the next token. */
  readonly isLast: boolean;
};

export type StepPlan = {
  /** Given a slot in this step, for the first time or again. */
  readonly admitted: readonly Sequence[];
  /** Lost their slots in this step; they wait again, with all their tokens. */
  readonly preempted: readonly Sequence[];
  readonly moves: readonly Move[];
  readonly batch: readonly BatchRow[];
  /** In order of their slots, so that neighbours can run together. */
  readonly chunks: readonly Chunk[];
};
