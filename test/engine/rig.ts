// An engine on a fake runner with a clock that stands still, and its events sorted by request.

import { Engine } from '../../src/engine/engine.ts';
import type { Scheduler } from '../../src/engine/scheduler.ts';
import type { Grammars } from '../../src/grammar/guide.ts';
import type { KvCache, KvExport, KvImport } from '../../src/kv/transfer.ts';
import type { EngineEvent } from '../../src/protocol/engine.ts';
import { type FinishReason, neutralSampling, type Sampling } from '../../src/protocol/request.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { FakeRunner } from './fake-runner.ts';

export const eosIds = [0, 1];
export const vocabSize = 61;
export const maxModelLen = 96;

export const greedy: Sampling = {
  ...neutralSampling,
  temperature: 0,
  seed: 0,
  maxTokens: 8,
  ignoreEos: false,
};

type Events<T extends EngineEvent['type']> = Extract<EngineEvent, { type: T }>[];

export class Rig {
  readonly clock = new ManualClock();
  readonly runner: FakeRunner;
  readonly engine: Engine;
  readonly events: EngineEvent[] = [];
  /** How many events were out at each flush. */
  readonly flushes: number[] = [];

  constructor(
    options: {
      slots?: number;
      stepTokens?: number;
      tokensMax?: number;
      maxModelLen?: number;
      queueCountMax?: number;
      ignoreEos?: boolean;
      kvCache?: (runner: FakeRunner) => KvCache;
      kvExport?: (runner: FakeRunner) => KvExport;
      kvImport?: (runner: FakeRunner) => KvImport;
      grammars?: Grammars;
    } = {},
  ) {
    const { slots = 4, stepTokens = 8, queueCountMax = 64, kvCache, kvExport, kvImport } = options;
    const length = options.maxModelLen ?? maxModelLen;
    const tokensMax = options.tokensMax ?? slots * length;
    const limits = { slots, stepTokens, tokensMax };
    this.runner = new FakeRunner({ ...limits, capacity: length, vocabSize });
    this.engine = new Engine({
      scheduler: { ...limits, queueCountMax },
      runner: this.runner,
      memory: this.runner.memory,
      kvCache: kvCache?.(this.runner) ?? null,
      kvExport: kvExport?.(this.runner) ?? null,
      kvImport: kvImport?.(this.runner) ?? null,
      ...(options.grammars === undefined ? {} : { grammars: options.grammars }),
      clock: this.clock,
      eosIds,
      ignoreEos: options.ignoreEos ?? false,
      maxModelLen: length,
      emit: (event) => this.events.push(event),
      flush: () => this.flushes.push(this.events.length),
    });
  }

  get scheduler(): Scheduler {
    return this.engine.scheduler;
  }

  generate(
    requestId: string,
    promptIds: readonly number[],
    sampling: Partial<Sampling> = {},
    priority = 0,
  ): void {
    const command = { requestId, promptIds, sampling: { ...greedy, ...sampling }, priority };
    this.engine.submit({ type: 'generate', source: 'local', ...command });
  }

  /** A `generate` that waits for KV from elsewhere. */
  reserve(requestId: string, promptIds: readonly number[], sampling: Partial<Sampling> = {}): void {
    const command = { requestId, promptIds, sampling: { ...greedy, ...sampling }, priority: 0 };
    this.engine.submit({ type: 'generate', source: 'handover', ...command });
  }

  prefill(requestId: string, promptIds: readonly number[], sampling: Partial<Sampling> = {}): void {
    const command = { requestId, promptIds, sampling: { ...greedy, ...sampling }, priority: 0 };
    this.engine.submit({ type: 'prefill', kvPath: 'shm', ...command });
  }

  /** Steps until there is nothing to do; returns how many there were. */
  settle(): number {
    for (let steps = 0; steps < 100_000; steps++) if (!this.engine.step()) return steps;
    throw new Error('the engine does not come to rest');
  }

  of<T extends EngineEvent['type']>(type: T, requestId: string): Events<T> {
    return this.events.filter(
      (event): event is Extract<EngineEvent, { type: T }> =>
        event.type === type && 'requestId' in event && event.requestId === requestId,
    );
  }

  /** All tokens of a request in order, each chunk numbered right; its end, if it has ended. */
  tokens(requestId: string, from = 0): { ids: number[]; finish: FinishReason | null } {
    const ids: number[] = [];
    let finish: FinishReason | null = null;
    for (const event of this.of('tokens', requestId)) {
      if (finish !== null) throw new Error(`${requestId}: tokens after the end`);
      if (event.first !== from + ids.length) throw new Error(`${requestId}: gap or repeat`);
      ids.push(...event.ids);
      finish = event.finish;
    }
    return { ids, finish };
  }
}

/** A prompt of stated length that differs with `salt`. */
export function promptOf(length: number, salt = 0): number[] {
  return Array.from({ length }, (_, i) => (i * 7 + salt * 13 + (i >> 2)) % vocabSize);
}
