// The scheduler short of memory: who gets in, who must go, who comes first.

import { describe, expect, test } from 'bun:test';
import type { StepPlan } from '../../src/engine/plan.ts';
import { Scheduler, type SchedulerOptions } from '../../src/engine/scheduler.ts';
import {
  behind,
  createSequence,
  generatedCount,
  type Sequence,
} from '../../src/engine/sequence.ts';
import { turnOf } from '../../src/engine/waiting.ts';
import { limit } from '../../src/protocol/limit.ts';
import { seededChance } from '../../src/std/prng.ts';
import { greedy } from './rig.ts';

type Traits = {
  readonly prompt: number;
  readonly maxTokens?: number;
  readonly priority?: number;
  readonly nowMs?: number;
  readonly awaitsImport?: boolean;
  readonly kind?: Sequence['kind'];
};

function sequenceOf(requestId: string, traits: Traits): Sequence {
  const { prompt, maxTokens = 8, priority = 0, nowMs = 0 } = traits;
  const promptIds = Array.from({ length: prompt }, (_, i) => i + 1);
  const request = { requestId, promptIds, sampling: { ...greedy, maxTokens }, priority };
  const { awaitsImport = false, kind = 'generate' } = traits;
  return createSequence(request, { kind, awaitsImport, nowMs });
}

/** A scheduler that writes down who lost how much. */
function make(options: Partial<SchedulerOptions> = {}) {
  const vacated: string[] = [];
  const known = new Map<string, number>();
  const scheduler = new Scheduler({
    slots: 4,
    tokensMax: 1000,
    stepTokens: 64,
    queueCountMax: 1000,
    keeper: {
      occupy: ({ requestId }) => known.get(requestId) ?? 0,
      vacate: ({ requestId, computed }) => vacated.push(`${requestId} ${computed}`),
    },
    ...options,
  });
  return { scheduler, vacated, known };
}

/** Carries a plan out as if every logit gave token 7; whoever is done leaves. */
function carryOut(scheduler: Scheduler, plan: StepPlan): void {
  scheduler.complete(plan);
  const grown = [
    ...plan.batch.flatMap(({ sequence }) => (sequence === null ? [] : [sequence])),
    ...plan.chunks.filter(({ isLast }) => isLast).map(({ sequence }) => sequence),
  ];
  for (const sequence of grown) {
    sequence.ids.push(7);
    const isOver = generatedCount(sequence) >= sequence.sampling.maxTokens;
    if (isOver || sequence.kind === 'prefill') scheduler.remove(sequence);
  }
}

function step(scheduler: Scheduler): StepPlan {
  const plan = scheduler.schedule();
  if (plan === null) throw new Error('nothing to do');
  carryOut(scheduler, plan);
  return plan;
}

const names = (sequences: readonly Sequence[]): string =>
  sequences.map(({ requestId }) => requestId).join(' ');

