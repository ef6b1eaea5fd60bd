// Memory changes where and when tokens are computed, never which. Prompts with shared beginnings, greedy
// and with seeds, on the real session: from a cold cache and a warm one, with memory for all and for
// few, prefilled alone and together, and on a cluster whose workers share their arenas.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { StepTiming } from '../../src/protocol/engine.ts';
import { limit } from '../../src/protocol/limit.ts';
import { neutralSampling, type Sampling } from '../../src/protocol/request.ts';
import { realChance, seededChance } from '../../src/std/prng.ts';
import { TinyModel } from '../model/tiny-session.ts';
import { Answers, maxModelLen, type Request, TwinWorker, type WorkerOptions } from './worker.ts';

const { stepTokens } = limit;
let tiny: TinyModel;
let alone: Record<string, string>;
const workers: TwinWorker[] = [];

function start(options: WorkerOptions): TwinWorker {
  const worker = new TwinWorker(tiny, options);
  workers.push(worker);
  return worker;
}

const requests: readonly Request[] = makeRequests();

/** 40 prompts that begin in one of five ways, for 0 to 110 tokens, and grow beyond what is reserved. */
function makeRequests(): Request[] {
  const chance = seededChance(177);
  const below = (count: number): number => chance.u32() % count;
  const beginnings = [15, 33, 48, 110].map((length) => Array.from({ length }, () => below(319)));
  return Array.from({ length: 40 }, (_, i) => {
    const beginning = beginnings[i % 5] ?? [];
    const isSampled = i % 2 === 1;
    const sampling: Sampling = {
      ...neutralSampling,
      temperature: isSampled ? 0.9 : 0,
      topP: isSampled && i % 4 === 1 ? 0.9 : 1,
      seed: chance.u32(),
      maxTokens: i % 7 === 0 ? 1 : 80 + below(80),
      minTokens: 0,
      ignoreEos: true,
    };
    const tail = Array.from({ length: 1 + below(40) }, () => below(319));
    const requestId = `r${String(i).padStart(2, '0')}`;
    return { requestId, promptIds: [...beginning, ...tail], sampling, priority: i % 3 };
  });
}

beforeAll(async () => {
  tiny = await TinyModel.make(11);
  alone = run(start({ role: 'baseline', slots: 1, stepTokens })).answers;
});

afterAll(() => {
  for (const worker of workers) worker.close();
  tiny.close();
});

/** All requests on one worker. */
function run(worker: TwinWorker, list: readonly Request[] = requests) {
  const answers = new Answers();
  let cachedTokens = 0;
  for (const request of list) {
    worker.engine.submit({ type: 'generate', source: 'local', ...request });
  }
  while (worker.engine.step()) {
    expect(worker.pool.residentTokens()).toBeLessThanOrEqual(worker.scheduler.tokensMax);
    for (const event of worker.take()) {
      answers.hear(event);
      if (event.type === 'tokens') cachedTokens += event.timing?.cachedTokens ?? 0;
    }
  }
  expectIdle(worker);
  return { answers: answers.all(), cachedTokens };
}

function expectIdle({ engine, own }: TwinWorker): void {
  expect(engine.load()).toMatchObject({ running: 0, waiting: 0 });
  expect(engine.load().freeTokens).toBe(engine.scheduler.tokensMax);
  if (own === null) return;
  const { free, held, leased, cached } = own.store.counts();
  expect([held, leased, free + cached]).toEqual([0, 0, own.arena.blockCount]);
}

describe('one worker', () => {
  test('no greedy choice is a near-tie', () => {
    const { session } = tiny.session({
      slots: 1,
      capacity: maxModelLen,
      stepTokens,
      blockTokens: 16,
    });
    let closest = Number.POSITIVE_INFINITY;
    for (const { requestId, promptIds, sampling } of requests) {
      if (sampling.temperature > 0) continue;
      const ids = (alone[requestId] ?? '').split(' ')[0]?.split(',').map(Number) ?? [];
      let past = 0;
      let fed: readonly number[] = promptIds;
      for (const id of ids) {
        const logits = session.prefill({ slot: 0, past, ids: fed });
        const [first = 0, second = 0] = logits.slice(0, session.vocabSize).sort().reverse();
        closest = Math.min(closest, first - second);
        past += fed.length;
        fed = [id];
      }
    }
    expect(closest).toBeGreaterThan(1e-4);
  });

  for (const slots of [1, 4, 12]) {
    test(`a cache that fills while it serves, ${slots} at a time; then warm`, () => {
      const arenaBytes = 1 << 24; // room for all of it
      const cacheName = realChance.id();
      const worker = start({ role: 'baseline', slots, stepTokens, cacheName, arenaBytes });
      const cold = run(worker);
      expect(cold.answers).toEqual(alone);
      expect(cold.cachedTokens).toBeGreaterThan(200);
      const warm = run(worker);
      expect(warm.answers).toEqual(alone);
      expect(warm.cachedTokens).toBeGreaterThan(cold.cachedTokens);
      // All full blocks but those of the last token: nothing else is computed again.
      const most = requests.reduce((n, { promptIds: p }) => n + ((p.length - 1) >> 4) * 16, 0);
      expect(warm.cachedTokens).toBe(most);
    });
  }

  test('a cache with little room', () => {
    const arenaBytes = 2 * 4096 + 12 * (16 * 1024 + 8);
    const options = { slots: 4, stepTokens, arenaBytes, cacheName: realChance.id() };
    const worker = start({ role: 'baseline', ...options });
    for (let turn = 0; turn < 2; turn++) expect(run(worker).answers).toEqual(alone);
    expect(worker.own?.store.counts()).toEqual({ free: 0, held: 0, leased: 0, cached: 12 });
  });

  for (const cacheName of [null, 'twin-preempted']) {
    for (const tokensMax of [maxModelLen, 450, 700]) {
      test(`memory for ${tokensMax} tokens, ${cacheName === null ? 'nothing' : 'blocks'} kept`, () => {
        const worker = start({ role: 'baseline', slots: 8, stepTokens, tokensMax, cacheName });
        expect(run(worker).answers).toEqual(alone);
        expect(worker.scheduler.preemptionCount).toBeGreaterThan(0);
      });
    }
  }

  test('prompts prefilled together', () => {
    const chance = seededChance(5);
    const similar = requests.map((request, i) => ({
      ...request,
      promptIds: Array.from({ length: 18 + (i % 6) }, () => chance.u32() % 319),
      sampling: { ...request.sampling, maxTokens: 20 },
      priority: 0,
    }));
    const worker = start({ role: 'baseline', slots: 12, stepTokens });
    const wanted = run(start({ role: 'baseline', slots: 1, stepTokens }), similar).answers;
    expect(run(worker, similar).answers).toEqual(wanted);
    expect(worker.togetherCount).toBeGreaterThan(20);
  });
});

