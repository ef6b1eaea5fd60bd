// What it would cost to give a request to a worker, in milliseconds of somebody's waiting: its own time
// to first token, and what others lose by it. Estimates from the last heartbeat, from what this gateway
// has sent since, and from measured rates; all constants are in protocol/limit.ts with their reasons.

import { isKvDtype, kvBytes } from '../protocol/kv-size.ts';
import { limit } from '../protocol/limit.ts';
import type { Heartbeat } from '../protocol/message.ts';
import type { Own } from './in-flight.ts';
import type { Fit } from './line.ts';
import { at } from './measured.ts';

/** One worker as the router sees it for one prompt. */
export type Candidate = {
  readonly heartbeat: Heartbeat;
  readonly own: Own;
  /** Age of the heartbeat. */
  readonly ageMs: number;
  readonly speed: Fit;
  readonly promptTokens: number;
  /** Leading tokens of the prompt that it can read from a cache of its host, at most all but one. */
  readonly cachedTokens: number;
  /** Of these, the ones in its own cache. */
  readonly ownCachedTokens: number;
};

/** More than any other cost: only where nobody has room is a worker without room chosen. */
const noRoomMs = 1e6;

/** Until the prompts that are there already are computed. The worker has gone on since it told. */
export function queueMs({ heartbeat: { role, load }, own, ageMs, speed }: Candidate): number {
  const { base, slope } = speed;
  const toldMs = load.pendingTokens * slope + load.waiting * base - ageMs;
  const sentCount = role === 'context' ? own.count : 0; // elsewhere most requests bring no prompt
  return Math.max(0, toldMs) + own.prefillTokens * slope + sentCount * base;
}

/** Computing what is not cached, and reading what is. */
export function computeMs(candidate: Candidate): number {
  const { speed, promptTokens, cachedTokens, ownCachedTokens } = candidate;
  const foreignTokens = cachedTokens - ownCachedTokens;
  const readMs = (foreignTokens * speed.slope * limit.foreignPrefixPercent) / 100;
  return at(speed, promptTokens - cachedTokens) + readMs;
}

/** What a stream costs where it decodes, wherever its prompt is computed. */
export function seatMs({ heartbeat: { load }, own }: Candidate, kvTokens: number): number {
  const streams = Math.max(0, load.running + load.waiting - own.endedCount) + own.count;
  const waitsFor = Math.max(0, streams + 1 - load.slots);
  const hasRoom = load.freeTokens - own.kvTokens >= kvTokens;
  return streams * limit.streamMs + waitsFor * limit.slotWaitMs + (hasRoom ? 0 : noRoomMs);
}

/** What the streams that decode there lose while the engine is busy with something else for `ms`. */
export function stallMs({ heartbeat: { load }, own }: Candidate, ms: number): number {
  const streams = Math.max(0, load.decoding - own.endedCount) + own.count;
  return (streams * ms * limit.stallPercent) / 100;
}

/** Prompt and answer at one worker, without the messages. */
export function aloneMs(candidate: Candidate, kvTokens: number): number {
  const ms = computeMs(candidate);
  // A stream that begins meanwhile is stalled as well: a long prompt counts one that is not there yet.
  const stall = stallMs(candidate, ms) + Math.max(0, ms - limit.stallGraceMs);
  return queueMs(candidate) + ms + stall + seatMs(candidate, kvTokens);
}

/** Prompt at one, answer at the other, without the messages. */
export function pairMs(
  { context, generate }: { readonly context: Candidate; readonly generate: Candidate },
  { transferMs, kvTokens }: { readonly transferMs: number; readonly kvTokens: number },
): number {
  const promptMs = queueMs(context) + computeMs(context);
  return promptMs + transferMs + stallMs(generate, transferMs) + seatMs(generate, kvTokens);
}

/** The same worker if nothing were cached. */
export function uncached(candidate: Candidate): Candidate {
  return { ...candidate, cachedTokens: 0, ownCachedTokens: 0 };
}

/** Bytes of KV of so many tokens as this worker's blocks hold it; an unknown dtype is taken for float32. */
export function kvBytesOf({ card }: Heartbeat, tokens: number): number {
  const dtype = isKvDtype(card.kvDtype) ? card.kvDtype : 'float32';
  return kvBytes(dtype, card.geometry, tokens);
}