describe('admission by memory', () => {
  test('prompt and soon-wanted growth of everybody must fit', () => {
    const { scheduler } = make({ tokensMax: 150 });
    scheduler.add(sequenceOf('a', { prompt: 50, maxTokens: 10 })); // 60
    scheduler.add(sequenceOf('b', { prompt: 20, maxTokens: 500 })); // 20 + 64
    scheduler.add(sequenceOf('c', { prompt: 7, maxTokens: 1 })); // 8: 152 in all
    expect(names(step(scheduler).admitted)).toBe('a b');
    expect(scheduler.committedTokens()).toBeLessThanOrEqual(150);
    const { scheduler: exact } = make({ tokensMax: 152 });
    exact.add(sequenceOf('a', { prompt: 50, maxTokens: 10 }));
    exact.add(sequenceOf('b', { prompt: 20, maxTokens: 500 }));
    exact.add(sequenceOf('c', { prompt: 7, maxTokens: 1 }));
    expect(names(step(exact).admitted)).toBe('a b c');
  });

  test('a prompt to hand over wants no growth; one awaited from elsewhere does', () => {
    const { scheduler } = make({ tokensMax: 100 });
    scheduler.add(sequenceOf('a', { prompt: 50, maxTokens: 500, kind: 'prefill' }));
    scheduler.add(sequenceOf('b', { prompt: 50, maxTokens: 500, kind: 'prefill' }));
    expect(names(step(scheduler).admitted)).toBe('a b');
    const { scheduler: other } = make({ tokensMax: 127 });
    other.add(sequenceOf('a', { prompt: 32, maxTokens: 500, awaitsImport: true }));
    other.add(sequenceOf('b', { prompt: 32, maxTokens: 500, awaitsImport: true }));
    expect(names(step(other).admitted)).toBe('a');
  });

  test('nobody overtakes a large one whose turn it is', () => {
    const { scheduler } = make({ tokensMax: 100 });
    scheduler.add(sequenceOf('running', { prompt: 40, maxTokens: 3 }));
    scheduler.add(sequenceOf('large', { prompt: 80, maxTokens: 8 }));
    for (const name of ['s', 't', 'u'])
      scheduler.add(sequenceOf(name, { prompt: 4, maxTokens: 2 }));
    const admitted: string[] = [];
    while (scheduler.runningCount + scheduler.waitingCount > 0) {
      admitted.push(...step(scheduler).admitted.map(({ requestId }) => requestId));
    }
    expect(admitted).toEqual(['running', 'large', 's', 't', 'u']);
  });

  test('alone, one gets in however large', () => {
    const { scheduler } = make({ tokensMax: 10 });
    scheduler.add(sequenceOf('huge', { prompt: 100, maxTokens: 20 }));
    scheduler.add(sequenceOf('next', { prompt: 2 }));
    expect(names(step(scheduler).admitted)).toBe('huge');
    let steps = 0;
    while (scheduler.find('huge') !== undefined) {
      expect(step(scheduler).preempted).toEqual([]); // it would be for nothing
      steps++;
    }
    expect(steps).toBeGreaterThan(19);
    expect(names(step(scheduler).admitted)).toBe('next');
  });
});

describe('preemption', () => {
  /** Three that outgrow their memory: growth beyond what admission foresaw. */
  function growing() {
    const world = make({ tokensMax: 3 * (10 + limit.growthTokens) });
    const [a, b, c] = ['a', 'b', 'c'].map((name) =>
      sequenceOf(name, { prompt: 10, maxTokens: 200 }),
    ) as [Sequence, Sequence, Sequence]; // three names give three sequences
    for (const sequence of [a, b, c]) world.scheduler.add(sequence);
    return { ...world, a, b, c };
  }

  test('the youngest goes, keeps its tokens, and comes back when there is room', () => {
    const { scheduler, vacated, a, b, c } = growing();
    let plan = step(scheduler);
    while (plan.preempted.length === 0) plan = step(scheduler);
    expect(names(plan.preempted)).toBe('c');
    const length = 10 + limit.growthTokens + 1;
    expect(vacated).toEqual([`c ${length - 1}`]);
    expect([c.ids.length, c.computed, c.slot]).toEqual([length, 0, null]);
    expect([scheduler.runningCount, scheduler.waitingCount]).toEqual([2, 1]);
    while (c.slot === null) {
      expect(a.computed + b.computed).toBeLessThanOrEqual(scheduler.tokensMax);
      plan = step(scheduler);
    }
    expect(names(plan.admitted)).toBe('c');
    expect(plan.chunks.find(({ sequence }) => sequence === c)?.past).toBe(0);
    while (scheduler.find('c') !== undefined) step(scheduler);
    expect(generatedCount(c)).toBe(200);
    expect(scheduler.preemptionCount).toBe(vacated.length);
  });

  test('what was kept of it is not computed again', () => {
    const { scheduler, known, c } = growing();
    let plan = step(scheduler);
    while (plan.preempted.length === 0) plan = step(scheduler);
    known.set('c', 64);
    while (c.slot === null) plan = step(scheduler);
    expect(plan.chunks.find(({ sequence }) => sequence === c)?.past).toBe(64);
  });

  test('one that awaits its KV keeps its place; the next younger goes', () => {
    const { scheduler } = make({ tokensMax: 300 });
    const [old, young] = ['old', 'young'].map((name) =>
      sequenceOf(name, { prompt: 10, maxTokens: 500 }),
    ) as [Sequence, Sequence]; // two names give two sequences
    const awaiting = sequenceOf('awaiting', { prompt: 30, maxTokens: 500, awaitsImport: true });
    for (const sequence of [old, young, awaiting]) scheduler.add(sequence);
    let plan = step(scheduler);
    while (plan.preempted.length === 0) plan = step(scheduler);
    expect(names(plan.preempted)).toBe('young');
    expect(awaiting.slot).not.toBeNull();
    expect(scheduler.runningCount).toBe(2);
  });

  test('as many as it takes, and never the last one', () => {
    const { scheduler } = make({ tokensMax: 100, slots: 3 });
    const all = ['a', 'b', 'c'].map((name) =>
      sequenceOf(name, { prompt: 20, maxTokens: 10, awaitsImport: true }),
    );
    for (const sequence of all) scheduler.add(sequence);
    step(scheduler);
    for (const sequence of all) {
      // As if each had grown by 100 at once.
      sequence.awaitsImport = false;
      sequence.ids.push(...new Array<number>(100).fill(7));
      sequence.computed = sequence.ids.length - 1;
    }
    const plan = scheduler.schedule();
    expect(names(plan?.preempted ?? [])).toBe('c b');
    expect(scheduler.running()).toEqual(all.slice(0, 1));
  });

  test('a preempted one can be removed, and leaves nothing', () => {
    const { scheduler, c } = growing();
    while (step(scheduler).preempted.length === 0);
    scheduler.remove(c);
    expect([scheduler.waitingCount, scheduler.find('c')]).toEqual([0, undefined]);
    expect(step(scheduler).admitted).toEqual([]);
  });
});