describe('two context and two generate workers', () => {
  for (const tokensMax of [2000, maxModelLen]) {
    test(`sharing arenas, memory for ${tokensMax} tokens each: the baseline's tokens, two turns`, () => {
      const cacheName = realChance.id();
      const common = { stepTokens, cacheName, tokensMax };
      const contexts = [0, 1].map(() => start({ role: 'context', slots: 3, ...common }));
      const generates = [0, 1].map(() => start({ role: 'generate', slots: 6, ...common }));
      const all = [...contexts, ...generates];
      for (const { peers } of all) peers.sweep();
      const cluster = new Cluster(contexts, generates);
      expect(cluster.run(requests)).toEqual(alone);
      const cold = cluster.cachedTokens;
      expect(cold).toBeGreaterThan(100);

      // The next turn of each conversation, on whichever worker: its past lies with a generate worker.
      const next = requests.map((request) => {
        const ids = (alone[request.requestId] ?? '').split(' ')[0]?.split(',').map(Number) ?? [];
        const promptIds = [...request.promptIds, ...ids, 5, 6, 7].slice(0, maxModelLen - 20);
        return { ...request, promptIds, sampling: { ...request.sampling, maxTokens: 8 } };
      });
      cluster.cachedTokens = 0;
      const wanted = run(start({ role: 'baseline', slots: 1, stepTokens }), next).answers;
      expect(cluster.run(next)).toEqual(wanted);
      expect(cluster.cachedTokens).toBeGreaterThan(2 * cold);
      for (const worker of all) expectIdle(worker);
      if (tokensMax < 2000) {
        const preemptions = generates.map(({ scheduler }) => scheduler.preemptionCount);
        expect(Math.max(...preemptions)).toBeGreaterThan(0);
      }
    });
  }
});

/** What gateway and request plane do between workers: pairs in turn, reserve, prefill, hand over. */
class Cluster {
  cachedTokens = 0;
  readonly #contexts: readonly TwinWorker[];
  readonly #generates: readonly TwinWorker[];

  constructor(contexts: readonly TwinWorker[], generates: readonly TwinWorker[]) {
    this.#contexts = contexts;
    this.#generates = generates;
  }

  run(list: readonly Request[]): Record<string, string> {
    const answers = new Answers();
    const places = new Map(
      list.map((request, i) => [
        request.requestId,
        {
          request,
          context: pick(this.#contexts, i),
          // Not in step with the contexts, so that every pair occurs.
          generate: pick(this.#generates, i >> 1),
        },
      ]),
    );
    for (const { request, generate } of places.values()) {
      generate.engine.submit({ type: 'generate', source: 'handover', ...request });
    }
    const hear = (worker: TwinWorker): void => {
      for (const event of worker.take()) {
        answers.hear(event);
        if (!('requestId' in event)) continue;
        const place = places.get(event.requestId);
        if (place === undefined) throw new Error(`who is ${event.requestId}?`);
        const { requestId } = event;
        if (event.type === 'tokens') this.#count(event.timing);
        if (event.type === 'admitted' && worker === place.generate) {
          place.context.engine.submit({ type: 'prefill', kvPath: 'shm', ...place.request });
        } else if (event.type === 'tokens' && event.finish !== null && worker === place.context) {
          place.generate.engine.submit({ type: 'abort', requestId });
        } else if (event.type === 'prefilled') {
          const { firstToken, ticket } = event;
          place.generate.engine.submit({ type: 'import', requestId, firstToken, ticket });
          place.context.engine.submit({ type: 'release', requestId });
        } else if (event.type === 'imported') {
          expect(event.refusal).toBeNull();
        }
      }
    };
    const all = [...this.#contexts, ...this.#generates];
    for (let idle = 0; idle < 3; ) {
      const worked = all.map(({ engine }) => engine.step());
      for (const worker of all) {
        expect(worker.pool.residentTokens()).toBeLessThanOrEqual(worker.scheduler.tokensMax);
        hear(worker);
      }
      idle = worked.includes(true) ? 0 : idle + 1;
    }
    expect(answers.endedCount).toBe(list.length);
    return answers.all();
  }

  #count(timing: StepTiming | undefined): void {
    this.cachedTokens += timing?.cachedTokens ?? 0;
  }
}

function pick(workers: readonly TwinWorker[], i: number): TwinWorker {
  const worker = workers[i % workers.length];
  if (worker === undefined) throw new Error('no worker');
  return worker;
}
