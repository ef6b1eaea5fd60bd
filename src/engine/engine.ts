// The engine of a worker: takes commands between steps, plans, runs, samples, tells. One class for
// every role: what a context, a generate and a baseline worker do differs only by the commands they
// get. Synchronous; engine/loop.ts turns the crank.

import type { KvExport, KvImport } from '../kv/transfer.ts';
import type { EngineCommand, EngineEvent, Load, StepTiming } from '../protocol/engine.ts';
import { limit } from '../protocol/limit.ts';
import type { FinishReason } from '../protocol/request.ts';
import type { Ticket } from '../protocol/ticket.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, toFault, unreachable } from '../std/fault.ts';
import type { StepPlan } from './plan.ts';
import type { Runner } from './runner.ts';
import { sampleToken } from './sampler.ts';
import type { Scheduler } from './scheduler.ts';
import {
  appendToken,
  bannedIds,
  createSequence,
  generatedCount,
  type Sequence,
} from './sequence.ts';

export type EngineParts = {
  readonly scheduler: Scheduler;
  readonly runner: Runner;
  /** Copies the first `tokens` positions between slots. */
  readonly moveSlot: (from: number, to: number, tokens: number) => void;
  readonly kvExport: KvExport | null;
  readonly kvImport: KvImport | null;
  readonly clock: Clock;
  readonly eosIds: readonly number[];
  /** For requests that do not say (`--ignore-eos`). */
  readonly ignoreEos: boolean;
  /** Prompt + completion, tokens. */
  readonly maxModelLen: number;
  /** Events of a step; called in order, delivered by the caller when it likes … */
  readonly emit: (event: EngineEvent) => void;
  /** … but no later than this call returns. */
  readonly flush: () => void;
};

