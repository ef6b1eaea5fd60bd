// Decides each step; pure. First come, first served: whoever waits longest gets the next free slot,
// and the oldest unfinished prompt gets the step's chunk, beside everybody's next token.
//
//   slot   0     1     2     3     4
//        [dec] [dec] [pre] [dec]   ·      batch = slots 0‥3, slot 2 rides along
//
// The decode batch is the run of slots from 0 to the last one that decodes (one tensor). When a
// sequence ends, the last decoding one moves into the hole: one copy, so the run stays compact.

import { assert } from '../std/fault.ts';
import type { BatchRow, Chunk, Move, StepPlan } from './plan.ts';
import { behind, type Sequence } from './sequence.ts';

export class Scheduler {
  readonly slots: number;
  /** Slot moves so far. */
  moveCount = 0;
  readonly #chunkTokens: number;
  readonly #queueCountMax: number;
  readonly #occupants: (Sequence | null)[];
  /** In order of arrival; with and without a slot. */
  readonly #sequences = new Map<string, Sequence>();
  #waitingCount = 0;

  constructor(options: { slots: number; chunkTokens: number; queueCountMax: number }) {
    assert(options.slots >= 1 && options.chunkTokens >= 1, 'a scheduler needs room');
    this.slots = options.slots;
    this.#chunkTokens = options.chunkTokens;
    this.#queueCountMax = options.queueCountMax;
    this.#occupants = new Array<Sequence | null>(options.slots).fill(null);
  }

  get runningCount(): number {
    return this.#sequences.size - this.#waitingCount;
  }

  get waitingCount(): number {
    return this.#waitingCount;
  }

  find(requestId: string): Sequence | undefined {
    return this.#sequences.get(requestId);
  }

  /** Those that have a slot, oldest first. */
  running(): Sequence[] {
    return [...this.#sequences.values()].filter((sequence) => sequence.slot !== null);
  }

  /** Prompt tokens not computed yet, with and without a slot. */
  pendingTokens(): number {
    let sum = 0;
    for (const sequence of this.#sequences.values()) {
      if (!decodes(sequence) && !sequence.awaitsImport) sum += behind(sequence);
    }
    return sum;
  }

  decodingCount(): number {
    return this.#occupants.filter((sequence) => sequence !== null && decodes(sequence)).length;
  }

  /** False when the queue is full. */
  add(sequence: Sequence): boolean {
    if (this.#sequences.size >= this.#queueCountMax) return false;
    assert(!this.#sequences.has(sequence.requestId), `request ${sequence.requestId} twice`);
    this.#sequences.set(sequence.requestId, sequence);
    this.#waitingCount++;
    return true;
  }

  remove(sequence: Sequence): void {
    if (!this.#sequences.delete(sequence.requestId)) return;
    if (sequence.slot === null) this.#waitingCount--;
    else this.#occupants[sequence.slot] = null;
    sequence.slot = null;
  }

  /** What to do next; null when there is nothing. Slots are assigned and moved as planned here. */
  schedule(): StepPlan | null {
    const admitted = this.#admit();
    const moves = this.#compact();
    const batch = this.#batch();
    const chunk = this.#chunk();
    if (admitted.length + moves.length + batch.length === 0 && chunk === null) return null;
    return { admitted, moves, batch, chunk };
  }

  /** The plan was carried out: its tokens are in the slots. */
  complete(plan: StepPlan): void {
    for (const { sequence } of plan.batch) if (sequence !== null) sequence.computed++;
    if (plan.chunk !== null) plan.chunk.sequence.computed += plan.chunk.count;
  }

  #admit(): Sequence[] {
    const admitted: Sequence[] = [];
    if (this.#waitingCount === 0) return admitted;
    for (const sequence of this.#sequences.values()) {
      if (sequence.slot !== null) continue;
      const slot = this.#occupants.indexOf(null);
      if (slot < 0) break;
      this.#occupants[slot] = sequence;
      sequence.slot = slot;
      this.#waitingCount--;
      admitted.push(sequence);
    }
    return admitted;
  }

  #compact(): Move[] {
    const moves: Move[] = [];
    for (;;) {
      const from = this.#lastDecoding();
      const to = this.#occupants.indexOf(null);
      const sequence = this.#occupants[from] ?? null;
      if (to < 0 || to > from || sequence === null) return moves;
      moves.push({ from, to, tokens: sequence.computed });
      this.moveCount++;
      this.#occupants[to] = sequence;
      this.#occupants[from] = null;
      sequence.slot = to;
    }
  }

  #batch(): BatchRow[] {
    const last = this.#lastDecoding();
    return this.#occupants.slice(0, last + 1).map((sequence) => {
      if (sequence === null) return { sequence: null, past: 0, id: 0 };
      const past = sequence.computed;
      if (!decodes(sequence)) return { sequence: null, past, id: 0 };
      return { sequence, past, id: sequence.ids[past] ?? 0 };
    });
  }

  #chunk(): Chunk | null {
    for (const sequence of this.#sequences.values()) {
      const { slot, computed: past } = sequence;
      if (slot === null || sequence.awaitsImport || behind(sequence) < 2) continue;
      const count = Math.min(this.#chunkTokens, behind(sequence));
      return { sequence, slot, past, count, isLast: count === behind(sequence) };
    }
    return null;
  }

  /** The highest slot whose sequence is one token behind; −1 when none is. */
  #lastDecoding(): number {
    return this.#occupants.findLastIndex((sequence) => sequence !== null && decodes(sequence));
  }
}

function decodes(sequence: Sequence): boolean {
  return !sequence.awaitsImport && behind(sequence) === 1;
}
