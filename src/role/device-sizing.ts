// How many slots of what length a worker takes from a device's memory. All of it is taken at the start:
// there are no pages that cost nothing until written, as the host has. Pure.

import { tokenBytes } from '../kv/geometry.ts';
import type { Precision } from '../model/onnx/graph.ts';
import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import type { DeviceMemory } from './device-choice.ts';
import type { Sizing, SizingOptions } from './sizing.ts';

/** Where the user names no length: at least so many sequences of the length that is chosen. */
const slotsWanted = 8;

export type DeviceRoom = {
  readonly memory: DeviceMemory;
  /** What of it may be used. */
  readonly share: number;
  readonly precision: Precision;
};

/** @param arenaBytes of host memory, which is sized as on the CPU. */
export function sizeOnDevice(
  options: SizingOptions,
  { memory, share, precision }: DeviceRoom,
  arenaBytes: number,
): Sizing {
  const { geometry, positions, isContext, seqCountMax, requestCountMax } = options;
  const part = precision === 'float16' ? 0.5 : 1;
  const perToken = tokenBytes(geometry) * part;
  const weightBytes = options.weightBytes * part;
  const usable = Math.floor(memory.freeBytes * share);
  const tokens = Math.floor((usable - weightBytes) / perToken);
  // One more than there are slots: prompts are computed in a slot aside.
  const lengthFor = (slots: number): number => Math.floor(tokens / (slots + 1));
  const maxModelLen =
    options.maxModelLen ?? Math.max(1, Math.min(positions, lengthFor(seqCountMax ?? slotsWanted)));
  const room = Math.floor(tokens / maxModelLen) - 1;
  const most = isContext ? limit.contextSeqsDefault : limit.seqsDefault;
  const slots = seqCountMax ?? Math.max(1, Math.min(room, most, requestCountMax));
  if (slots > room) {
    throw new Fault(
      'config',
      `${slots} sequences of ${maxModelLen} tokens, and one aside, need ${mib((slots + 1) * maxModelLen * perToken)} MiB of KV beside ` +
        `${mib(weightBytes)} MiB of weights, and ${mib(usable)} MiB of the device's memory may be used; lower --max-num-seqs or --max-model-len, or raise --gpu-memory-utilization`,
    );
  }
  return { maxModelLen, slots, tokensMax: slots * maxModelLen, arenaBytes };
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