describe('turns', () => {
  test('lower priority values first, arrival within equal ones', () => {
    const { scheduler } = make({ slots: 1 });
    const list: [string, number][] = [
      ['a', 0],
      ['b', 1],
      ['c', -1],
      ['d', 0],
      ['e', -1],
    ];
    for (const [i, [name, priority]] of list.entries()) {
      scheduler.add(sequenceOf(name, { prompt: 1, maxTokens: 1, priority, nowMs: i }));
    }
    const order: string[] = [];
    while (scheduler.waitingCount > 0) order.push(names(step(scheduler).admitted));
    expect(order).toEqual(['c', 'e', 'a', 'd', 'b']);
  });

  test('waiting counts: a stream of better ones delays, and does not starve', () => {
    const { scheduler } = make({ slots: 1 });
    const low = sequenceOf('low', { prompt: 1, maxTokens: 1, priority: 3 });
    scheduler.add(low);
    let nowMs = 0;
    while (low.slot === null) {
      nowMs += 1000;
      scheduler.add(sequenceOf(`high ${nowMs}`, { prompt: 1, maxTokens: 1, nowMs }));
      const plan = scheduler.schedule();
      if (plan !== null) carryOut(scheduler, plan);
      if (plan?.admitted.includes(low)) break;
      expect(nowMs).toBeLessThanOrEqual(3 * limit.priorityStepMs + 1000);
    }
    expect(nowMs).toBeGreaterThan(2 * limit.priorityStepMs);
  });
});

describe('any traffic, short of memory', () => {
  for (const seed of [21, 22, 23, 24, 25, 26, 27, 28]) {
    test(`seed ${seed}: every promise at every step, and everybody is served`, () =>
      runWorld(seed));
  }
});

