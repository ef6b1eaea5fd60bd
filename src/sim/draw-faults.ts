// Which faults a seed brings: a few kinds, each once or several times, within the run's window.

import type { Dice } from './dice.ts';
import type { PlannedFault } from './fault-plan.ts';
import type { Deployment } from './scenario.ts';

const beginMs = 4500;
/** Those of grammars come with the requests that have some (sim/rules.ts). */
type Kind = Exclude<PlannedFault['kind'], 'grammar_crash' | 'grammar_slow'>;

/** How often each kind is drawn, against the others. */
const weights: Readonly<Record<Kind, number>> = {
  delay: 2,
  reset: 3,
  partition: 3,
  nats_restart: 2,
  worker_crash: 4,
  crash_at: 5,
  gateway_crash: 2,
  freeze: 3,
  slow: 2,
  object: 4,
  arena_corrupt: 3,
  runner_fail: 2,
  wall_clock: 1,
  drain: 3,
  leave: 2,
};

const kinds: readonly Kind[] = Object.entries(weights).flatMap(
  ([kind, weight]) => new Array<Kind>(weight).fill(kind as Kind), // the record's own keys
);

export function drawFaults(dice: Dice, deployment: Deployment, healMs: number): PlannedFault[] {
  const count = dice.whole(1, 6);
  const faults = Array.from({ length: count }, () => {
    const atMs = dice.between(beginMs, healMs);
    return drawFault(dice, deployment, { atMs, kind: dice.pick(kinds) ?? 'reset' });
  });
  return faults.sort((a, b) => a.atMs - b.atMs);
}

function drawFault(
  dice: Dice,
  { workers, gateways }: Deployment,
  { atMs, kind }: { readonly atMs: number; readonly kind: Kind },
): PlannedFault {
  const worker = dice.pick(workers)?.place ?? '';
  const gateway = dice.pick(gateways)?.place ?? '';
  const place = dice.chance(0.25) ? gateway : worker;
  const backMs = dice.between(200, 8000);
  switch (kind) {
    case 'delay':
      return { atMs, kind, place, forMs: dice.between(500, 8000), maxMs: dice.between(20, 1500) };
    case 'reset':
      return { atMs, kind, place };
    case 'partition':
      return { atMs, kind, place, forMs: dice.skewed(100, 30_000) };
    case 'nats_restart':
      return { atMs, kind, forMs: dice.skewed(50, 15_000) };
    case 'worker_crash':
      return { atMs, kind, place: worker, backMs };
    case 'crash_at': {
      const op = dice.pick(['generate', 'prefill', 'handover', 'announce', 'tokens'] as const);
      const whose = op === 'tokens' || dice.chance(0.4) ? 'sender' : 'receiver';
      const nth = dice.whole(1, 6);
      return { atMs, kind, op: op ?? 'generate', nth, whose, delayMs: dice.skewed(0, 20), backMs };
    }
    case 'gateway_crash':
      return { atMs, kind, place: gateway, backMs };
    case 'freeze':
      return { atMs, kind, place, forMs: dice.skewed(50, 20_000) };
    case 'slow':
      return {
        atMs,
        kind,
        place: worker,
        factor: dice.whole(3, 40),
        forMs: dice.between(500, 9000),
      };
    case 'object': {
      const harms = ['corrupt', 'truncate', 'missing', 'full', 'slow', 'frame'] as const;
      const harm = dice.pick(harms) ?? 'corrupt';
      return { atMs, kind, harm, share: dice.between(0.1, 1), forMs: dice.between(500, 15_000) };
    }
    case 'arena_corrupt':
      return { atMs, kind, place: worker, forMs: dice.between(0, 6000) };
    case 'runner_fail':
      return { atMs, kind, place: worker };
    case 'wall_clock':
      return { atMs, kind, place, shiftS: dice.whole(-100_000, 100_000) };
    case 'drain':
      return { atMs, kind, place: worker, forMs: dice.between(100, 9000) };
    case 'leave':
      return { atMs, kind, place: worker, backMs, limitMs: dice.pick([0, 300, 10_000]) ?? 0 };
  }
}
