// 1,000 tokens of a prompt taken from where their KV lies already, against computing them. What a hit
// is, is one function here: today the import of blocks out of an arena, which is also what a prefix
// cache of such blocks costs.

import { Arena } from '../../kv/arena.ts';
import { blockCount } from '../../kv/geometry.ts';
import { ShmExport } from '../../kv/shm-export.ts';
import { ShmImport } from '../../kv/shm-import.ts';
import { limit } from '../../protocol/limit.ts';
import { realClock } from '../../std/clock.ts';
import { realChance } from '../../std/prng.ts';
import { summarize } from '../statistics.ts';
import { type BareModel, demoModel, openBare, randomBenchModel } from './model.ts';
import { type Effort, type Section, summaryRow } from './section.ts';

const tokens = 1000;
const percentMost = 5;

export async function measurePrefixHit({ quick }: Effort): Promise<Section> {
  const rows: string[][] = [];
  const claims: Section['claims'][number][] = [];
  const figures: Record<string, unknown> = {};
  for (const which of [demoModel, await randomBenchModel('int4')]) {
    const model = await openBare(which, { slots: 2, capacity: 1024 });
    using hit = openHit(model);
    const [computeMs, hitMs]: [number[], number[]] = [[], []];
    for (let i = 0; i < (quick ? 3 : 8); i++) {
      const ids = promptOf(i);
      computeMs.push(timed(() => compute(model, ids)));
      hit.store(ids);
      hitMs.push(timed(() => hit.take()));
    }
    const [computed, taken] = [summarize(computeMs), summarize(hitMs)];
    const percent = (100 * taken.median) / computed.median;
    rows.push(
      summaryRow(`${which.label}: computing ${tokens} tokens`, 'ms', computed),
      summaryRow(`${which.label}: a prefix hit of ${tokens} tokens`, 'ms', taken),
    );
    claims.push({
      name: `${which.label}: a prefix hit of ${tokens} tokens, % of computing them`,
      found: percent,
      wanted: percentMost,
      at: 'most',
    });
    figures[which.label] = { computed, taken, percent };
    model.close();
  }
  return { rows, claims, figures: { prefixHit: figures } };
}

function compute({ session }: BareModel, ids: readonly number[]): void {
  for (let past = 0; past < ids.length; past += limit.chunkTokens) {
    session.prefill({ slot: 0, past, ids: ids.slice(past, past + limit.chunkTokens) });
  }
}

type Hit = Disposable & {
  /** Makes slot 0's KV of `ids` what the next `take` finds. */
  store(ids: readonly number[]): void;
  /** Brings it into slot 1. */
  take(): void;
};

function openHit({ geometry, pool, modelDigest }: BareModel): Hit {
  const blocks = blockCount(geometry, tokens) * 3;
  const { layers, kvHeads, headDim, blockTokens } = geometry;
  const blockBytes = layers * 2 * kvHeads * headDim * 4 * blockTokens + 4096;
  const arena = new Arena(`bench-${realChance.id()}`, geometry, blocks * blockBytes);
  const kvExport = new ShmExport({ arena, pool, clock: realClock, modelDigest, owner: 'bench' });
  const kvImport = new ShmImport({ pool, modelDigest, worker: 'bench' });
  let kept: readonly number[] = [];
  return {
    store(ids) {
      kvExport.release('hit');
      kvExport.append({ requestId: 'hit', ids, slot: 0, computed: ids.length });
      kept = ids;
    },
    take() {
      const ticket = kvExport.offer('hit');
      if (ticket === null) throw new Error('the arena is too small for the benchmark');
      kvImport.fetch({ ticket, ids: kept, slot: 1 });
    },
    [Symbol.dispose]() {
      kvImport.close();
      arena.close();
    },
  };
}

function promptOf(salt: number): number[] {
  return Array.from({ length: tokens }, (_, i) => (i * 37 + salt * 101) % 3000);
}

function timed(run: () => void): number {
  const beganMs = performance.now();
  run();
  return performance.now() - beganMs;
}
