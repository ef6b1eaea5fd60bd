// Decides each step; pure. Slots and KV memory are given by turn (engine/waiting.ts), everybody who
// decodes gets a token at every step, and prompts get what is left of the step's token budget.
//
//   slot   0     1     2     3     4
//        [dec] [dec] [pre] [dec]   ·      batch = slots 0‥3, slot 2 rides along
//
// The decode batch is the run of slots from 0 to the last one that decodes (one tensor). When a
// sequence ends, the last decoding one moves into the hole: one copy, so the run stays compact.
//
// Memory: `tokensMax` positions of KV may be in use. A sequence is admitted when its tokens and some
// growth fit beside everybody's; when growth was underestimated the youngest lose their slots and wait
// again. They are `ids.length` tokens behind then and are computed anew: nothing else is lost.
//
// One that is paused (its client reads too slowly) keeps its slot as a passenger, but only until somebody
// else waits for the slot or the memory. It then waits without asking for either; when it goes on, its
// turn is still that of its arrival, so it is among the first to be served.

import { limit } from '../protocol/limit.ts';
import { assert } from '../std/fault.ts';
import type { BatchRow, Chunk, Move, StepPlan } from './plan.ts';
import { behind, generatedCount, rowCount, type Sequence, scores } from './sequence.ts';
import { TurnList } from './waiting.ts';

/** What happens to a slot's content when it changes hands. */
export type SlotKeeper = {
  /** The sequence has got its slot. Returns how many of its tokens are known and now in there. */
  occupy(sequence: Sequence): number;
  /** The sequence is about to lose its slot, its first `computed` tokens with it. */
  vacate(sequence: Sequence): void;
};

export type SchedulerOptions = {
  readonly slots: number;
  /** Positions of KV in use at most, over all slots. */
  readonly tokensMax: number;
  /** Tokens of one step, decode rows and prompt chunks together. */
  readonly stepTokens: number;
  readonly queueCountMax: number;
  readonly keeper: SlotKeeper;
};

export class Scheduler {
  readonly slots: number;
  readonly tokensMax: number;
  /** Slot moves so far. */
  moveCount = 0;
  preemptionCount = 0;
  readonly #options: SchedulerOptions;
  readonly #occupants: (Sequence | null)[];
  readonly #known = new Map<string, Sequence>();
  readonly #waiting = new TurnList();
  readonly #running = new TurnList();

  constructor(options: SchedulerOptions) {
    assert(options.slots >= 1 && options.stepTokens >= 1, 'a scheduler needs room');
    this.#options = options;
    this.slots = options.slots;
    this.tokensMax = options.tokensMax;
    this.#occupants = new Array<Sequence | null>(options.slots).fill(null);
  }

  get runningCount(): number {
    return this.#running.count;
  }

  get waitingCount(): number {
    return this.#waiting.count;
  }

  find(requestId: string): Sequence | undefined {
    return this.#known.get(requestId);
  }

