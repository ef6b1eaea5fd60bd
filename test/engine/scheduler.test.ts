import { describe, expect, test } from 'bun:test';
import type { Chunk, StepPlan } from '../../src/engine/plan.ts';
import { Scheduler, type SchedulerOptions, type SlotKeeper } from '../../src/engine/scheduler.ts';
import { behind, createSequence, type Sequence } from '../../src/engine/sequence.ts';
import { limit } from '../../src/protocol/limit.ts';
import { seededChance } from '../../src/std/prng.ts';
import { greedy } from './rig.ts';

function sequenceOf(
  requestId: string,
  promptLength: number,
  awaitsImport = false,
  options: { priority?: number; nowMs?: number; kind?: Sequence['kind']; maxTokens?: number } = {},
): Sequence {
  const { priority = 0, nowMs = 0, kind = 'generate', maxTokens = greedy.maxTokens } = options;
  const promptIds = Array.from({ length: promptLength }, (_, i) => i + 1);
  const request = { requestId, promptIds, sampling: { ...greedy, maxTokens }, priority };
  return createSequence(request, { kind, awaitsImport, nowMs });
}

/** Remembers nothing. */
const noKeeper: SlotKeeper = { occupy: () => 0, vacate: () => undefined };

function schedulerOf(options: Partial<SchedulerOptions> = {}): Scheduler {
  const roomy = { slots: 3, stepTokens: 8, tokensMax: 1_000_000, queueCountMax: 100 };
  return new Scheduler({ ...roomy, keeper: noKeeper, ...options });
}

/** Carries a plan out: every decoded row, and a chunk that ends its prompt, gets another token. */
function carryOut(scheduler: Scheduler, plan: StepPlan): void {
  scheduler.complete(plan);
  for (const { sequence } of plan.batch) sequence?.ids.push(7);
  for (const { isLast, sequence } of plan.chunks) if (isLast) sequence.ids.push(7);
}

function step(scheduler: Scheduler): StepPlan {
  const plan = scheduler.schedule();
  if (plan === null) throw new Error('nothing to do');
  carryOut(scheduler, plan);
  return plan;
}

/** Adds sequences and steps until each has its first token. */
function decoding(scheduler: Scheduler, ...names: string[]): Sequence[] {
  const sequences = names.map((name) => sequenceOf(name, 2));
  for (const sequence of sequences) scheduler.add(sequence);
  for (const _ of names) step(scheduler);
  return sequences;
}

/** Tokens of each chunk by name. */
const sizesIn = (plan: StepPlan): Record<string, number> =>
  Object.fromEntries(plan.chunks.map(({ sequence, count }) => [sequence.requestId, count]));

const namesIn = (plan: StepPlan): (string | null)[] =>
  plan.batch.map(({ sequence }) => sequence?.requestId ?? null);

describe('admission', () => {
  test('first come, first served, into the lowest slots', () => {
    const scheduler = schedulerOf();
    for (const name of ['a', 'b', 'c', 'd', 'e']) scheduler.add(sequenceOf(name, 4));
    const plan = step(scheduler);
    expect(plan.admitted.map(({ requestId, slot }) => [requestId, slot])).toEqual([
      ['a', 0],
      ['b', 1],
      ['c', 2],
    ]);
    expect([scheduler.runningCount, scheduler.waitingCount]).toEqual([3, 2]);
  });

  test('whoever waits longest gets the slot that falls free', () => {
    const scheduler = schedulerOf({ slots: 2 });
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => sequenceOf(name, 4));
    for (const sequence of [a, b, c, d]) if (sequence !== undefined) scheduler.add(sequence);
    step(scheduler);
    if (a !== undefined) scheduler.remove(a);
    expect(step(scheduler).admitted).toEqual(c === undefined ? [] : [c]);
    expect(c?.slot).toBe(0);
    expect([b?.slot, d?.slot]).toEqual([1, null]);
  });

  test('the queue has a limit, which a removal gives room under', () => {
    const scheduler = schedulerOf({ slots: 1, queueCountMax: 3 });
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => sequenceOf(name, 1));
    expect([a, b, c, d].map((s) => s !== undefined && scheduler.add(s))).toEqual([
      true,
      true,
      true,
      false,
    ]);
    if (b !== undefined) scheduler.remove(b);
    expect(d !== undefined && scheduler.add(d)).toBeTrue();
  });

  test('one name twice is a bug', () => {
    const scheduler = schedulerOf();
    scheduler.add(sequenceOf('a', 1));
    expect(() => scheduler.add(sequenceOf('a', 1))).toThrow('request a twice');
  });

  test('removing is harmless when it is done already, and takes a waiting one out too', () => {
    const scheduler = schedulerOf({ slots: 1 });
    const [a, b] = [sequenceOf('a', 1), sequenceOf('b', 1)];
    scheduler.add(a);
    scheduler.add(b);
    step(scheduler);
    scheduler.remove(b);
    scheduler.remove(b);
    expect([scheduler.runningCount, scheduler.waitingCount]).toEqual([1, 0]);
    scheduler.remove(a);
    scheduler.remove(a);
    expect([scheduler.runningCount, scheduler.waitingCount]).toEqual([0, 0]);
    expect([scheduler.find('a'), scheduler.schedule()]).toEqual([undefined, null]);
  });

  test('needs room to work in', () => {
    expect(() => schedulerOf({ slots: 0 })).toThrow('needs room');
    expect(() => schedulerOf({ stepTokens: 0 })).toThrow('needs room');
  });
});

