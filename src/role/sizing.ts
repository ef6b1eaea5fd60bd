// How large a worker makes itself, from what the user said, the model and the memory. Pure.

import { tokenBytes } from '../kv/geometry.ts';
import { limit } from '../protocol/limit.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';

/** Prompts whose prefill can be under way at once on a context worker: one computes, others wait. */
const contextSlots = 4;

export type Sizing = { readonly maxModelLen: number; readonly slots: number };

/**
 * @param options.freeBytes memory that this worker may count on before weights, the share applied.
 * Throws a Fault `config` when the user's wish cannot be met.
 */
export function sizeWorker(options: {
  readonly geometry: Geometry;
  /** Longest sequence the model knows. */
  readonly positions: number;
  readonly isContext: boolean;
  readonly maxModelLen: number | null;
  readonly seqCountMax: number | null;
  readonly freeBytes: number;
  readonly weightBytes: number;
}): Sizing {
  const { positions, geometry, freeBytes, weightBytes } = options;
  if (options.maxModelLen !== null && options.maxModelLen > positions) {
    throw new Fault(
      'config',
      `--max-model-len ${options.maxModelLen} is more than the model's own ${positions}; lower it`,
    );
  }
  const kvBytes = freeBytes - weightBytes;
  const tokens = Math.floor(kvBytes / tokenBytes(geometry));
  const maxModelLen = options.maxModelLen ?? Math.min(positions, Math.max(1, tokens));
  const fitting = Math.floor(tokens / maxModelLen);
  const wanted = options.seqCountMax ?? (options.isContext ? contextSlots : limit.seqsDefault);
  const needed = options.seqCountMax ?? 1;
  if (fitting < needed) {
    const mib = (bytes: number): number => Math.round(bytes / 2 ** 20);
    throw new Fault(
      'config',
      `${needed} sequence(s) of ${maxModelLen} tokens need ${mib(needed * maxModelLen * tokenBytes(geometry))} MiB of KV beside ` +
        `${mib(weightBytes)} MiB of weights, and ${mib(freeBytes)} MiB may be used; lower --max-model-len or --max-num-seqs, or raise --gpu-memory-utilization`,
    );
  }
  return { maxModelLen, slots: Math.min(wanted, fitting) };
}
