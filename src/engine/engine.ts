// The engine of a worker: takes commands between steps, plans, runs, samples, tells. One class for
// every role: what a context, a generate and a baseline worker do differs only by the commands they
// get. Synchronous; engine/loop.ts turns the crank.

import type { Guide } from '../grammar/guide.ts';
import type { EngineCommand, Load, StepTiming } from '../protocol/engine.ts';
import { limit } from '../protocol/limit.ts';
import type { FinishReason, TokenLogprobs } from '../protocol/request.ts';
import { assert, Fault, toFault, unreachable } from '../std/fault.ts';
import { type ChunkResult, Compute } from './compute.ts';
import { allowedNext, askNext, openGuide } from './constraint.ts';
import { Imports } from './imports.ts';
import type { EngineParts } from './parts.ts';
import { SafeExport } from './safe-export.ts';
import { Scheduler } from './scheduler.ts';
import {
  appendToken,
  type Chosen,
  createSequence,
  generatedCount,
  isUntouched,
  largestId,
  type Sequence,
  scores,
} from './sequence.ts';
import { MemoryUse } from './slot-memory.ts';

export class Engine {
  readonly scheduler: Scheduler;
  readonly #parts: EngineParts;
  readonly #compute: Compute;
  readonly #memory: MemoryUse;
  readonly #export: SafeExport | null;
  /** Said with the request's next tokens. */
  readonly #timings = new Map<string, StepTiming>();
  readonly #imports: Imports;

