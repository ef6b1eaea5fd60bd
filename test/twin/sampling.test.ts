// Disaggregated sampling equals aggregated sampling, on a real model and through real shared memory:
// one engine alone with each request, against a context and a generate engine with all of them at
// once. Every field that looks at the past is in use.

import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { EngineEvent } from '../../src/protocol/engine.ts';
import { neutralSampling } from '../../src/protocol/request.ts';
import { seededChance } from '../../src/std/prng.ts';
import { TinyModel } from '../model/tiny-session.ts';
import { type Request, TwinWorker } from './worker.ts';

let tiny: TinyModel;
let vocabSize = 0;
const workers: TwinWorker[] = [];

beforeAll(async () => {
  tiny = await TinyModel.make(5);
  vocabSize = tiny.model.config.vocabSize;
});

afterAll(() => {
  for (const worker of workers) worker.close();
  tiny.close();
});

type Side = { readonly worker: TwinWorker; readonly events: EngineEvent[] };

function openSide(role: 'baseline' | 'context' | 'generate', stepTokens: number): Side {
  const worker = new TwinWorker(tiny, { role, slots: 4, stepTokens });
  workers.push(worker);
  return { worker, events: [] };
}

/** One step; false when there was nothing to do. */
function step({ worker, events }: Side): boolean {
  const worked = worker.engine.step();
  events.push(...worker.take());
  return worked;
}

function settle(side: Side): void {
  for (let steps = 0; step(side); steps++) if (steps > 10_000) throw new Error('no rest');
}

function requestsUnder(seed: number, count: number): Request[] {
  const chance = seededChance(seed);
  const below = (limit: number): number => chance.u32() % limit;
  return Array.from({ length: count }, (_, i) => ({
    requestId: `r${i}`,
    priority: 0,
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
  const alone = openSide('baseline', 64);
  for (const request of requests) {
    alone.worker.engine.submit({ type: 'generate', source: 'local', ...request });
    settle(alone);
  }
  const context = openSide('context', 24);
  const generate = openSide('generate', 64);
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
    generate.worker.engine.submit({ type: 'generate', source: 'handover', ...request });
  }
  let [seenGenerate, seenContext] = [0, 0];
  for (let turn = 0; turn < 10_000; turn++) {
    const worked = [step(generate), step(context)];
    for (; seenGenerate < generate.events.length; seenGenerate++) {
      const event = generate.events[seenGenerate];
      const request = event?.type === 'admitted' ? byId.get(event.requestId) : undefined;
      if (request !== undefined)
        context.worker.engine.submit({ type: 'prefill', kvPath: 'shm', ...request });
    }
    for (; seenContext < context.events.length; seenContext++) {
      const event = context.events[seenContext];
      if (event?.type === 'tokens' && event.finish !== null) {
        generate.worker.engine.submit({ type: 'abort', requestId: event.requestId });
      } else if (event?.type === 'prefilled') {
        const { requestId, firstToken, ticket } = event;
        generate.worker.engine.submit({ type: 'import', requestId, firstToken, ticket });
        context.worker.engine.submit({ type: 'release', requestId });
      }
    }
    const { running, waiting } = generate.worker.engine.load();
    if (running + waiting === 0 && !worked.includes(true)) return;
  }
  throw new Error('the hand-overs do not come to an end');
}