describe('chunks', () => {
  const chunkSizes: Readonly<Record<number, number[]>> = {
    1: [],
    2: [2],
    7: [7],
    8: [8],
    9: [8],
    10: [8, 2],
    16: [8, 8],
    17: [8, 8],
    24: [8, 8, 8],
    30: [8, 8, 8, 6],
  };
  for (const [length, wanted] of Object.entries(chunkSizes)) {
    test(`a prompt of ${length} with chunks of 8`, () => {
      const scheduler = schedulerOf();
      const sequence = sequenceOf('a', Number(length));
      scheduler.add(sequence);
      const chunks: number[] = [];
      let past = 0;
      while (sequence.ids.length === Number(length)) {
        const { chunks: planned, batch } = step(scheduler);
        expect(planned.length).toBeLessThan(2);
        const [chunk] = planned;
        if (chunk === undefined) {
          // One token behind: whether it is a prompt's last or an answer's, it is a batch row.
          expect(batch).toEqual([{ sequence, past, id: Number(length) }]);
        } else {
          expect([chunk.past, chunk.slot, batch.length]).toEqual([past, 0, 0]);
          expect(chunk.isLast).toBe(past + chunk.count === Number(length));
          chunks.push(chunk.count);
          past += chunk.count;
        }
      }
      expect(chunks).toEqual(wanted);
      expect(behind(sequence)).toBe(1);
    });
  }

  test('the oldest prompt goes first, the next gets what is left, beside the batch', () => {
    const scheduler = schedulerOf();
    const [a] = decoding(scheduler, 'a');
    scheduler.add(sequenceOf('b', 20));
    scheduler.add(sequenceOf('c', 2));
    const order = [step(scheduler), step(scheduler), step(scheduler), step(scheduler)];
    expect(order.map(sizesIn)).toEqual([{ b: 8 }, { b: 8 }, { b: 4, c: 2 }, {}]);
    for (const plan of order) expect(plan.batch[0]?.sequence ?? null).toBe(a ?? null);
  });
});

