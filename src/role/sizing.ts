// How large a worker makes itself, from what the user said, the model and the memory. Pure.

import { blockStride } from '../kv/arena.ts';
import { blockCount, tokenBytes } from '../kv/geometry.ts';
import type { KvDtype } from '../protocol/kv-size.ts';
import { limit } from '../protocol/limit.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';
import { type DeviceRoom, sizeOnDevice } from './device-sizing.ts';

/** An arena holds at least so many of the longest prompts, unless the user says otherwise. */
const arenaPrompts = 4;
/** … but takes no more than this share of what the weights leave, by itself. */
const arenaShareMax = 0.25;

export type Sizing = {
  readonly maxModelLen: number;
  readonly slots: number;
  /** Positions of KV in use at most, over all slots. */
  readonly tokensMax: number;
  readonly arenaBytes: number;
};

export type SizingOptions = {
  readonly geometry: Geometry;
  /** Of blocks; slots are float32. */
  readonly kvDtype: KvDtype;
  /** Longest sequence the model knows. */
  readonly positions: number;
  readonly isContext: boolean;
  readonly hasArena: boolean;
  readonly maxModelLen: number | null;
  readonly seqCountMax: number | null;
  readonly requestCountMax: number;
  readonly arenaBytes: number | null;
  /** Room in /dev/shm that this worker may count on; an arena of our own choice stays within it. */
  readonly shmBytes: number;
  /** Memory that this worker may use now, the share applied. */
  readonly freeBytes: number;
  /** The same share of all memory, used or not: what follows from it is the same at each start. */
  readonly memoryBytes: number;
  readonly weightBytes: number;
  /** Where slots and weights lie in a device's memory; null: in the host's, as all the rest. */
  readonly device?: DeviceRoom | null;
};

/** Throws a Fault `config` with both numbers when limits contradict each other. */
export function sizeWorker(options: SizingOptions): Sizing {
  const { positions, geometry, freeBytes, weightBytes, requestCountMax } = options;
  const perToken = tokenBytes(geometry);
  if (options.maxModelLen !== null && options.maxModelLen > positions) {
    throw new Fault(
      'config',
      `--max-model-len ${options.maxModelLen} is more than the model's own ${positions}; lower it`,
    );
  }
  const { blockTokens } = geometry;
  if (blockTokens > positions) {
    throw new Fault(
      'config',
      `--block-tokens ${blockTokens} is more than the model's own ${positions}: no block would ever be full; lower it`,
    );
  }
  if (options.seqCountMax !== null && options.seqCountMax > requestCountMax) {
    throw new Fault(
      'config',
      `--max-num-seqs ${options.seqCountMax} is more than --max-batch-size ${requestCountMax} lets in; lower the one or raise the other`,
    );
  }
  const arenaBytes = options.hasArena ? sizeArena(options) : 0;
  if (options.device) {
    const sizing = sizeOnDevice(options, options.device, arenaBytes);
    refuseSmallArena(options, sizing.maxModelLen, arenaBytes);
    return sizing;
  }
  const tokens = Math.floor((freeBytes - weightBytes - arenaBytes) / perToken);
  // An arena of our own choice bounds prompts that we choose the length of; the user's numbers stand.
  const isOurs = options.isContext && options.arenaBytes === null;
  const longest = isOurs ? Math.min(tokens, arenaTokens(options, arenaBytes)) : tokens;
  // Where not even one token fits, what is missing is said for the whole of the model's length.
  const chosen = longest < 1 ? positions : Math.min(positions, longest);
  const maxModelLen = options.maxModelLen ?? chosen;
  if (tokens < maxModelLen) {
    throw new Fault(
      'config',
      `one sequence of ${maxModelLen} tokens needs ${mib(maxModelLen * perToken)} MiB of KV beside ${mib(weightBytes)} MiB of weights and ` +
        `${mib(arenaBytes)} MiB of arena, and ${mib(freeBytes)} MiB may be used; lower --max-model-len or --kv-arena-bytes, or raise --gpu-memory-utilization`,
    );
  }
  refuseSmallArena(options, maxModelLen, arenaBytes);
  if (options.seqCountMax !== null && options.seqCountMax > tokens) {
    throw new Fault(
      'config',
      `--max-num-seqs ${options.seqCountMax} is more than the ${tokens} tokens that all sequences' KV has room for; lower it, or raise --gpu-memory-utilization`,
    );
  }
  const slots = sizeSlots(options, maxModelLen);
  return { maxModelLen, slots, tokensMax: Math.min(tokens, slots * maxModelLen), arenaBytes };
}

