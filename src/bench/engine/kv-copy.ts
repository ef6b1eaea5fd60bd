// KV out of a slot into the arena and from there into another's slot, with headers, hashes and
// checksums, on one core. Slots and blocks go round, so that nothing is found in the processor's cache.

import { blockCount, tokenBytes } from '../../kv/geometry.ts';
import { KvPool } from '../../kv/pool.ts';
import { limit } from '../../protocol/limit.ts';
import type { Geometry } from '../../protocol/ticket.ts';
import { viewFloats } from '../../std/memory.ts';
import { openKvDesk } from '../kv-desk.ts';
import { smolLm135M } from '../random-model.ts';
import { summarize } from '../statistics.ts';
import { type Effort, type Section, summaryRow } from './section.ts';

const tokens = 1024;
const slots = 6;
/** Hand-overs whose blocks are still leased while the next is made. */
const heldCount = 4;
const gibPerSLeast = 1.5;

export function measureKvCopy({ quick }: Effort): Section {
  const { layers, kvHeads, headDim } = smolLm135M;
  const geometry: Geometry = { layers, kvHeads, headDim, blockTokens: 64 };
  const bytes = tokens * tokenBytes(geometry);
  const size = { slots, capacity: tokens };
  const [source, target] = [new KvPool(geometry, size), new KvPool(geometry, size)];
  const arenaBytes = (heldCount + 2) * blockCount(geometry, tokens) * (bytes / 16 + 4096);
  const desk = openKvDesk({ source, target, sizeBytes: Math.ceil(arenaBytes), keeps: false });
  const { kvExport, kvImport } = desk;
  fill(source);
  const speeds: { out: number; in: number; both: number }[] = [];
  const speed = (ms: number): number => bytes / 2 ** 30 / (ms / 1000);
  try {
    const rounds = quick ? 18 : 60;
    for (let i = 0; i < rounds; i++) {
      const requestId = `r${i}`;
      const slot = i % slots;
      const ids = Array.from({ length: tokens }, (_, k) => (k * 31 + i) % 3000);
      const beganMs = performance.now();
      kvExport.append({ requestId, ids, slot, computed: tokens });
      const ticket = kvExport.offer(requestId, limit.leaseMs);
      const offeredMs = performance.now();
      if (ticket === null) throw new Error('the arena is too small for the benchmark');
      kvImport.fetch({ ticket, ids, slot, from: 0 });
      const doneMs = performance.now();
      if (i >= heldCount) kvExport.release(`r${i - heldCount}`);
      if (i < slots) continue; // pages taken from the system for the first time
      const [out, into] = [offeredMs - beganMs, doneMs - offeredMs];
      speeds.push({ out: speed(out), in: speed(into), both: speed(out + into) });
    }
  } finally {
    desk[Symbol.dispose]();
    source.close();
    target.close();
  }
  const exportGibPerS = summarize(speeds.map((s) => s.out));
  const importGibPerS = summarize(speeds.map((s) => s.in));
  const bothGibPerS = summarize(speeds.map((s) => s.both));
  return {
    rows: [
      summaryRow(`KV export, ${tokens} tokens of 135M`, 'GiB/s', exportGibPerS),
      summaryRow(`KV import, ${tokens} tokens of 135M`, 'GiB/s', importGibPerS),
      summaryRow('KV export + import, one core', 'GiB/s', bothGibPerS),
    ],
    claims: [
      {
        name: 'KV export + import on one core, GiB/s',
        found: bothGibPerS.median,
        wanted: gibPerSLeast,
        at: 'least',
      },
    ],
    figures: { kvCopy: { tokens, bytes, exportGibPerS, importGibPerS, bothGibPerS } },
  };
}

/** Without this all pages of a fresh pool are the one page of zeros, always in the cache. */
function fill(pool: KvPool): void {
  for (let plane = 0; plane < pool.geometry.layers * 2; plane++) {
    const address = pool.slotAddress(plane >> 1, plane & 1 ? 1 : 0, 0);
    viewFloats(address, (pool.slots * pool.slotBytes) / 4).fill(plane + 1);
  }
}