function runWorld(seed: number): void {
  const chance = seededChance(seed);
  const below = (count: number): number => chance.u32() % count;
  const slots = 5 + below(4);
  const stepTokens = 1 + below(60);
  const tokensMax = 180 + below(80); // the longest sequence has 30 + 150
  const { scheduler } = make({ slots, stepTokens, tokensMax });
  const alive = new Map<string, Sequence>();
  let [arrivals, served, preemptions, nowMs] = [0, 0, 0, 0];
  for (let round = 0; round < 15_000 || alive.size > 0; round++) {
    nowMs += below(2000);
    while (round < 15_000 && alive.size < 30 && below(3) === 0) arrive();
    for (const sequence of alive.values()) {
      if (sequence.awaitsImport && sequence.slot !== null && below(4) === 0) {
        sequence.awaitsImport = false;
        if (below(3) > 0) sequence.computed = sequence.ids.length;
        sequence.ids.push(7);
      } else if (below(2000) === 0) {
        scheduler.remove(sequence);
        alive.delete(sequence.requestId);
      }
    }
    const awaitingBefore = [...alive.values()].filter((s) => s.awaitsImport && s.slot !== null);
    const plan = scheduler.schedule();
    if (plan === null) continue;
    check(plan, awaitingBefore);
    preemptions += plan.preempted.length;
    carryOut(scheduler, plan);
    // What lies in memory now; the tokens just chosen are not in it yet.
    const computed = scheduler.running().reduce((sum, sequence) => sum + sequence.computed, 0);
    expect(computed).toBeLessThanOrEqual(tokensMax);
    for (const [name] of alive) {
      if (scheduler.find(name) !== undefined) continue;
      alive.delete(name);
      served++;
    }
  }
  expect(served).toBeGreaterThan(300);
  expect(preemptions).toBe(scheduler.preemptionCount);
  expect(preemptions).toBeGreaterThan(10);
  expect([scheduler.runningCount, scheduler.waitingCount, scheduler.committedTokens()]).toEqual([
    0, 0, 0,
  ]);
  expect(scheduler.schedule()).toBeNull();

  function arrive(): void {
    const sequence = sequenceOf(`r${arrivals++}`, {
      prompt: 1 + below(30),
      maxTokens: 1 + below(150),
      priority: below(5) - 2,
      nowMs,
      awaitsImport: below(4) === 0,
    });
    scheduler.add(sequence);
    alive.set(sequence.requestId, sequence);
  }

  function check(plan: StepPlan, awaitingBefore: readonly Sequence[]): void {
    const running = scheduler.running();
    const waiting = [...alive.values()].filter(({ slot }) => slot === null);
    expect(running.length + waiting.length).toBe(alive.size);
    // Memory: what is there never exceeds the limit, nor does what was promised to newcomers.
    const used = running.reduce((sum, { ids }) => sum + ids.length, 0);
    expect(used <= tokensMax || running.length === 1).toBeTrue();
    if (plan.admitted.length > 0) {
      expect(scheduler.committedTokens() <= tokensMax || running.length === 1).toBeTrue();
    }
    // Only the youngest lose their slots, and none whose KV is under way.
    for (const lost of plan.preempted) {
      expect(awaitingBefore).not.toContain(lost);
      expect(lost.computed === 0 || lost.slot !== null).toBeTrue();
      for (const stayed of running) {
        if (stayed.awaitsImport || plan.admitted.includes(stayed)) continue;
        expect(turnOf(lost)).toBeGreaterThanOrEqual(turnOf(stayed));
      }
    }
    for (const sequence of awaitingBefore) expect(sequence.slot).not.toBeNull();
    // In turn: nobody waits for a slot that a later one has got now.
    for (const admitted of plan.admitted) {
      for (const other of waiting) expect(turnOf(admitted)).toBeLessThanOrEqual(turnOf(other));
    }
    // The step's budget, and everybody's next token.
    const rows = plan.batch.filter(({ sequence }) => sequence !== null).length;
    const tokens = plan.chunks.reduce((sum, { count }) => sum + count, 0);
    const least = Math.min(limit.chunkTokensMin, stepTokens);
    expect(tokens).toBeLessThanOrEqual(Math.max(stepTokens - rows, least));
    expect(plan.chunks.length).toBeLessThanOrEqual(limit.stepChunkMax);
    const decoders = running.filter((s) => !s.awaitsImport && behind(s) === 1);
    expect(rows).toBe(decoders.length);
    // Work is never left lying: a prompt without a chunk means that the budget is used up.
    const prompts = running.filter((s) => !s.awaitsImport && behind(s) > 1);
    if (plan.chunks.length < Math.min(prompts.length, limit.stepChunkMax)) {
      expect(tokens).toBe(Math.max(stepTokens - rows, least));
    }
  }
}
