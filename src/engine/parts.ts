// What an engine is made of: its limits, and its ports to the model, to memory and to other workers.

import type { KvCache, KvExport, KvImport } from '../kv/transfer.ts';
import type { EngineEvent } from '../protocol/engine.ts';
import type { Clock } from '../std/clock.ts';
import type { Runner } from './runner.ts';
import type { SchedulerOptions } from './scheduler.ts';

export type SchedulerLimits = Omit<SchedulerOptions, 'keeper'>;

/** The slots' memory: which pages they have touched, and how to give them back. */
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

export type EngineParts = {
  readonly scheduler: SchedulerLimits;
  readonly runner: Runner;
  readonly memory: SlotMemory;
  /** Null: nothing is remembered (`--no-enable-prefix-caching`). */
  readonly kvCache: KvCache | null;
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