  constructor(parts: EngineParts) {
    const { tokensMax } = parts.scheduler;
    // Then whoever is alone fits, and memory in use can be held below the limit always.
    assert(tokensMax >= parts.maxModelLen, `KV for ${tokensMax} of ${parts.maxModelLen} tokens`);
    this.#parts = parts;
    this.#export = parts.kvExport === null ? null : new SafeExport(parts.kvExport);
    this.scheduler = new Scheduler({
      ...parts.scheduler,
      keeper: {
        occupy: (sequence) => this.#restore(sequence),
        vacate: (sequence) => this.#keep(sequence),
      },
    });
    this.#memory = new MemoryUse(parts.memory, this.scheduler);
    this.#imports = new Imports({
      parts,
      scheduler: this.scheduler,
      memory: this.#memory,
      restore: (sequence) => this.#restore(sequence),
      fail: (sequence, fault) => this.#fail(sequence, fault),
      note: (requestId, timing) => this.#timings.set(requestId, timing),
    });
    this.#compute = new Compute({
      runner: parts.runner,
      slots: parts.scheduler.slots,
      eosIds: parts.eosIds,
      onFault: (sequence, fault) => this.#fail(sequence, fault),
    });
  }

  submit(command: EngineCommand): void {
    switch (command.type) {
      case 'generate':
        return this.#accept(command, 'generate', command.source === 'handover');
      case 'prefill':
        return this.#accept(command, 'prefill', false);
      case 'import':
        return this.#imports.import(command);
      case 'block':
        return this.#imports.block(command.requestId, command.frame);
      case 'release':
        return this.#export?.release(command.requestId);
      case 'abort':
        return this.#cancel(command.requestId);
      case 'pause':
        return this.#pause(command.requestId, command.isPaused);
      default:
        return unreachable(command);
    }
  }

  /** One step; false when there was nothing to do. */
  step(): boolean {
    this.#takeMasks();
    const plan = this.scheduler.schedule();
    if (plan === null) return false;
    const nowMs = this.#parts.clock.nowMs();
    this.#welcome(plan.admitted, nowMs);
    for (const move of plan.moves) this.#parts.memory.move(move.from, move.to, move.tokens);
    for (const { sequence } of plan.chunks) sequence.startedMs ??= nowMs;
    for (const { sequence } of plan.batch) if (sequence !== null) sequence.startedMs ??= nowMs;
    const groups = this.#memory.noteStep(plan, this.#parts.scheduler.stepTokens);
    const decoded = this.#compute.decode(plan.batch);
    const chunked = this.#compute.prefill(groups);
    this.scheduler.complete(plan);
    for (const sequence of this.#compute.takeLate()) {
      sequence.computed--;
      sequence.awaitsMask = true;
    }
    for (const [sequence, token] of decoded) this.#advance(sequence, token);
    for (const [sequence, result] of chunked) this.#finishChunk(sequence, result);
    return true;
  }

  /** Who sat out for want of a mask joins again, or has ended. */
  #takeMasks(): void {
    for (const sequence of this.scheduler.running()) {
      if (!sequence.awaitsMask) continue;
      try {
        const next = allowedNext(sequence, this.#parts.eosIds);
        if (next === 'late') continue;
        sequence.awaitsMask = false;
        if (typeof next === 'string') this.#advance(sequence, next);
      } catch (thrown) {
        this.#fail(sequence, toFault(thrown, 'engine'));
      }
    }
  }

  /** Tells who has room now, at once: the gateway waits for it, and the step can be long. */
  #welcome(admitted: readonly Sequence[], nowMs: number): void {
    for (const sequence of admitted) {
      if (sequence.admittedMs !== null) continue; // back after a preemption: long since admitted
      sequence.admittedMs = nowMs;
      sequence.cachedTokens = sequence.computed;
      const waitedMs = nowMs - sequence.arrivedMs;
      const { requestId, computed: heldTokens } = sequence;
      this.#parts.emit({ type: 'admitted', requestId, waitedMs, heldTokens });
    }
    if (admitted.length > 0) this.#parts.flush();
  }

  /** Gives up reservations whose KV never came: the gateway or the context worker may be dead. */
  sweep(): void {
    const { clock } = this.#parts;
    const lateMs = clock.nowMs() - limit.reserveMs;
    for (const sequence of this.scheduler.running()) {
      if (!sequence.awaitsImport || (sequence.admittedMs ?? lateMs) >= lateMs) continue;
      const text = `no KV came for ${sequence.requestId} within ${limit.reserveMs} ms`;
      this.#fail(sequence, new Fault('timeout', text));
    }
    this.#export?.sweep();
  }

  /** How often KV had to be computed again, by reason. */
  recomputes(): Readonly<Record<'preemption' | 'transfer', number>> {
    const { preemptionCount } = this.scheduler;
    return { preemption: preemptionCount, transfer: this.#imports.recomputeCount };
  }

  load(): Load {
    const { scheduler } = this;
    const running = scheduler.runningCount;
    return {
      running,
      waiting: scheduler.waitingCount,
      slots: scheduler.slots,
      freeTokens: Math.max(0, scheduler.tokensMax - scheduler.committedTokens()),
      pendingTokens: scheduler.pendingTokens(),
      decoding: scheduler.decodingCount(),
      paused: scheduler.pausedCount(),
      prefixKeys: [],
    };
  }

  #accept(
    command: Extract<EngineCommand, { type: 'generate' | 'prefill' }>,
    kind: 'generate' | 'prefill',
    awaitsImport: boolean,
  ): void {
    const { clock, emit, maxModelLen } = this.#parts;
    const { requestId, promptIds, emittedIds = [], sampling } = command;
    const refuse = (code: string, message: string): void =>
      emit({ type: 'refused', requestId, code, message });
    const wanted = promptIds.length + sampling.maxTokens;
    if (wanted > maxModelLen) {
      return refuse(
        'context_length',
        `prompt of ${promptIds.length} tokens and ${sampling.maxTokens} to generate do not fit this worker's limit of ${maxModelLen}`,
      );
    }
    // What ends such an answer, its grammar or its length, may not be told yet.
    const mayHaveEnded = sampling.grammar !== null && emittedIds.length === sampling.maxTokens;
    if (emittedIds.length >= sampling.maxTokens && !mayHaveEnded) {
      return refuse(
        'invalid_request',
        `${emittedIds.length} tokens are out, of ${sampling.maxTokens} to generate: nothing is left`,
      );
    }
    const top = largestId([...promptIds, ...emittedIds], sampling);
    if (top >= this.#parts.runner.vocabSize) {
      return refuse('invalid_request', `token id ${top} is outside the model's vocabulary`);
    }
    if (kind === 'prefill' && this.#parts.kvExport === null) {
      return refuse(
        'invalid_request',
        'this worker does not hand KV over; it is no context worker',
      );
    }
    if (kind === 'prefill' && sampling.promptLogprobs !== null && emittedIds.length === 0) {
      return refuse('invalid_request', 'logprobs of a prompt are not handed over');
    }
    if (this.scheduler.find(requestId) !== undefined) {
      return refuse('invalid_request', `request ${requestId} is already here`);
    }
    const ignoreEos = sampling.ignoreEos ?? this.#parts.ignoreEos;
    let guide: Guide | null;
    try {
      guide = openGuide(sampling.grammar, this.#parts.grammars);
    } catch (thrown) {
      const { code, message } = toFault(thrown, 'engine');
      return refuse(code, message);
    }
    const sequence = createSequence(
      { ...command, sampling: { ...sampling, ignoreEos } },
      { kind, awaitsImport, nowMs: clock.nowMs(), guide },
    );
    if (command.type === 'prefill') sequence.kvPath = command.kvPath;
    if (!this.scheduler.add(sequence)) {
      guide?.close();
      return refuse('overloaded', 'this worker already has all it may queue');
    }
    if (!awaitsImport) askNext(sequence);
  }

  /** A prefill hands over and is gone: it need not rest. */
  #pause(requestId: string, isPaused: boolean): void {
    const sequence = this.scheduler.find(requestId);
    if (sequence?.kind === 'generate') sequence.isPaused = isPaused;
  }

  /** From outside: often a stop string that the gateway has found, and then the talk goes on. */
  #cancel(requestId: string): void {
    const sequence = this.scheduler.find(requestId);
    if (sequence?.kind === 'generate') this.#keep(sequence);
    this.#abort(requestId);
  }

  #abort(requestId: string): void {
    const sequence = this.scheduler.find(requestId);
    if (sequence !== undefined) this.#remove(sequence);
    this.#timings.delete(requestId);
    this.#export?.release(requestId);
  }

  #finishChunk(sequence: Sequence, { token, scores }: ChunkResult): void {
    if (scores.length > 0 && sequence.slot !== null) this.#tellScores(sequence, scores);
    if (sequence.kind === 'generate') {
      if (token !== null) this.#advance(sequence, token);
      return;
    }
    if (token === null) return this.#exportRows(sequence);
    this.#endPrefill(sequence, token);
  }

  /** One more token for a sequence that decodes (or has just finished its own prefill). */
  #advance(sequence: Sequence, token: Chosen): void {
    if (sequence.slot === null) return; // failed in this very step
    if (sequence.kind === 'prefill') return this.#endPrefill(sequence, token);
    const first = generatedCount(sequence);
    // Before its first token is told: those who follow it may ask for the KV right then.
    if (sequence.shared && isUntouched(sequence)) this.#keep(sequence);
    const finish = appendToken(sequence, token, this.#parts.eosIds);
    this.#tell(sequence, first, finish);
    if (finish === null) return;
    this.#keep(sequence);
    this.#remove(sequence);
  }

  #remove(sequence: Sequence): void {
    this.scheduler.remove(sequence);
    sequence.guide?.close();
  }

  /** First token out at once, then the rest of the KV, then the ticket. */
  #endPrefill(sequence: Sequence, token: Chosen): void {
    const { requestId } = sequence;
    const { emit, flush } = this.#parts;
    const first = generatedCount(sequence);
    const finish = appendToken(sequence, token, this.#parts.eosIds);
    if (sequence.shared) this.#exportRows(sequence);
    this.#tell(sequence, first, finish);
    if (finish !== null || typeof token === 'string') {
      this.#export?.release(requestId);
    } else {
      flush();
      this.#exportRows(sequence);
      // An upload needs the blocks until it is done; on this host the reader is as good as there.
      const leaseMs = sequence.kvPath === 'object' ? limit.objectTransferMs : limit.leaseMs;
      const offer = this.#export?.offer(requestId, leaseMs) ?? { ticket: null };
      emit({ type: 'prefilled', requestId, firstToken: token, ...offer });
    }
    this.#remove(sequence);
  }

  /** Stages the KV of what was given, as far as it is computed. */
  #exportRows(sequence: Sequence): void {
    const { requestId, salt, slot, computed } = sequence;
    if (slot === null) return;
    const ids = sequence.ids.slice(0, sequence.givenLength);
    const blocks = this.#export?.append({ requestId, ids, salt, slot, computed }) ?? [];
    if (sequence.kvPath === 'shm' || blocks.length === 0) return;
    this.#parts.emit({ type: 'staged', requestId, blocks });
    this.#parts.flush();
  }

  /** Known KV behind what is in the sequence's slot; returns how many tokens are there then. */
  #restore(sequence: Sequence): number {
    const { kvCache } = this.#parts;
    const { ids, salt, slot, computed: from } = sequence;
    // Logprobs of prompt tokens come of computing them.
    if (kvCache === null || slot === null || scores(sequence)) return from;
    this.#memory.note(slot, ids.length - 1);
    return kvCache.restore({ ids, salt, slot, from });
  }

  /** Leaves the sequence's KV to whoever comes next with the same beginning: itself, perhaps. */
  #keep(sequence: Sequence): void {
    const { ids, salt, slot, computed } = sequence;
    if (slot !== null) this.#parts.kvCache?.keep({ ids, salt, slot, computed });
  }

  /** Logprobs of the prompt tokens up to where the chunk has come; told once, whatever is recomputed. */
  #tellScores(sequence: Sequence, scores: readonly TokenLogprobs[]): void {
    const from = sequence.scoredCount + 1;
    sequence.scoredCount += scores.length;
    const { requestId } = sequence;
    const list = [...scores];
    this.#parts.emit({
      type: 'tokens',
      requestId,
      first: 0,
      ids: [],
      scores: { from, list },
      finish: null,
    });
  }

  #tell(sequence: Sequence, first: number, finish: FinishReason | null): void {
    const { requestId } = sequence;
    const timing = this.#takeTiming(sequence, first);
    const ids = sequence.ids.slice(sequence.promptLength + first);
    const { logprobs, stopToken } = sequence;
    this.#parts.emit({
      type: 'tokens',
      requestId,
      first,
      ids,
      ...(logprobs === null || ids.length === 0 ? {} : { logprobs: [logprobs] }),
      finish,
      ...(stopToken === null ? {} : { stopToken }),
      ...(timing === undefined ? {} : { timing }),
    });
  }

  #takeTiming(sequence: Sequence, first: number): StepTiming | undefined {
    const { requestId, arrivedMs } = sequence;
    const imported = this.#timings.get(requestId);
    this.#timings.delete(requestId);
    if (sequence.promptLength + first > sequence.givenLength) return imported;
    const startedMs = sequence.startedMs ?? arrivedMs;
    const prefillMs = this.#parts.clock.nowMs() - startedMs;
    const { cachedTokens } = sequence;
    return { queueMs: startedMs - arrivedMs, prefillMs, cachedTokens, ...imported };
  }

  #fail(sequence: Sequence, fault: Fault): void {
    const { requestId } = sequence;
    this.#abort(requestId);
    this.#parts.emit({
      type: 'tokens',
      requestId,
      first: generatedCount(sequence),
      ids: [],
      finish: null,
      fault: { code: fault.code, message: fault.message },
    });
  }
}
