// What an engine is made of: its limits, and its ports to the model, to memory and to other workers.

import type { Grammars } from '../grammar/guide.ts';
import type { KvCache, KvExport, KvImport } from '../kv/transfer.ts';
import type { EngineEvent } from '../protocol/engine.ts';
import type { Clock } from '../std/clock.ts';
import type { Runner } from './runner.ts';
import type { SchedulerOptions } from './scheduler.ts';
import type { SlotMemory } from './slot-memory.ts';

export type SchedulerLimits = Omit<SchedulerOptions, 'keeper'>;

export type EngineParts = {
  readonly scheduler: SchedulerLimits;
  readonly runner: Runner;
  readonly memory: SlotMemory;
  /** Null: nothing is remembered (`--no-enable-prefix-caching`). */
  readonly kvCache: KvCache | null;
  readonly kvExport: KvExport | null;
  readonly kvImport: KvImport | null;
  /** Absent: requests with a grammar are refused. */
  readonly grammars?: Grammars;
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
