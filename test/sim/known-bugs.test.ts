// Proof that the simulation's auditor sees: each of these breaks production code in one place, and a
// seed must show it, by the rule that is meant for it. Restored afterwards, the same seed is clean.

import { afterEach, describe, expect, test } from 'bun:test';
import { Compute } from '../../src/engine/compute.ts';
import { Scheduler } from '../../src/engine/scheduler.ts';
import { TurnList } from '../../src/engine/waiting.ts';
import { GrammarDesk } from '../../src/grammar/desk.ts';
import { Lane } from '../../src/grammar/lane.ts';
import { readHeader, writeGeneration, writeHeader } from '../../src/kv/block.ts';
import { BlockStore } from '../../src/kv/block-store.ts';
import { KvPool } from '../../src/kv/pool.ts';
import { ShmExport } from '../../src/kv/shm-export.ts';
import { ShmImport } from '../../src/kv/shm-import.ts';
import { Aborts } from '../../src/plane/aborts.ts';
import { InFlight } from '../../src/plane/in-flight.ts';
import { Pending } from '../../src/plane/job.ts';
import { Pauses } from '../../src/plane/pauses.ts';
import type { EnginePort } from '../../src/protocol/engine.ts';
import { runSeed } from '../../src/sim/sim.ts';
import type { Options } from '../../src/sim/simulate.ts';
import { toFault } from '../../src/std/fault.ts';
import { checksum } from '../../src/std/hash.ts';

const seedsMax = 1000;
const undo: (() => void)[] = [];

afterEach(() => {
  for (const restore of undo.splice(0)) restore();
});

/** Puts another method in the place of a class's own. */
function replace<T extends object, K extends keyof T>(type: T, name: K, make: (old: T[K]) => T[K]) {
  const old = type[name];
  type[name] = make(old);
  undo.push(() => {
    type[name] = old;
  });
}

/** Every n-th call. */
function everyNth(n: number): () => boolean {
  let count = 0;
  return () => ++count % n === 0;
}

/** The first seed that fails, and by which rules. */
async function findIn(options: Options = {}): Promise<{ seed: number; rules: string[] }> {
  for (let seed = 1; seed <= seedsMax; seed++) {
    const { verdict, stray } = await runSeed(seed, options);
    const rules = verdict.violations.map(({ rule }) => rule);
    if (stray.length > 0) rules.push('stray');
    if (rules.length > 0) return { seed, rules };
  }
  return { seed: -1, rules: [] };
}

async function expectFound(options: Options, ...wanted: string[]): Promise<void> {
  const { seed, rules } = await findIn(options);
  expect(rules.length, 'no seed shows it').toBeGreaterThan(0);
  expect(wanted).toContain(rules[0] ?? '');
  for (const restore of undo.splice(0)) restore();
  const { verdict } = await runSeed(seed);
  expect(verdict.violations).toEqual([]);
}

/** An engine whose events pass through `alter`. */
function altered(alter: (event: Parameters<Parameters<EnginePort['listen']>[0]>[0]) => unknown[]) {
  return (engine: EnginePort): EnginePort => ({
    submit: (command) => engine.submit(command),
    load: () => engine.load(),
    listen: (handler) =>
      engine.listen((event) => {
        for (const one of alter(event)) handler(one as typeof event); // whatever a bug makes of it
      }),
  });
}