describe('the batch', () => {
  test('runs from slot 0 to the last that decodes; who has nothing to decode rides along', () => {
    const scheduler = schedulerOf({ slots: 4 });
    const long = sequenceOf('long', 30);
    const waiting = sequenceOf('waiting', 5, true);
    scheduler.add(long);
    scheduler.add(waiting);
    scheduler.add(sequenceOf('one', 1));
    const plan = step(scheduler);
    expect(namesIn(plan)).toEqual([null, null, 'one']);
    expect(plan.batch.map(({ past }) => past)).toEqual([0, 0, 0]);
    expect(plan.chunks.map(({ sequence }) => sequence)).toEqual([long]);
    // The dummy lands on the first row that is still to be computed.
    const next = step(scheduler);
    expect(next.batch.map(({ past }) => past)).toEqual([8, 0, 1]);
    expect([long.computed, waiting.computed]).toEqual([16, 0]);
  });

  test('nobody decodes: no batch, whoever has a slot', () => {
    const scheduler = schedulerOf();
    scheduler.add(sequenceOf('a', 30));
    scheduler.add(sequenceOf('b', 3, true));
    expect(step(scheduler).batch).toEqual([]);
  });

  test('waiting for KV alone is no work', () => {
    const scheduler = schedulerOf();
    const sequence = sequenceOf('a', 5, true);
    scheduler.add(sequence);
    expect(step(scheduler).admitted).toEqual([sequence]); // said once …
    expect(scheduler.schedule()).toBeNull(); // … and then silence
    sequence.awaitsImport = false;
    sequence.computed = 5;
    sequence.ids.push(9);
    expect(step(scheduler).batch).toEqual([{ sequence, past: 5, id: 9 }]);
  });
});

describe('compaction', () => {
  test('the last decoding one moves into the hole with what it has computed', () => {
    const scheduler = schedulerOf({ slots: 4 });
    const [a, , , d] = decoding(scheduler, 'a', 'b', 'c', 'd');
    if (a !== undefined) scheduler.remove(a);
    const computed = d?.computed ?? 0;
    const plan = step(scheduler);
    expect(plan.moves).toEqual([{ from: 3, to: 0, tokens: computed }]);
    expect(namesIn(plan)).toEqual(['d', 'b', 'c']);
    expect([d?.slot, scheduler.moveCount]).toEqual([0, 1]);
  });

  test('as many moves as holes below, and none when the end itself falls away', () => {
    const scheduler = schedulerOf({ slots: 6 });
    const all = decoding(scheduler, 'a', 'b', 'c', 'd', 'e', 'f');
    for (const at of [0, 2, 5]) {
      const sequence = all[at];
      if (sequence !== undefined) scheduler.remove(sequence);
    }
    const plan = step(scheduler);
    expect(plan.moves.map(({ from, to }) => [from, to])).toEqual([
      [4, 0],
      [3, 2],
    ]);
    expect(namesIn(plan)).toEqual(['e', 'b', 'd']);
    for (const at of [1, 4]) {
      const sequence = all[at];
      if (sequence !== undefined) scheduler.remove(sequence);
    }
    expect(namesIn(step(scheduler))).toEqual(['d']);
    expect(scheduler.moveCount).toBe(3);
  });

  test('an arrival takes the hole first: no move', () => {
    const scheduler = schedulerOf();
    const [a] = decoding(scheduler, 'a', 'b', 'c');
    if (a !== undefined) scheduler.remove(a);
    scheduler.add(sequenceOf('new', 3));
    const plan = step(scheduler);
    expect([plan.moves, plan.admitted[0]?.slot]).toEqual([[], 0]);
    expect(namesIn(plan)).toEqual([null, 'b', 'c']);
  });

  test('who does not decode keeps its place', () => {
    const scheduler = schedulerOf();
    const [a] = decoding(scheduler, 'a');
    const waiting = sequenceOf('w', 5, true);
    scheduler.add(waiting);
    step(scheduler);
    if (a !== undefined) scheduler.remove(a);
    expect(scheduler.schedule()).toBeNull();
    expect(waiting.slot).toBe(1);
  });
});

describe('any order of arrivals, ends and aborts', () => {
  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
    test(`seed ${seed}: 3000 steps keep every promise`, () => runWorld(seed, 3000));
  }
});

