// Disaggregated sampling equals aggregated sampling, on a real model and through real shared memory:
// one engine alone with each request, against a context and a generate engine with all of them at
// once. Every field that looks at the past is in use.

import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../src/engine/engine.ts';
import { Scheduler } from '../../src/engine/scheduler.ts';
import { Arena, blockStride } from '../../src/kv/arena.ts';
import { KvPool } from '../../src/kv/pool.ts';
import { ShmExport } from '../../src/kv/shm-export.ts';
import { ShmImport } from '../../src/kv/shm-import.ts';
import type { KvExport, KvImport } from '../../src/kv/transfer.ts';
import { openModel } from '../../src/model/folder.ts';
import { cachedGraph } from '../../src/model/graph-cache.ts';
import { Ort } from '../../src/model/ort.ts';
import { ortLibraryPath } from '../../src/model/ort-library.ts';
import { OrtSession } from '../../src/model/session.ts';
import type { EngineEvent } from '../../src/protocol/engine.ts';
import { neutralSampling, type Sampling } from '../../src/protocol/request.ts';
import { realClock } from '../../src/std/clock.ts';
import { realChance, seededChance } from '../../src/std/prng.ts';
import { writeTinyModel } from '../model/tiny-llama.ts';

const folder = writeTinyModel(5);
const cacheDir = mkdtempSync(join(tmpdir(), 'tdist-cache-'));
const model = openModel(folder);
const { config, modelDigest } = model;
const { layers, kvHeads, headDim, vocabSize, eosIds } = config;
const geometry = { layers, kvHeads, headDim, blockTokens: 16 };
const [slots, capacity] = [4, 192];
const endings: (() => void)[] = [];

type Side = { readonly engine: Engine; readonly events: EngineEvent[] };
let libraryPath = '';

beforeAll(async () => {
  libraryPath = await ortLibraryPath(cacheDir);
});

afterAll(() => {
  for (const end of endings.reverse()) end();
  rmSync(folder, { recursive: true });
  rmSync(cacheDir, { recursive: true });
});

function openSide(chunkTokens: number, kv: (pool: KvPool) => Partial<KvSides>): Side {
  const pool = new KvPool(geometry, { slots, capacity });
  const modelPath = cachedGraph(config, { modelDigest, cacheDir, weights: model.weights });
  const session = new OrtSession(new Ort(libraryPath), {
    modelPath,
    pool,
    vocabSize,
    threads: 1,
    chunkTokens,
  });
  endings.push(() => {
    session.close();
    pool.close();
  });
  const events: EngineEvent[] = [];
  const engine = new Engine({
    scheduler: new Scheduler({ slots, chunkTokens, queueCountMax: 64 }),
    runner: session,
    moveSlot: (from, to, tokens) => pool.moveSlot(from, to, tokens),
    kvExport: null,
    kvImport: null,
    ...kv(pool),
    clock: realClock,
    eosIds,
    ignoreEos: false,
    maxModelLen: capacity,
    emit: (event) => events.push(event),
    flush: () => undefined,
  });
  return { engine, events };
}

type KvSides = { readonly kvExport: KvExport; readonly kvImport: KvImport };

function settle({ engine }: Side): void {
  for (let steps = 0; engine.step(); steps++) if (steps > 10_000) throw new Error('no rest');
}

type Request = {
  readonly requestId: string;
  readonly promptIds: number[];
  readonly sampling: Sampling;
};

function requestsUnder(seed: number, count: number): Request[] {
  const chance = seededChance(seed);
  const below = (limit: number): number => chance.u32() % limit;
  return Array.from({ length: count }, (_, i) => ({
    requestId: `r${i}`,
    promptIds: Array.from({ length: 1 + below(90) }, () => below(vocabSize)),
    sampling: {
      ...neutralSampling,
      temperature: i % 4 === 0 ? 0 : 0.6 + below(10) / 10,
      topK: below(3) * 40,
      topP: below(2) === 0 ? 1 : 0.9,
      minP: below(2) * 0.02,
      presencePenalty: below(3) - 1,
      frequencyPenalty: below(3) / 2,
      repetitionPenalty: 1 + below(3) / 5,
      logitBias: [[below(vocabSize), 3]],
      seed: chance.u32(),
      maxTokens: 1 + below(40),
      minTokens: below(8),
      stopTokenIds: Array.from({ length: 6 }, () => below(vocabSize)),
      logprobs: i % 3,
    },
  }));
}