describe('the auditor sees', () => {
  test('blocks that are not let go of', async () => {
    const skips = everyNth(3);
    replace(
      ShmExport.prototype,
      'release',
      (old) =>
        function (this: ShmExport, id) {
          if (!skips()) old.call(this, id);
        },
    );
    replace(BlockStore.prototype, 'expire', () => () => []);
    await expectFound({}, 'leaks', 'no crash');
  }, 60_000);

  test('a token that comes twice under two numbers', async () => {
    const repeats = everyNth(40);
    const wrapEngine = altered((event) => {
      if (event.type !== 'tokens' || event.ids.length === 0 || !repeats()) return [event];
      return [{ ...event, ids: [...event.ids, ...event.ids] }];
    });
    await expectFound({ wrapEngine }, 'tokens', 'errors');
  }, 60_000);

  test('an abort that the engine never hears of', async () => {
    const wrapEngine = (engine: EnginePort): EnginePort => ({
      ...altered((event) => [event])(engine),
      submit: (command) => {
        if (command.type !== 'abort') engine.submit(command);
      },
    });
    await expectFound({ wrapEngine }, 'stops', 'leaks');
  }, 60_000);

  test('a damaged block that is taken for a whole one', async () => {
    replace(
      ShmImport.prototype,
      'put',
      (old) =>
        function (this: ShmImport, request) {
          try {
            return old.call(this, request);
          } catch (thrown) {
            if (toFault(thrown).reason !== 'corrupt') throw thrown;
            const { frame } = request;
            const header = readHeader(frame);
            if ('flaw' in header) throw thrown;
            writeHeader(frame, { ...header, checksum: checksum(frame.subarray(128)) });
            writeGeneration(frame, 0);
            return old.call(this, request);
          }
        },
    );
    await expectFound({}, 'tokens', 'errors');
  }, 60_000);

  test('a lease that never ends', async () => {
    replace(
      BlockStore.prototype,
      'offer',
      (old) =>
        function (this: BlockStore, id, _deadlineMs) {
          old.call(this, id, Number.POSITIVE_INFINITY);
        },
    );
    const loses = everyNth(5);
    const wrapEngine = (engine: EnginePort): EnginePort => ({
      ...altered((event) => [event])(engine),
      submit: (command) => {
        if (command.type !== 'release' || !loses()) engine.submit(command);
      },
    });
    await expectFound({ wrapEngine }, 'leaks');
  }, 60_000);

  test('an answer that is lost without its connection', async () => {
    const loses = everyNth(25);
    replace(
      Pending.prototype,
      'settle',
      (old) =>
        function (this: Pending, ack) {
          if (!loses()) old.call(this, ack);
        },
    );
    await expectFound({}, 'leaks', 'errors', 'healed');
  }, 60_000);

  test('another seed after a preemption', async () => {
    replace(
      TurnList.prototype,
      'add',
      (old) =>
        function (this: TurnList, sequence) {
          const isBack = sequence.admittedMs !== null && sequence.slot === null;
          if (isBack) {
            const { sampling } = sequence;
            Object.assign(sequence, { sampling: { ...sampling, seed: sampling.seed + 1 } });
          }
          old.call(this, sequence);
        },
    );
    await expectFound({}, 'tokens');
  }, 60_000);

  test('a slot that is freed while it is in use', async () => {
    replace(Scheduler.prototype, 'isFree', () => () => true);
    await expectFound({}, 'tokens', 'no crash', 'errors');
  }, 60_000);

  test('memory beyond its limit', async () => {
    replace(KvPool.prototype, 'forget', () => () => undefined);
    await expectFound({}, 'limits');
  }, 60_000);

  test('a cancelled request that goes on', async () => {
    replace(Aborts.prototype, 'send', () => () => undefined);
    await expectFound({}, 'stops', 'leaks');
  }, 60_000);

  test('a worker that is never told to rest', async () => {
    replace(Pauses.prototype, 'say', () => () => undefined);
    await expectFound({}, 'limits');
  }, 60_000);

  test('a worker that is never told to go on', async () => {
    replace(
      Pauses.prototype,
      'say',
      (old) =>
        function (this: Pauses, worker, requestId, isPaused) {
          if (isPaused) old.call(this, worker, requestId, isPaused);
        },
    );
    await expectFound({}, 'leaks', 'errors');
  }, 60_000);

  test('a sequence whose mask is late, and its row not computed again', async () => {
    replace(Compute.prototype, 'takeLate', () => () => []);
    await expectFound({}, 'leaks', 'errors', 'tokens');
  }, 60_000);

  test('a mask that is taken for the next one', async () => {
    replace(
      Lane.prototype,
      'read',
      (old) =>
        function (this: Lane, ask) {
          return old.call(this, ask) ?? (ask > 2 ? old.call(this, ask - 1) : null);
        },
    );
    await expectFound({}, 'tokens');
  }, 60_000);

  test('a grammar that is followed for ever', async () => {
    replace(
      GrammarDesk.prototype,
      'take',
      (old) =>
        function (this: GrammarDesk, ask) {
          if (ask.type !== 'close') old.call(this, ask);
        },
    );
    await expectFound({}, 'leaks');
  }, 60_000);

  test('an exception that ends a process', async () => {
    const fails = everyNth(50);
    const throwing = altered((event) => {
      if (fails()) throw new Error('assertion failed');
      return [event];
    });
    await expectFound({ wrapEngine: throwing }, 'no crash');
  }, 60_000);

  test('a place that is counted for ever', async () => {
    const forgets = everyNth(10);
    replace(
      InFlight.prototype,
      'remove',
      (old) =>
        function (this: InFlight, worker, request) {
          if (!forgets()) old.call(this, worker, request);
        },
    );
    await expectFound({}, 'leaks');
  }, 60_000);
});
