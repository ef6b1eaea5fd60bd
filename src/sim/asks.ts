// The clients of one run: prompts that often begin alike, every kind of sampling, bursts, readers that
// are slow, and clients that go away at any moment.

import { neutralSampling, type Route, type Sampling } from '../protocol/request.ts';
import type { Ask } from './call.ts';
import type { Dice } from './dice.ts';
import { eosIds, vocabSize } from './model.ts';
import { expectedOf } from './oracle.ts';
import type { Deployment } from './scenario.ts';

const beginMs = 5000;

export function drawAsks(
  dice: Dice,
  deployment: Deployment,
  { isClean, healMs }: { readonly isClean: boolean; readonly healMs: number },
): { readonly asks: readonly Ask[]; readonly isLoad: boolean } {
  const isBurst = dice.chance(isClean ? 0.2 : 0.35);
  const count = isBurst ? dice.whole(12, 40) : dice.whole(3, 14);
  const { gateways } = deployment;
  const leavers = dice.chance(0.5) ? 0.3 : 0;
  const stems = Array.from({ length: 3 }, () => drawIds(dice, deployment.maxModelLen));
  const burstMs = dice.between(beginMs, healMs - 500);
  const asks = Array.from({ length: count }, (_, i) => {
    const atMs = isBurst && dice.chance(0.7) ? burstMs : dice.between(beginMs, healMs - 200);
    const leavesMs = dice.chance(leavers) ? dice.skewed(0, 4000) : null;
    return drawAsk(dice, deployment, { stems, name: `r${i}`, atMs, leavesMs });
  });
  asks.sort((a, b) => a.atMs - b.atMs);
  // In a run without faults limits are wide: everything waits its turn.
  const isNarrow = gateways.some(({ queueLimit }) => queueLimit < 16);
  return { asks, isLoad: !isClean && (isBurst || isNarrow) };
}

export function drawAsk(
  dice: Dice,
  deployment: Deployment,
  options: {
    readonly stems: readonly (readonly number[])[];
    readonly name: string;
    readonly atMs: number;
    readonly leavesMs: number | null;
  },
): Ask {
  const { maxModelLen, gateways } = deployment;
  const { stems, name, atMs, leavesMs } = options;
  const isTooLong = dice.chance(0.02);
  // These grow beyond what admission reserves for them: somebody loses its slot.
  const isGrowing = !isTooLong && maxModelLen > 150 && dice.chance(0.5);
  const answer = isGrowing ? dice.whole(80, 150) : dice.whole(1, Math.min(40, maxModelLen - 2));
  const maxTokens = isTooLong ? maxModelLen : answer;
  const room = maxModelLen - (isTooLong ? 1 : maxTokens);
  const length = dice.whole(1, Math.max(1, isGrowing ? Math.min(room, 20) : room));
  const stem = dice.pick(stems) ?? [];
  const shared = dice.chance(0.6) ? dice.whole(0, length) : 0;
  const promptIds = [...stem.slice(0, shared), ...drawIds(dice, length)].slice(0, length);
  const drawn = drawSampling(dice, maxTokens);
  const sampling = isGrowing ? { ...drawn, ignoreEos: true, stopTokenIds: [] } : drawn;
  const route = drawRoute(dice, deployment);
  const model = { vocabSize, eosIds };
  return {
    request: {
      requestId: name,
      model: 'sim',
      promptIds,
      sampling,
      priority: dice.chance(0.1) ? dice.whole(-2, 2) : 0,
      ...(route === null ? {} : { route }),
    },
    gateway: dice.pick(gateways)?.place ?? '',
    atMs,
    leavesMs,
    readMs: dice.chance(0.1) ? dice.between(1, 80) : 0,
    stop: null,
    expected: isTooLong ? null : expectedOf(promptIds, sampling, model),
    refusal: isTooLong ? 'context_length' : null,
  };
}

/** Some clients stop reading once: for a moment, or for longer than a worker may be silent. */
export function withStops(dice: Dice, asks: readonly Ask[]): readonly Ask[] {
  return asks.map((ask) => {
    const stop = { afterTokens: dice.whole(1, 30), forMs: dice.skewed(1, 90_000) };
    return dice.chance(0.4) ? { ...ask, stop } : ask;
  });
}

function drawSampling(dice: Dice, maxTokens: number): Sampling {
  const isGreedy = dice.chance(0.5);
  return {
    ...neutralSampling,
    temperature: isGreedy ? 0 : (dice.pick([0.3, 0.9, 1.7]) ?? 1),
    topK: isGreedy || dice.chance(0.6) ? 0 : dice.whole(1, vocabSize + 4),
    topP: isGreedy || dice.chance(0.6) ? 1 : dice.between(0.3, 0.99),
    seed: dice.chance(0.2) ? 2 ** 40 + dice.u32() : dice.u32(),
    maxTokens,
    minTokens: dice.chance(0.2) ? dice.whole(0, maxTokens) : 0,
    stopTokenIds: dice.chance(0.2) ? [dice.whole(2, vocabSize - 1)] : [],
    ignoreEos: dice.chance(0.5) ? true : null,
  };
}

/** Only one that the deployment could take. */
function drawRoute(dice: Dice, { workers }: Deployment): Route | null {
  if (!dice.chance(0.15)) return null;
  const has = (role: string): boolean => workers.some((worker) => worker.role === role);
  const routes: Route[] = [];
  if (has('generate')) routes.push('local');
  if (has('baseline')) routes.push('aggregated');
  return dice.pick(routes) ?? null;
}

function drawIds(dice: Dice, count: number): number[] {
  return Array.from({ length: count }, () => dice.whole(2, vocabSize - 1));
}
