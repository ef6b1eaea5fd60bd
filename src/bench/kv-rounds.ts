// KV out of a slot into the arena and from there into another's slot, again and again, on one core, timed.
// Slots and blocks go round, so that nothing is found in the processor's cache.

import { blockCount, tokenBytes } from '../kv/geometry.ts';
import { KvPool } from '../kv/pool.ts';
import { limit } from '../protocol/limit.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { viewFloats } from '../std/memory.ts';
import { openKvDesk } from './kv-desk.ts';
import { smolLm135M } from './random-model.ts';

const { layers, kvHeads, headDim } = smolLm135M;
export const roundGeometry: Geometry = { layers, kvHeads, headDim, blockTokens: 64 };
export const roundTokens = 1024;
/** Of one round, one way. */
export const roundBytes = roundTokens * tokenBytes(roundGeometry);
export const roundSlots = 6;
/** Hand-overs whose blocks are still leased while the next is made. */
const heldCount = 4;

export type KvRound = {
  readonly exportMs: number;
  readonly importMs: number;
  /** What `aside` took. */
  readonly asideMs: number;
};

/** @param aside done in turns with the copies, for the same slot: what they are compared with. */
export function kvRounds(
  quick: boolean,
  aside: (slot: number) => void = () => undefined,
): KvRound[] {
  const size = { slots: roundSlots, capacity: roundTokens };
  const [source, target] = [new KvPool(roundGeometry, size), new KvPool(roundGeometry, size)];
  const blocks = (heldCount + 2) * blockCount(roundGeometry, roundTokens);
  const sizeBytes = Math.ceil(blocks * (roundBytes / 16 + 4096));
  const desk = openKvDesk({ source, target, sizeBytes, keeps: false });
  const rounds: KvRound[] = [];
  fill(source);
  try {
    for (let i = 0; i < (quick ? 18 : 60); i++) {
      const [requestId, slot] = [`r${i}`, i % roundSlots];
      const ids = Array.from({ length: roundTokens }, (_, k) => (k * 31 + i) % 3000);
      const beganMs = performance.now();
      desk.kvExport.append({ requestId, ids, slot, computed: roundTokens });
      const ticket = desk.kvExport.offer(requestId, limit.leaseMs);
      const offeredMs = performance.now();
      if (ticket === null) throw new Error('the arena is too small for the benchmark');
      desk.kvImport.fetch({ ticket, ids, slot, from: 0 });
      const doneMs = performance.now();
      aside(slot);
      const asideMs = performance.now() - doneMs;
      if (i >= heldCount) desk.kvExport.release(`r${i - heldCount}`);
      if (i < roundSlots) continue; // pages taken from the system for the first time
      rounds.push({ exportMs: offeredMs - beganMs, importMs: doneMs - offeredMs, asideMs });
    }
  } finally {
    desk[Symbol.dispose]();
    source.close();
    target.close();
  }
  return rounds;
}

/** Of the bytes of one round. */
export function gibPerS(ms: number): number {
  return roundBytes / 2 ** 30 / (ms / 1000);
}

/** Without this all pages of a fresh pool are the one page of zeros, always in the cache. */
function fill(pool: KvPool): void {
  for (let plane = 0; plane < pool.geometry.layers * 2; plane++) {
    const address = pool.slotAddress(plane >> 1, plane & 1 ? 1 : 0, 0);
    viewFloats(address, (pool.slots * pool.slotBytes) / 4).fill(plane + 1);
  }
}