  /** Those that have a slot, in order of their turn. */
  running(): Sequence[] {
    return [...this.#running];
  }

  isFree(slot: number): boolean {
    return this.#occupants[slot] === null;
  }

  /** Prompt tokens not computed yet, with and without a slot. */
  pendingTokens(): number {
    let sum = 0;
    for (const sequence of this.#known.values()) {
      const rests = sequence.awaitsImport || sequence.isPaused;
      if (!decodes(sequence) && !rests) sum += behind(sequence);
    }
    return sum;
  }

  /** Those whose clients read too slowly, with and without a slot. */
  pausedCount(): number {
    let count = 0;
    for (const { isPaused } of this.#known.values()) if (isPaused) count++;
    return count;
  }

  decodingCount(): number {
    return this.#occupants.filter((sequence) => sequence !== null && decodes(sequence)).length;
  }

  /** Positions that running sequences have or will soon want. */
  committedTokens(): number {
    let sum = 0;
    for (const sequence of this.#running) sum += wanted(sequence);
    return sum;
  }

  /** False when the queue is full. */
  add(sequence: Sequence): boolean {
    if (this.#known.size >= this.#options.queueCountMax) return false;
    assert(!this.#known.has(sequence.requestId), `request ${sequence.requestId} twice`);
    this.#known.set(sequence.requestId, sequence);
    this.#waiting.add(sequence);
    return true;
  }

  remove(sequence: Sequence): void {
    if (!this.#known.delete(sequence.requestId)) return;
    this.#waiting.delete(sequence);
    this.#leaveSlot(sequence);
  }

  /** What to do next; null when there is nothing. Slots change hands as planned here. */
  schedule(): StepPlan | null {
    const preempted = this.#makeRoom();
    const admitted = this.#admit(preempted);
    const moves = this.#compact();
    const batch = this.#batch();
    const chunks = this.#chunks(batch);
    const work = preempted.length + admitted.length + moves.length + batch.length + chunks.length;
    return work === 0 ? null : { preempted, admitted, moves, batch, chunks };
  }

  /** The plan was carried out: its tokens are in the slots. */
  complete(plan: StepPlan): void {
    for (const { sequence } of plan.batch) if (sequence !== null) sequence.computed++;
    for (const { sequence, count } of plan.chunks) sequence.computed += count;
  }

  /** Takes slots back, from the paused, then youngest first, until what runs fits with one more token each. */
  #makeRoom(): Sequence[] {
    const preempted: Sequence[] = [];
    let used = 0;
    for (const sequence of this.#running) used += rowCount(sequence);
    if (used <= this.tokensMax) return preempted;
    for (const sequence of this.#leavingOrder()) {
      // One that waits for KV does not grow, and taking its slot would waste the transfer.
      if (used <= this.tokensMax || this.#running.count === 1) break;
      if (sequence.awaitsImport) continue;
      used -= sequence.ids.length;
      this.#preempt(sequence);
      preempted.push(sequence);
    }
    return preempted;
  }

  #leavingOrder(): Sequence[] {
    const all = this.#running.youngestFirst();
    return [...all.filter(isIdle), ...all.filter((sequence) => !isIdle(sequence))];
  }

  #preempt(sequence: Sequence): void {
    this.#options.keeper.vacate(sequence);
    this.#leaveSlot(sequence);
    sequence.computed = 0;
    this.#waiting.add(sequence);
    this.preemptionCount++;
  }

  /** Room for `sequence` at the cost of those who are paused; null: not even all of theirs would do. */
  #roomFor(sequence: Sequence): Sequence[] | null {
    const idle = this.#running.youngestFirst().filter(isIdle);
    const leaving: Sequence[] = [];
    let committed = this.committedTokens() + wanted(sequence);
    let slots = this.slots - this.#running.count;
    for (;;) {
      const isAlone = this.#running.count === leaving.length;
      if (slots > 0 && (isAlone || committed <= this.tokensMax)) return leaving;
      const next = idle.shift();
      if (next === undefined) return null;
      committed -= wanted(next);
      slots++;
      leaving.push(next);
    }
  }

  /** @param preempted gets those who had to go for it. */
  #admit(preempted: Sequence[]): Sequence[] {
    const admitted: Sequence[] = [];
    for (;;) {
      // Nobody overtakes the one whose turn it is: else a large one would wait for ever.
      const sequence = this.#waiting.first;
      const leaving = sequence === undefined ? null : this.#roomFor(sequence);
      if (sequence === undefined || leaving === null) return admitted;
      for (const other of leaving) this.#preempt(other);
      preempted.push(...leaving);
      const slot = this.#occupants.indexOf(null);
      this.#waiting.delete(sequence);
      this.#running.add(sequence);
      this.#occupants[slot] = sequence;
      sequence.slot = slot;
      sequence.computed = this.#options.keeper.occupy(sequence);
      admitted.push(sequence);
    }
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

  #chunks(batch: readonly BatchRow[]): Chunk[] {
    const chunks: Chunk[] = [];
    const rows = batch.filter((row) => row.sequence !== null).length;
    // However large the batch, prompts get on: else a full worker would never take anyone new.
    const { stepTokens } = this.#options;
    let budget = Math.max(stepTokens - rows, Math.min(limit.chunkTokensMin, stepTokens));
    for (const sequence of this.#running) {
      const { slot, computed: past } = sequence;
      if (budget <= 0 || chunks.length >= limit.stepChunkMax) break;
      const rests = sequence.awaitsImport || sequence.isPaused;
      if (slot === null || rests || behind(sequence) < 2) continue;
      const room = scores(sequence) ? Math.min(budget, limit.scoreTokens) : budget;
      const count = Math.min(room, behind(sequence));
      chunks.push({ sequence, slot, past, count, isLast: count === behind(sequence) });
      budget -= count;
    }
    return chunks.sort((a, b) => a.slot - b.slot);
  }

  #leaveSlot(sequence: Sequence): void {
    if (sequence.slot === null) return;
    this.#running.delete(sequence);
    this.#occupants[sequence.slot] = null;
    sequence.slot = null;
  }

  /** The highest slot whose sequence is one token behind; −1 when none is. */
  #lastDecoding(): number {
    return this.#occupants.findLastIndex((sequence) => sequence !== null && decodes(sequence));
  }
}

function decodes(sequence: Sequence): boolean {
  const { awaitsImport, awaitsMask, isPaused } = sequence;
  return !awaitsImport && !awaitsMask && !isPaused && behind(sequence) === 1;
}

/** Its slot is of no use to it for now. */
function isIdle({ isPaused, awaitsImport }: Sequence): boolean {
  return isPaused && !awaitsImport;
}

/** Its tokens, and the growth it will want soon: as far as it may go, at most a fixed number. */
function wanted(sequence: Sequence): number {
  if (sequence.kind === 'prefill') return sequence.ids.length;
  const left = sequence.sampling.maxTokens - generatedCount(sequence);
  return sequence.ids.length + Math.max(0, Math.min(left, limit.growthTokens));
}
