// 1,024 tokens of a prompt taken out of the prefix cache, against computing them.

import { tokenBytes } from '../../kv/geometry.ts';
import type { PrefixCache } from '../../kv/prefix-cache.ts';
import { limit } from '../../protocol/limit.ts';
import { openKvDesk } from '../kv-desk.ts';
import { summarize } from '../statistics.ts';
import { type BareModel, demoModel, openBare, randomBenchModel } from './model.ts';
import { type Effort, type Section, summaryRow } from './section.ts';

const tokens = 1024;
const percentMost = 5;

export async function measurePrefixHit({ quick }: Effort): Promise<Section> {
  const rows: string[][] = [];
  const claims: Section['claims'][number][] = [];
  const figures: Record<string, unknown> = {};
  for (const which of [demoModel, await randomBenchModel('int4')]) {
    const model = await openBare(which, { slots: 2, capacity: tokens + 1 });
    const { pool } = model;
    const sizeBytes = 3 * (tokens + 64) * (tokenBytes(model.geometry) + 64);
    using hit = openKvDesk({ source: pool, target: pool, sizeBytes, keeps: true });
    const [computeMs, hitMs]: [number[], number[]] = [[], []];
    for (let i = 0; i < (quick ? 3 : 8); i++) {
      const ids = promptOf(i);
      computeMs.push(timed(() => compute(model, ids.slice(0, tokens))));
      hit.kvCache.keep({ ids, slot: 0, computed: tokens });
      hitMs.push(timed(() => restore(hit.kvCache, ids)));
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
  for (let past = 0; past < ids.length; past += limit.stepTokens) {
    session.prefill({ slot: 0, past, ids: ids.slice(past, past + limit.stepTokens) });
  }
}

/** Into slot 1. */
function restore(cache: PrefixCache, ids: readonly number[]): void {
  const known = cache.restore({ ids, slot: 1, from: 0 });
  if (known !== tokens) throw new Error(`${known} of ${tokens} tokens were cached`);
}

function promptOf(salt: number): number[] {
  return Array.from({ length: tokens + 1 }, (_, i) => (i * 37 + salt * 101) % 3000);
}

function timed(run: () => void): number {
  const beganMs = performance.now();
  run();
  return performance.now() - beganMs;
}
