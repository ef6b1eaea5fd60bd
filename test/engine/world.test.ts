// Three whole engines under random traffic: one that does all itself, and a pair that hands over.
// Whatever arrives, aborts and fails in whatever order, each request gets exactly the tokens that the
// fake model defines for it alone, or a fault that was due; and at the end nothing is left behind.

import { describe, expect, test } from 'bun:test';
import type { KvCache } from '../../src/kv/transfer.ts';
import type { Sampling } from '../../src/protocol/request.ts';
import { Fault } from '../../src/std/fault.ts';
import { seededChance } from '../../src/std/prng.ts';
import { FakeCache } from './fake-cache.ts';
import { expectedTokens, type FakeRunner } from './fake-runner.ts';
import { FakeArena, FakeExport, FakeImport } from './fake-transfer.ts';
import { eosIds, greedy, maxModelLen, Rig, vocabSize } from './rig.ts';

type Request = {
  readonly prompt: readonly number[];
  sampling: Sampling;
  aborted: boolean;
};

/** Random numbers and requests under a seed. */
function dice(seed: number) {
  const chance = seededChance(seed);
  const below = (count: number): number => chance.u32() % count;
  const request = (): Request => ({
    prompt: Array.from({ length: 1 + below(40) }, () => below(vocabSize)),
    sampling: {
      ...greedy,
      temperature: below(2) * 0.9,
      topK: below(2) * below(30),
      topP: below(2) === 0 ? 1 : 0.8,
      minP: below(2) * 0.1,
      presencePenalty: below(3) - 1,
      frequencyPenalty: (below(3) - 1) / 2,
      repetitionPenalty: below(2) === 0 ? 1 : 1.3,
      logitBias: below(3) === 0 ? [[below(vocabSize), below(9) - 4]] : [],
      seed: chance.u32(),
      maxTokens: 1 + below(20),
      minTokens: below(6),
      stopTokenIds: below(3) === 0 ? [below(vocabSize), below(vocabSize)] : [],
      ignoreEos: below(4) === 0,
      logprobs: below(4) === 0 ? below(4) : null,
    },
    aborted: false,
  });
  return { below, request };
}

function expectAnswer(rig: Rig, id: string, request: Request, first: readonly number[] = []): void {
  const { ids, finish } = rig.tokens(id, first.length);
  const found = { ids: [...first, ...ids], finish };
  const wanted = expectedTokens(request.prompt, request.sampling, { vocabSize, eosIds });
  if (!request.aborted) return expect(found).toEqual(wanted);
  // Cut off somewhere: what came is the beginning of what would have come.
  expect(found.ids).toEqual(wanted.ids.slice(0, found.ids.length));
}

function expectIdle(rig: Rig): void {
  expect(rig.engine.load()).toMatchObject({ running: 0, waiting: 0 });
  expect(rig.engine.step()).toBeFalse();
  expect(rig.runner.violations).toEqual([]);
}

describe('one engine', () => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    test(`seed ${seed}: a thousand requests, each as if it were alone`, () => {
      const { below, request } = dice(seed);
      const rig = new Rig({ slots: 1 + below(9), stepTokens: 1 + below(20), queueCountMax: 12 });
      const requests = new Map<string, Request>();
      for (let i = 0; i < 1000; i++) {
        while (rig.engine.load().waiting >= 2) rig.engine.step();
        const one = request();
        requests.set(`r${i}`, one);
        rig.generate(`r${i}`, one.prompt, one.sampling);
        for (let n = below(12); n > 0; n--) rig.engine.step();
        if (below(8) === 0) abort(rig, requests, `r${Math.max(0, i - below(6))}`);
      }
      rig.settle();
      expect(rig.events.some(({ type }) => type === 'refused')).toBeFalse();
      for (const [id, one] of requests) expectAnswer(rig, id, one);
      expect(rig.scheduler.moveCount > 0 || rig.scheduler.slots < 3).toBeTrue();
      expectIdle(rig);
    });
  }
});

/** Beyond what admission reserves (`limit.growthTokens`): 50 of prompt and 200 of growth. */
const longModelLen = 250;

