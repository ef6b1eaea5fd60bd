// The shared-memory path against plain memcpy of the same bytes, in turns, on one core: what is written into
// the arena and read out of it again goes through headers, hashes, two checksums and rows strewn over layers
// and heads; memcpy moves it there and back in one piece. Beside it what a token's KV weighs in each dtype.

import { blockCount, tokenBytes } from '../../kv/geometry.ts';
import { KvPool } from '../../kv/pool.ts';
import { kvDtypes, kvPayloadBytes } from '../../protocol/kv-size.ts';
import { limit } from '../../protocol/limit.ts';
import type { Geometry } from '../../protocol/ticket.ts';
import { copyMemory, mapAnonymousMemory, unmap, viewFloats } from '../../std/memory.ts';
import type { Effort, Section } from '../engine/section.ts';
import { summaryRow } from '../engine/section.ts';
import { openKvDesk } from '../kv-desk.ts';
import { smolLm135M } from '../random-model.ts';
import { figure, summarize } from '../statistics.ts';

const tokens = 1024;
const slots = 6;
/** Hand-overs whose blocks are still leased while the next is made. */
const heldCount = 4;
const ofMemcpyLeast = 0.5;

export function measureCopy({ quick }: Effort): Section {
  const { layers, kvHeads, headDim } = smolLm135M;
  const geometry: Geometry = { layers, kvHeads, headDim, blockTokens: 64 };
  const bytes = tokens * tokenBytes(geometry);
  const size = { slots, capacity: tokens };
  const [source, target] = [new KvPool(geometry, size), new KvPool(geometry, size)];
  const sizeBytes = (heldCount + 2) * blockCount(geometry, tokens) * (bytes / 16 + 4096);
  const desk = openKvDesk({ source, target, sizeBytes: Math.ceil(sizeBytes), keeps: false });
  // Three pieces of memory for each slot, so that memcpy, too, finds nothing in the processor's cache.
  const plain = mapAnonymousMemory(3 * slots * bytes);
  const at = (slot: number, piece: number): number => plain.address + (3 * slot + piece) * bytes;
  fill(source, plain);
  const speeds: { path: number; memcpy: number }[] = [];
  const speed = (ms: number): number => bytes / 2 ** 30 / (ms / 1000);
  try {
    for (let i = 0; i < (quick ? 18 : 60); i++) {
      const [requestId, slot] = [`r${i}`, i % slots];
      const ids = Array.from({ length: tokens }, (_, k) => (k * 31 + i) % 3000);
      const beganMs = performance.now();
      desk.kvExport.append({ requestId, ids, slot, computed: tokens });
      const ticket = desk.kvExport.offer(requestId, limit.leaseMs);
      if (ticket === null) throw new Error('the arena is too small for the benchmark');
      desk.kvImport.fetch({ ticket, ids, slot, from: 0 });
      const pathMs = performance.now() - beganMs;
      copyMemory(at(slot, 1), at(slot, 0), bytes);
      copyMemory(at(slot, 2), at(slot, 1), bytes);
      const memcpyMs = performance.now() - beganMs - pathMs;
      if (i >= heldCount) desk.kvExport.release(`r${i - heldCount}`);
      if (i < slots) continue; // pages taken from the system for the first time
      speeds.push({ path: speed(pathMs), memcpy: speed(memcpyMs) });
    }
  } finally {
    desk[Symbol.dispose]();
    unmap(plain);
    source.close();
    target.close();
  }
  return sectionOf(geometry, speeds);
}

function sectionOf(
  geometry: Geometry,
  speeds: readonly { readonly path: number; readonly memcpy: number }[],
): Section {
  const path = summarize(speeds.map((s) => s.path));
  const memcpy = summarize(speeds.map((s) => s.memcpy));
  const ratio = summarize(speeds.map((s) => s.path / s.memcpy));
  const perToken = kvDtypes.map((dtype) => {
    const { blockTokens } = geometry;
    return [dtype, kvPayloadBytes(dtype, geometry, blockTokens) / blockTokens] as const;
  });
  return {
    rows: [
      summaryRow(`copy: export + import, ${tokens} tokens of 135M`, 'GiB/s', path),
      summaryRow('copy: memcpy there and back', 'GiB/s', memcpy),
      summaryRow('copy: export + import ÷ memcpy', '', ratio),
      ...perToken.map(([dtype, bytes]) => [
        `copy: KV of a token, 135M, ${dtype}`,
        figure(bytes),
        '',
        'B',
        '',
      ]),
    ],
    claims: [
      {
        name: 'float32: export + import ÷ memcpy there and back',
        found: ratio.median,
        wanted: ofMemcpyLeast,
        at: 'least',
      },
    ],
    figures: { copy: { tokens, path, memcpy, ratio, bytesPerToken: Object.fromEntries(perToken) } },
  };
}

/** Without this all pages of fresh memory are the one page of zeros, always in the cache. */
function fill(pool: KvPool, plain: { readonly address: number; readonly bytes: number }): void {
  for (let plane = 0; plane < pool.geometry.layers * 2; plane++) {
    const address = pool.slotAddress(plane >> 1, plane & 1 ? 1 : 0, 0);
    viewFloats(address, (pool.slots * pool.slotBytes) / 4).fill(plane + 1);
  }
  viewFloats(plain.address, plain.bytes / 4).fill(3);
}