/** As many as have room at a usual length, up to where a larger batch gains little. */
function sizeSlots(options: SizingOptions, maxModelLen: number): number {
  const { geometry, isContext, seqCountMax, requestCountMax, memoryBytes, weightBytes } = options;
  const slotBytes = maxModelLen * tokenBytes(geometry);
  const addressable = Math.floor(limit.kvAddressBytesMax / slotBytes);
  if (seqCountMax !== null) {
    if (seqCountMax <= addressable) return seqCountMax;
    throw new Fault(
      'config',
      `--max-num-seqs ${seqCountMax} with --max-model-len ${maxModelLen} needs ${gib(seqCountMax * slotBytes)} GiB of address space, ` +
        `and ${gib(limit.kvAddressBytesMax)} GiB may be used: ${addressable} sequences; lower the one or the other`,
    );
  }
  const most = isContext ? limit.contextSeqsDefault : limit.seqsDefault;
  const left = memoryBytes - weightBytes;
  const arenaBytes = options.hasArena ? (options.arenaBytes ?? left * arenaShareMax) : 0;
  const usualBytes = Math.min(maxModelLen, limit.usualTokens) * tokenBytes(geometry);
  const roomFor = Math.floor((left - arenaBytes) / usualBytes);
  return Math.max(1, Math.min(roomFor, most, addressable, requestCountMax));
}

function sizeArena(options: SizingOptions): number {
  const { positions, maxModelLen, arenaBytes, freeBytes, shmBytes, weightBytes } = options;
  if (arenaBytes !== null) return arenaBytes;
  const wanted = arenaPrompts * arenaBytesFor(options, maxModelLen ?? positions);
  const ofMemory = Math.floor((freeBytes - weightBytes) * arenaShareMax);
  const most = Math.max(0, Math.min(ofMemory, shmBytes));
  return Math.min(Math.max(limit.arenaBytesDefault, wanted), most);
}

/** A prompt that the arena cannot hold would never be handed over: better said than found out. */
function refuseSmallArena(options: SizingOptions, maxModelLen: number, arenaBytes: number): void {
  refuseLessThanABlock(options, arenaBytes);
  const needed = arenaBytesFor(options, maxModelLen);
  if (!options.isContext || arenaBytes >= needed) return;
  throw new Fault(
    'config',
    `--kv-arena-bytes ${arenaBytes} is less than the ${needed} that a prompt of --max-model-len ${maxModelLen} takes; raise the one or lower the other`,
  );
}

function refuseLessThanABlock(options: SizingOptions, arenaBytes: number): void {
  const { geometry, hasArena } = options;
  const needed = arenaBytesFor(options, 1);
  if (!hasArena || arenaBytes >= needed) return;
  const block = `the ${needed} that one block of --block-tokens ${geometry.blockTokens} takes`;
  throw new Fault(
    'config',
    options.arenaBytes === null
      ? `memory and /dev/shm leave ${arenaBytes} bytes for the KV arena, less than ${block}; enlarge /dev/shm or lower --block-tokens`
      : `--kv-arena-bytes ${arenaBytes} is less than ${block}; raise the one or lower the other`,
  );
}

type Blocks = Pick<SizingOptions, 'geometry' | 'kvDtype'>;

/** Bytes of an arena that holds `tokens` positions. */
function arenaBytesFor({ geometry, kvDtype }: Blocks, tokens: number): number {
  return (blockCount(geometry, tokens) + 1) * (blockStride(geometry, kvDtype) + 8) + 2 * 4096;
}

/** Positions that an arena of `bytes` holds. */
function arenaTokens({ geometry, kvDtype }: Blocks, bytes: number): number {
  const blocks = Math.floor((bytes - 2 * 4096) / (blockStride(geometry, kvDtype) + 8)) - 1;
  return Math.max(0, blocks) * geometry.blockTokens;
}

function gib(bytes: number): number {
  return Math.round(bytes / 2 ** 30);
}

function mib(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}