function growing(sampling: Sampling, below: (count: number) => number): Sampling {
  return { ...sampling, maxTokens: 1 + below(200), ignoreEos: below(3) > 0 };
}

/** Prompts that begin alike, so that there is something to remember. */
function makeShared(
  request: Request,
  beginnings: readonly (readonly number[])[],
  n: number,
): Request {
  const beginning = beginnings[n % beginnings.length] ?? [];
  return { ...request, prompt: [...beginning, ...request.prompt].slice(0, 50) };
}

describe('one engine, short of memory', () => {
  for (const seed of [31, 32, 33, 34, 35, 36, 37, 38]) {
    const what = seed % 2 === 0 ? 'with a prefix cache' : 'without';
    test(`seed ${seed}, ${what}: preempted, resumed, overtaken, each as if it were alone`, () => {
      const { below, request } = dice(seed);
      // Room for one to three of the longest sequences; FakeRunner watches it at every call.
      const tokensMax = longModelLen + below(longModelLen);
      const holder: { cache: FakeCache | null } = { cache: null };
      const rig = new Rig({
        slots: 3 + below(7),
        stepTokens: 1 + below(60),
        tokensMax,
        maxModelLen: longModelLen,
        queueCountMax: 30,
        kvCache: (runner) => {
          holder.cache = new FakeCache(runner);
          holder.cache.isBroken = () => below(20) === 0;
          return holder.cache;
        },
        ...(seed % 2 === 0 ? {} : { kvCache: () => nothingKnown }),
      });
      const beginnings = Array.from({ length: 5 }, () => request().prompt);
      const requests = new Map<string, Request>();
      for (let i = 0; i < 600; i++) {
        while (rig.engine.load().waiting >= 20) step();
        const one = makeShared(request(), beginnings, below(12));
        one.sampling = growing(one.sampling, below);
        requests.set(`r${i}`, one);
        rig.clock.advance(below(3000));
        rig.generate(`r${i}`, one.prompt, one.sampling, below(5) - 2);
        for (let n = below(6); n > 0; n--) step();
        if (below(8) === 0) abort(rig, requests, `r${Math.max(0, i - below(25))}`);
      }
      while (step());
      expect(rig.events.some(({ type }) => type === 'refused')).toBeFalse();
      for (const [id, one] of requests) {
        expectAnswer(rig, id, one);
        expect(rig.of('admitted', id).length).toBeLessThanOrEqual(1); // said once, whatever follows
      }
      expect(rig.scheduler.preemptionCount).toBeGreaterThan(5);
      if (holder.cache !== null) expect(holder.cache.restoredTokens).toBeGreaterThan(500);
      expect(rig.engine.load().freeTokens).toBe(tokensMax);
      expectIdle(rig);

      function step(): boolean {
        const worked = rig.engine.step();
        expect(rig.runner.memory.residentTokens()).toBeLessThanOrEqual(tokensMax);
        return worked;
      }
    });
  }
});

/** `--no-enable-prefix-caching` in another dress. */
const nothingKnown: KvCache = { restore: ({ from }) => from, keep: () => undefined };

function abort(rig: Rig, requests: Map<string, Request>, requestId: string): void {
  rig.engine.submit({ type: 'abort', requestId });
  const request = requests.get(requestId);
  if (request !== undefined) request.aborted = true;
}

describe('a context and a generate worker', () => {
  for (const seed of [11, 12, 13, 14]) {
    test(`seed ${seed}: hand-overs, fallbacks and aborts give the aggregated tokens`, () => {
      handOverWorld(seed, { isTight: false });
    });
  }
  for (const seed of [41, 42, 43, 44, 45, 46]) {
    test(`seed ${seed}: likewise with little memory on both, and what each remembers`, () => {
      handOverWorld(seed, { isTight: true });
    });
  }
});