/** A scheduler under random traffic, with what must hold at every step checked at every step. */
function runWorld(seed: number, steps: number): void {
  const chance = seededChance(seed);
  const below = (count: number): number => chance.u32() % count;
  const slots = 1 + below(7);
  const queueCountMax = slots + 5;
  const stepTokens = 1 + below(9) * (1 + below(9));
  const scheduler = schedulerOf({ slots, stepTokens, queueCountMax });
  const known = new Map<string, { sequence: Sequence; ends: number; arrived: number }>();
  const admittedOrder: number[] = [];
  let arrivals = 0;
  for (let now = 0; now < steps; now++) {
    while (below(3) === 0) {
      const sequence = sequenceOf(`r${arrivals}`, 1 + below(25), below(4) === 0);
      const taken = scheduler.add(sequence);
      expect(taken).toBe(known.size < queueCountMax);
      const ends = sequence.ids.length + 1 + below(12);
      if (taken) known.set(sequence.requestId, { sequence, ends, arrived: arrivals });
      arrivals++;
    }
    for (const { sequence } of known.values()) {
      if (below(60) === 0) end(scheduler, known, sequence);
      else if (sequence.awaitsImport && sequence.slot !== null && below(5) === 0) {
        importKv(sequence, below(3) === 0);
      }
    }
    const plan = scheduler.schedule();
    if (plan === null) {
      for (const { sequence } of known.values()) {
        expect(sequence.awaitsImport || sequence.slot === null).toBeTrue();
      }
      continue;
    }
    for (const { requestId } of plan.admitted) {
      admittedOrder.push(known.get(requestId)?.arrived ?? -1);
    }
    checkPlan(
      plan,
      scheduler,
      { slots, stepTokens },
      [...known.values()].map(({ sequence }) => sequence),
    );
    carryOut(scheduler, plan);
    for (const { sequence, ends } of known.values()) {
      if (sequence.ids.length >= ends) end(scheduler, known, sequence);
    }
    expect(scheduler.runningCount + scheduler.waitingCount).toBe(known.size);
  }
  // First come, first served: nobody was passed, so nobody starves.
  expect(admittedOrder).toEqual([...admittedOrder].sort((a, b) => a - b));
  expect(admittedOrder.length).toBeGreaterThan(steps / 20);
}

function end(scheduler: Scheduler, known: Map<string, unknown>, sequence: Sequence): void {
  scheduler.remove(sequence);
  known.delete(sequence.requestId);
}

function importKv(sequence: Sequence, failed: boolean): void {
  sequence.awaitsImport = false;
  if (!failed) sequence.computed = sequence.ids.length;
  sequence.ids.push(7);
}

function checkPlan(
  plan: StepPlan,
  scheduler: Scheduler,
  { slots, stepTokens }: { readonly slots: number; readonly stepTokens: number },
  known: readonly Sequence[],
): void {
  const taken = known.flatMap(({ slot }) => (slot === null ? [] : [slot]));
  expect(new Set(taken).size).toBe(taken.length); // no slot has two owners
  expect(Math.max(-1, ...taken)).toBeLessThan(slots);
  expect(scheduler.runningCount).toBe(taken.length);
  // Free slots and waiting requests never meet.
  expect(scheduler.waitingCount === 0 || taken.length === slots).toBeTrue();

  const decoders = known.filter(
    (sequence) => sequence.slot !== null && !sequence.awaitsImport && behind(sequence) === 1,
  );
  const rows = plan.batch.flatMap(({ sequence }) => (sequence === null ? [] : [sequence]));
  expect(new Set(rows)).toEqual(new Set(decoders)); // everybody's next token, each step
  expect(rows.length).toBe(decoders.length);
  plan.batch.forEach((row, slot) => {
    const occupant = known.find((sequence) => sequence.slot === slot);
    expect(occupant).toBeDefined(); // compact: no empty row is computed
    expect(row.past).toBe(occupant?.computed ?? -1);
    if (row.sequence !== null) expect(row.id).toBe(row.sequence.ids[row.past] ?? -1);
  });
  expect(plan.batch.at(-1)?.sequence === null).toBe(false); // the run ends with a decoder, or is empty
  const prompts = known.filter(
    (sequence) => sequence.slot !== null && !sequence.awaitsImport && behind(sequence) > 1,
  );
  // The budget goes to prompts in order of arrival, to the last token of it.
  let budget = Math.max(stepTokens - rows.length, Math.min(limit.chunkTokensMin, stepTokens));
  const wanted = prompts.slice(0, limit.stepChunkMax).flatMap((sequence) => {
    const count = Math.min(budget, behind(sequence));
    const { slot, computed: past } = sequence;
    budget -= count;
    return count === 0 ? [] : [{ sequence, slot, past, count, isLast: count === behind(sequence) }];
  });
  expect(plan.chunks).toEqual(wanted.sort((a, b) => (a.slot ?? 0) - (b.slot ?? 0)) as Chunk[]);
}
