// How long it takes to hand 512 tokens of KV over: out of one worker's slot into the arena, and from
// there into another's, with headers, hashes and checksums, as in production but in one process.

import { tokenBytes } from '../kv/geometry.ts';
import { KvPool } from '../kv/pool.ts';
import { limit } from '../protocol/limit.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { openKvDesk } from './kv-desk.ts';
import { type Summary, summarize } from './statistics.ts';

const repeatCount = 100;

export type HandoverFigures = {
  readonly tokens: number;
  readonly bytes: number;
  readonly exportMs: Summary;
  readonly importMs: Summary;
  readonly totalMs: Summary;
};

export function measureHandover(geometry: Geometry, tokens: number): HandoverFigures {
  const size = { slots: 2, capacity: tokens };
  const [source, target] = [new KvPool(geometry, size), new KvPool(geometry, size)];
  const sizeBytes = limit.arenaBytesDefault;
  const desk = openKvDesk({ source, target, sizeBytes, keeps: false });
  const { kvExport, kvImport } = desk;
  const samples: { out: number; in: number }[] = [];
  try {
    for (let i = 0; i < repeatCount; i++) {
      const requestId = `r${i}`;
      const ids = Array.from({ length: tokens }, (_, k) => (k * 31 + i) % 3000);
      const beganMs = performance.now();
      kvExport.append({ requestId, ids, slot: 0, computed: tokens });
      const ticket = kvExport.offer(requestId, limit.leaseMs);
      const offeredMs = performance.now();
      if (ticket === null) throw new Error('the arena is too small for the benchmark');
      kvImport.fetch({ ticket, ids, slot: i % size.slots, from: 0 });
      const doneMs = performance.now();
      kvExport.release(requestId);
      samples.push({ out: offeredMs - beganMs, in: doneMs - offeredMs });
    }
  } finally {
    desk[Symbol.dispose]();
    source.close();
    target.close();
  }
  return {
    tokens,
    bytes: tokens * tokenBytes(geometry),
    exportMs: summarize(samples.map((s) => s.out)),
    importMs: summarize(samples.map((s) => s.in)),
    totalMs: summarize(samples.map((s) => s.out + s.in)),
  };
}