function handOverWorld(seed: number, { isTight }: { isTight: boolean }): void {
  const { below, request: anyRequest } = dice(seed);
  const beginnings = Array.from({ length: 4 }, () => anyRequest().prompt);
  const request = (): Request => (isTight ? makeTight() : anyRequest());
  const makeTight = (): Request => {
    const one = makeShared(anyRequest(), beginnings, below(9));
    return { ...one, sampling: growing(one.sampling, below) };
  };
  const blocks = new Map<string, readonly number[]>();
  const tokensMax = (): { tokensMax?: number } =>
    isTight ? { tokensMax: longModelLen + below(100) } : {};
  const kvCache = (runner: FakeRunner): KvCache =>
    isTight ? new FakeCache(runner, { blocks }) : nothingKnown;
  const arena = new FakeArena();
  arena.roomFor = 6;
  const context = new Rig({
    slots: 1 + below(4),
    stepTokens: 1 + below(20),
    ...tokensMax(),
    maxModelLen: isTight ? longModelLen : maxModelLen,
    kvCache,
    kvExport: (runner) => new FakeExport(arena, runner),
  });
  const holder: { importer: FakeImport | null } = { importer: null };
  const generate = new Rig({
    slots: 2 + below(8),
    stepTokens: 1 + below(20),
    ...tokensMax(),
    maxModelLen: isTight ? longModelLen : maxModelLen,
    kvCache,
    kvImport: (runner) => {
      holder.importer = new FakeImport(arena, runner);
      return holder.importer;
    },
  });
  const requests = new Map<string, Request>();
  const carried = new Set<string>();
  let seen = 0;
  let reserved = 0;

  /** What the two workers' message rooms do, in between steps. */
  const carry = (): void => {
    for (; seen < context.events.length; seen++) {
      const event = context.events[seen];
      if (event?.type === 'tokens' && event.finish !== null) {
        // The answer is over already: its reservation is needed no longer.
        generate.engine.submit({ type: 'abort', requestId: event.requestId });
      }
      if (event?.type !== 'prefilled') continue;
      const { requestId, firstToken, ticket } = event;
      if (holder.importer !== null) {
        holder.importer.fault = below(5) === 0 ? new Fault('transfer', 'lost') : null;
      }
      carried.add(requestId);
      generate.engine.submit({ type: 'import', requestId, firstToken, ticket });
      context.engine.submit({ type: 'release', requestId });
    }
  };
  const end = (requestId: string): void => {
    abort(generate, requests, requestId);
    abort(context, requests, requestId);
  };
  /** Reserved requests whose prefill has not been asked for yet. */
  const admit = (): void => {
    const admitted = generate.events.slice(reserved).flatMap((event) => {
      return event.type === 'admitted' ? [event.requestId] : [];
    });
    reserved = generate.events.length;
    for (const id of admitted) {
      const one = requests.get(id);
      if (one !== undefined && !one.aborted) context.prefill(id, one.prompt, one.sampling);
    }
  };
  const turn = (): void => {
    if (below(2) === 0) context.engine.step();
    if (below(2) === 0) generate.engine.step();
    admit();
    carry();
  };
  for (let i = 0; i < 120; i++) {
    const one = request();
    requests.set(`r${i}`, one);
    while (generate.engine.load().waiting > 4) turn();
    generate.reserve(`r${i}`, one.prompt, one.sampling);
    for (let n = below(30); n > 0; n--) turn();
    if (below(8) === 0) end(`r${Math.max(0, i - below(5))}`);
  }
  for (let n = 0; n < 50_000 && isBusy(generate); n++) turn();
  context.settle();
  generate.settle();
  for (const [id, one] of requests) {
    const first = context.tokens(id);
    if (carried.has(id) && generate.of('tokens', id).length > 0) {
      expectAnswer(generate, id, one, first.ids);
    } else {
      expectAnswer(context, id, one);
    }
  }
  expect(carried.size).toBeGreaterThan(60);
  if (isTight) expect(generate.scheduler.preemptionCount).toBeGreaterThan(2);
  expect(arena.staged.size).toBe(0);
  expectIdle(context);
  expectIdle(generate);
}

function isBusy(rig: Rig): boolean {
  const { running, waiting } = rig.engine.load();
  return running + waiting > 0;
}
