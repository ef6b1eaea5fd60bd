// What one seed stands for: a deployment, its clients, and what goes wrong. Sizes are small, so that
// full, empty and just enough all occur.

import { limit } from '../protocol/limit.ts';
import type { KvPathChoice, WorkerRole } from '../protocol/message.ts';
import { drawAsks, withStops } from './asks.ts';
import type { Ask } from './call.ts';
import { Dice } from './dice.ts';
import { drawFaults } from './draw-faults.ts';
import type { FaultKind, PlannedFault } from './fault-plan.ts';
import { drawRuleFaults, withRules } from './rules.ts';

export type WorkerPlan = {
  readonly place: string;
  readonly role: WorkerRole;
  readonly host: number;
  readonly paceMs: number;
  readonly slots: number;
  readonly tokensMax: number;
  readonly queueCountMax: number;
  readonly arenaBlocks: number;
  readonly prefixCaching: boolean;
  readonly kvPath: KvPathChoice;
  readonly seesOthers: boolean;
};

export type GatewayPlan = {
  readonly place: string;
  readonly localPrefillTokens: number | null;
  readonly queueLimit: number;
  readonly queueTimeoutMs: number;
};

export type Deployment = {
  readonly hostCount: number;
  readonly hasJetStream: boolean;
  readonly maxPayloadBytes: number;
  readonly blockTokens: number;
  readonly maxModelLen: number;
  readonly stepTokens: number;
  readonly bucketBytesMax: number;
  readonly bucketTtlMs: number;
  readonly workers: readonly WorkerPlan[];
  readonly gateways: readonly GatewayPlan[];
  /** Deltas that may wait for a client before its worker rests. */
  readonly inboxDeltaMax: number;
};

export type Scenario = {
  readonly seed: number;
  readonly deployment: Deployment;
  readonly asks: readonly Ask[];
  readonly faults: readonly PlannedFault[];
  /** Share of messages that meet what NATS does not do. */
  readonly oddShare: number;
  /** Faults by which errors may be excused that are there from the start. */
  readonly standing: readonly FaultKind[];
  /** Asks and faults happen before this; then everything is mended. */
  readonly healMs: number;
};

export function drawScenario(seed: number): Scenario {
  const isClean = new Dice(seed, 'clean').chance(0.15);
  const isOdd = !isClean && new Dice(seed, 'odd').chance(0.08);
  const readers = new Dice(seed, 'readers');
  const isSlow = readers.chance(0.4);
  const inboxDeltaMax = isSlow ? (readers.pick([4, 16, 64]) ?? 16) : limit.waitingDeltaMax;
  const drawn = drawDeployment(new Dice(seed, 'deployment'), isClean);
  const deployment = { ...drawn, inboxDeltaMax };
  const healMs = 5000 + new Dice(seed, 'window').skewed(1500, 25_000);
  const plan = drawAsks(new Dice(seed, 'asks'), deployment, { isClean, healMs });
  const { isLoad } = plan;
  const rules = new Dice(seed, 'rules');
  const isRuled = rules.chance(0.4);
  const ruled = isRuled ? withRules(rules, plan.asks) : plan.asks;
  const asks = isSlow ? withStops(readers, ruled) : ruled;
  const drawnFaults = isClean ? [] : drawFaults(new Dice(seed, 'faults'), deployment, healMs);
  const ruleFaults = isClean || !isRuled ? [] : drawRuleFaults(rules, deployment, healMs);
  const faults = [...drawnFaults, ...ruleFaults].sort((a, b) => a.atMs - b.atMs);
  const standing: FaultKind[] = isLoad ? ['load'] : [];
  if (asks.some(({ leavesMs }) => leavesMs !== null)) standing.push('disconnect');
  const oddShare = isOdd ? 0.02 : 0;
  return { seed, deployment, asks, faults, oddShare, standing, healMs };
}

function drawDeployment(dice: Dice, isClean: boolean): Omit<Deployment, 'inboxDeltaMax'> {
  const blockTokens = dice.pick([4, 8, 16]) ?? 8;
  const maxModelLen = dice.pick([48, 96, 200]) ?? 96;
  const hostCount = dice.chance(0.45) ? 2 : 1;
  const hasJetStream = dice.chance(0.85);
  const limits = { dice, maxModelLen, blockTokens, hostCount, isClean };
  const workers = [
    ...drawWorkers('context', dice.chance(0.1) ? 0 : dice.whole(1, 3), limits),
    ...drawWorkers('generate', dice.whole(1, 3), limits),
    ...drawWorkers('baseline', dice.chance(0.2) ? 1 : 0, limits),
  ];
  const gateways = Array.from({ length: dice.chance(0.4) ? 2 : 1 }, (_, i) => ({
    place: `gateway-${i}`,
    localPrefillTokens: dice.pick([0, 0, null, 24]) ?? null,
    queueLimit: isClean ? 1000 : (dice.pick([3, 16, 64, 64]) ?? 64),
    queueTimeoutMs: isClean ? 110_000 : (dice.pick([8000, 30_000, 110_000]) ?? 30_000),
  }));
  return {
    hostCount,
    hasJetStream,
    // Small: prompts, and now and then heartbeats, travel through the object store.
    maxPayloadBytes: hasJetStream && dice.chance(0.2) ? 2500 : 1024 * 1024,
    blockTokens,
    maxModelLen,
    stepTokens: dice.pick([8, 32, 256]) ?? 32,
    bucketBytesMax: dice.chance(0.3) ? dice.whole(3000, 60_000) : 10_000_000,
    bucketTtlMs: dice.chance(0.2) ? 130_000 : 600_000,
    workers,
    gateways,
  };
}

function drawWorkers(
  role: WorkerRole,
  count: number,
  limits: {
    readonly dice: Dice;
    readonly maxModelLen: number;
    readonly blockTokens: number;
    readonly hostCount: number;
    readonly isClean: boolean;
  },
): WorkerPlan[] {
  const { dice, maxModelLen, blockTokens, hostCount, isClean } = limits;
  return Array.from({ length: count }, (_, i) => {
    const slots = dice.whole(1, 5);
    return {
      place: `${role}-${i}`,
      role,
      host: dice.whole(0, hostCount - 1),
      paceMs: dice.pick([0.2, 1, 6]) ?? 1,
      slots,
      tokensMax: dice.chance(0.4) ? maxModelLen : dice.whole(maxModelLen, maxModelLen * slots),
      queueCountMax: isClean ? 100 : (dice.pick([1, 4, 32]) ?? 32),
      arenaBlocks: dice.chance(0.3) ? dice.whole(1, 8) : Math.ceil((maxModelLen / blockTokens) * 4),
      prefixCaching: dice.chance(0.8),
      kvPath: dice.chance(0.1) ? 'object' : dice.chance(0.05) ? 'shm' : 'auto',
      seesOthers: !dice.chance(0.1),
    };
  });
}