type TokensEvent = Extract<EngineEvent, { type: 'tokens' }>;

function tokensOf(requestId: string, ...sides: readonly Side[]): TokensEvent[] {
  return sides.flatMap(({ events }) =>
    events.filter((event) => event.type === 'tokens' && event.requestId === requestId),
  ) as TokensEvent[]; // filtered by their type just above
}

const outcome = (events: readonly TokensEvent[]) => ({
  ids: events.flatMap(({ ids }) => ids),
  finish: events.at(-1)?.finish,
  stopToken: events.at(-1)?.stopToken,
});
const logprobsOf = (events: readonly TokensEvent[]): number[] =>
  events.flatMap(({ logprobs }) =>
    (logprobs ?? []).flatMap(({ logprob, top }) => [logprob, ...top.map(([, value]) => value)]),
  );

test('disaggregated and batched equals aggregated and alone', () => {
  const requests = requestsUnder(9, 24);
  const alone = openSide(64, () => ({}));
  for (const request of requests) {
    alone.engine.submit({ type: 'generate', source: 'local', ...request });
    settle(alone);
  }
  const arena = new Arena(`test-${realChance.id()}`, geometry, 256 * blockStride(geometry));
  endings.push(() => arena.close());
  const parts = { arena, clock: realClock, modelDigest, owner: 'context' };
  const context = openSide(24, (pool) => ({ kvExport: new ShmExport({ ...parts, pool }) }));
  const generate = openSide(64, (pool) => {
    const kvImport = new ShmImport({ pool, modelDigest, worker: 'generate' });
    endings.push(() => kvImport.close());
    return { kvImport };
  });
  disaggregate(requests, context, generate);

  let imported = 0;
  for (const { requestId, sampling } of requests) {
    const wanted = tokensOf(requestId, alone);
    const found = tokensOf(requestId, context, generate);
    expect([requestId, outcome(found)]).toEqual([requestId, outcome(wanted)]);
    const [ours, theirs] = [logprobsOf(found), logprobsOf(wanted)];
    expect(ours.length).toBe(outcome(wanted).ids.length * (1 + (sampling.logprobs ?? 0)));
    for (const [i, value] of ours.entries()) expect(value).toBeCloseTo(theirs[i] ?? Number.NaN, 3);
    if (found.some(({ timing }) => timing?.kvPath === 'shm')) imported++;
  }
  expect(imported).toBeGreaterThan(12);
  const ends = requests.map(({ requestId }) => outcome(tokensOf(requestId, alone)));
  expect(ends.some(({ stopToken }) => stopToken !== undefined)).toBeTrue();
  expect(ends.some(({ finish }) => finish === 'length')).toBeTrue();
});

/** All requests at once: four slots here, four there, and hand-overs as they come. */
function disaggregate(requests: readonly Request[], context: Side, generate: Side): void {
  const byId = new Map(requests.map((request) => [request.requestId, request]));
  for (const request of requests) {
    generate.engine.submit({ type: 'generate', source: 'handover', ...request });
  }
  let [seenGenerate, seenContext] = [0, 0];
  for (let turn = 0; turn < 10_000; turn++) {
    const worked = [generate.engine.step(), context.engine.step()];
    for (; seenGenerate < generate.events.length; seenGenerate++) {
      const event = generate.events[seenGenerate];
      const request = event?.type === 'admitted' ? byId.get(event.requestId) : undefined;
      if (request !== undefined) context.engine.submit({ type: 'prefill', ...request });
    }
    for (; seenContext < context.events.length; seenContext++) {
      const event = context.events[seenContext];
      if (event?.type === 'tokens' && event.finish !== null) {
        generate.engine.submit({ type: 'abort', requestId: event.requestId });
      } else if (event?.type === 'prefilled') {
        const { requestId, firstToken, ticket } = event;
        generate.engine.submit({ type: 'import', requestId, firstToken, ticket });
        context.engine.submit({ type: 'release', requestId });
      }
    }
    const { running, waiting } = generate.engine.load();
    if (running + waiting === 0 && !worked.includes(true)) return;
  }
  throw new Error('the hand-overs do not come to an end');
}