export class Engine {
  readonly #parts: EngineParts;
  readonly #ids: Int32Array;
  readonly #pasts: Int32Array;
  /** Said with the request's next tokens. */
  readonly #timings = new Map<string, StepTiming>();

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#ids = new Int32Array(parts.scheduler.slots);
    this.#pasts = new Int32Array(parts.scheduler.slots);
  }

  submit(command: EngineCommand): void {
    switch (command.type) {
      case 'generate':
        return this.#accept(command, 'generate', command.source === 'handover');
      case 'prefill':
        return this.#accept(command, 'prefill', false);
      case 'import':
        return this.#import(command.requestId, command.firstToken, command.ticket);
      case 'release':
        return this.#parts.kvExport?.release(command.requestId);
      case 'abort':
        return this.#abort(command.requestId);
      default:
        return unreachable(command);
    }
  }

  /** One step; false when there was nothing to do. */
  step(): boolean {
    const plan = this.#parts.scheduler.schedule();
    if (plan === null) return false;
    const nowMs = this.#parts.clock.nowMs();
    for (const sequence of plan.admitted) {
      sequence.admittedMs = nowMs;
      this.#parts.emit({ type: 'admitted', requestId: sequence.requestId });
    }
    if (plan.admitted.length > 0) this.#parts.flush(); // the gateway waits for it, the chunk can be long
    for (const move of plan.moves) this.#parts.moveSlot(move.from, move.to, move.tokens);
    if (plan.chunk !== null) plan.chunk.sequence.startedMs ??= nowMs;
    for (const { sequence } of plan.batch) if (sequence !== null) sequence.startedMs ??= nowMs;
    const decoded = this.#runBatch(plan);
    const chunked = this.#runChunk(plan);
    this.#parts.scheduler.complete(plan);
    for (const [sequence, token] of decoded) this.#advance(sequence, token);
    if (plan.chunk !== null && chunked !== 'failed')
      this.#finishChunk(plan.chunk.sequence, chunked);
    return true;
  }

  /** Gives up reservations whose KV never came: the gateway or the context worker may be dead. */
  sweep(): void {
    const { scheduler, clock, kvExport } = this.#parts;
    const lateMs = clock.nowMs() - limit.reserveMs;
    for (const sequence of scheduler.running()) {
      if (!sequence.awaitsImport || (sequence.admittedMs ?? lateMs) >= lateMs) continue;
      const text = `no KV came for ${sequence.requestId} within ${limit.reserveMs} ms`;
      this.#fail(sequence, new Fault('timeout', text));
    }
    kvExport?.sweep();
  }

  load(): Load {
    const { scheduler, maxModelLen } = this.#parts;
    const running = scheduler.runningCount;
    return {
      running,
      waiting: scheduler.waitingCount,
      slots: scheduler.slots,
      freeTokens: Math.max(0, scheduler.slots - running) * maxModelLen,
      pendingTokens: scheduler.pendingTokens(),
      decoding: scheduler.decodingCount(),
      prefixKeys: [],
    };
  }

  #accept(
    command: Extract<EngineCommand, { type: 'generate' | 'prefill' }>,
    kind: 'generate' | 'prefill',
    awaitsImport: boolean,
  ): void {
    const { scheduler, clock, emit, maxModelLen } = this.#parts;
    const { requestId, promptIds, sampling } = command;
    const refuse = (code: string, message: string): void =>
      emit({ type: 'refused', requestId, code, message });
    const wanted = promptIds.length + sampling.maxTokens;
    if (wanted > maxModelLen) {
      return refuse(
        'context_length',
        `prompt of ${promptIds.length} tokens and ${sampling.maxTokens} to generate do not fit this worker's limit of ${maxModelLen}`,
      );
    }
    const top = promptIds.reduce((a, b) => Math.max(a, b), 0);
    if (top >= this.#parts.runner.vocabSize) {
      return refuse('invalid_request', `token id ${top} is outside the model's vocabulary`);
    }
    if (kind === 'prefill' && this.#parts.kvExport === null) {
      return refuse(
        'invalid_request',
        'this worker does not hand KV over; it is no context worker',
      );
    }
    if (scheduler.find(requestId) !== undefined) {
      return refuse('invalid_request', `request ${requestId} is already here`);
    }
    const ignoreEos = sampling.ignoreEos ?? this.#parts.ignoreEos;
    const sequence = createSequence(
      { requestId, promptIds, sampling: { ...sampling, ignoreEos } },
      { kind, awaitsImport, nowMs: clock.nowMs() },
    );
    if (!scheduler.add(sequence)) refuse('overloaded', 'this worker already has all it may queue');
  }

  #abort(requestId: string): void {
    const sequence = this.#parts.scheduler.find(requestId);
    if (sequence !== undefined) this.#parts.scheduler.remove(sequence);
    this.#timings.delete(requestId);
    this.#parts.kvExport?.release(requestId);
  }

  #import(requestId: string, firstToken: number, ticket: Ticket | null): void {
    const { scheduler, kvImport, clock, emit } = this.#parts;
    const refuse = (code: string, message: string): void =>
      emit({ type: 'imported', requestId, refusal: { v: 1, ok: false, code, message } });
    const sequence = scheduler.find(requestId);
    if (sequence?.slot == null || !sequence.awaitsImport) {
      return refuse('cancelled', `request ${requestId} does not wait for KV here`);
    }
    if (firstToken >= this.#parts.runner.vocabSize) {
      // Fed to the model it would fail the whole batch.
      const fault = new Fault(
        'mismatch',
        `first token ${firstToken} of the hand-over is outside this model's vocabulary; start both workers with the same model`,
      );
      refuse(fault.code, fault.message);
      return this.#fail(sequence, fault);
    }
    const startMs = clock.nowMs();
    const prompt = sequence.ids.slice();
    sequence.ids.push(firstToken);
    sequence.awaitsImport = false;
    if (ticket === null || kvImport === null) {
      this.#timings.set(requestId, { kvPath: 'none', kvBytes: 0 });
      // Without a ticket this is what was asked for: whoever asked must not take it for a failure.
      if (ticket === null) return emit({ type: 'imported', requestId, refusal: null });
      return refuse('transfer', 'this worker cannot copy KV in; the prompt is prefilled here');
    }
    try {
      const kvBytes = kvImport.fetch({ ticket, ids: prompt, slot: sequence.slot });
      sequence.computed = prompt.length;
      sequence.startedMs = startMs;
      this.#timings.set(requestId, {
        kvPath: 'shm',
        kvBytes,
        transferMs: ticket.exportMs + clock.nowMs() - startMs,
      });
      emit({ type: 'imported', requestId, refusal: null });
    } catch (thrown) {
      const fault = toFault(thrown, 'transfer');
      refuse(fault.code, fault.message);
      // Damaged or vanished KV costs a local prefill; KV of another model means a wrong pairing.
      if (fault.code === 'mismatch') this.#fail(sequence, fault);
      else this.#timings.set(requestId, { kvPath: 'none', kvBytes: 0 });
    }
  }

  #runBatch(plan: StepPlan): [Sequence, number][] {
    const { runner } = this.#parts;
    const { batch } = plan;
    if (batch.length === 0) return [];
    batch.forEach((row, slot) => {
      this.#ids[slot] = row.id;
      this.#pasts[slot] = row.past;
    });
    try {
      const logits = runner.decode({ count: batch.length, ids: this.#ids, pasts: this.#pasts });
      const tokens: [Sequence, number][] = [];
      batch.forEach(({ sequence }, slot) => {
        if (sequence === null) return;
        const begin = slot * runner.vocabSize;
        tokens.push([sequence, this.#sample(sequence, logits, begin)]);
      });
      return tokens;
    } catch (thrown) {
      const fault = toFault(thrown, 'engine');
      for (const { sequence } of batch) if (sequence !== null) this.#fail(sequence, fault);
      return [];
    }
  }

  /** The token that the chunk's logits choose; null when the prompt goes on after it. */
  #runChunk(plan: StepPlan): number | null | 'failed' {
    const { chunk } = plan;
    if (chunk === null) return null;
    const { sequence, slot, past, count, isLast } = chunk;
    try {
      const ids = sequence.ids.slice(past, past + count);
      const logits = this.#parts.runner.prefill({ slot, past, ids });
      return isLast ? this.#sample(sequence, logits, 0) : null;
    } catch (thrown) {
      this.#fail(sequence, toFault(thrown, 'engine'));
      return 'failed';
    }
  }

  #sample(sequence: Sequence, logits: Float32Array, begin: number): number {
    const row = { logits, begin, end: begin + this.#parts.runner.vocabSize };
    const banned = bannedIds(sequence, this.#parts.eosIds);
    return sampleToken(row, sequence.sampling, sequence.ids.length, banned);
  }

  #finishChunk(sequence: Sequence, token: number | null): void {
    if (sequence.kind === 'generate') {
      if (token !== null) this.#advance(sequence, token);
      return;
    }
    if (token === null) return this.#exportRows(sequence);
    this.#endPrefill(sequence, token);
  }

  /** One more token for a sequence that decodes (or has just finished its own prefill). */
  #advance(sequence: Sequence, token: number): void {
    if (sequence.slot === null) return; // failed in this very step
    if (sequence.kind === 'prefill') return this.#endPrefill(sequence, token);
    const first = generatedCount(sequence);
    const finish = appendToken(sequence, token, this.#parts.eosIds);
    this.#tell(sequence, first, finish);
    if (finish !== null) this.#parts.scheduler.remove(sequence);
  }

  /** First token out at once, then the rest of the KV, then the ticket. */
  #endPrefill(sequence: Sequence, token: number): void {
    const { requestId } = sequence;
    const { scheduler, kvExport, emit, flush } = this.#parts;
    const finish = appendToken(sequence, token, this.#parts.eosIds);
    this.#tell(sequence, 0, finish);
    if (finish !== null) {
      kvExport?.release(requestId);
    } else {
      flush();
      this.#exportRows(sequence);
      emit({
        type: 'prefilled',
        requestId,
        firstToken: token,
        ticket: kvExport?.offer(requestId) ?? null,
      });
    }
    scheduler.remove(sequence);
  }

  #exportRows(sequence: Sequence): void {
    const { requestId, slot, computed } = sequence;
    if (slot === null) return;
    const ids = sequence.ids.slice(0, sequence.promptLength);
    this.#parts.kvExport?.append({ requestId, ids, slot, computed });
  }

  #tell(sequence: Sequence, first: number, finish: FinishReason | null): void {
    const { requestId } = sequence;
    const timing = this.#takeTiming(sequence, first);
    this.#parts.emit({
      type: 'tokens',
      requestId,
      first,
      ids: sequence.ids.slice(sequence.promptLength + first),
      finish,
      ...(timing === undefined ? {} : { timing }),
    });
  }

  #takeTiming(sequence: Sequence, first: number): StepTiming | undefined {
    const { requestId, arrivedMs } = sequence;
    const imported = this.#timings.get(requestId);
    this.#timings.delete(requestId);
    if (first > 0) return imported;
    const startedMs = sequence.startedMs ?? arrivedMs;
    const prefillMs = this.#parts.clock.nowMs() - startedMs;
    return { queueMs: startedMs - arrivedMs, prefillMs, cachedTokens: 0, ...imported };
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
