// The built-in model against transformers' own continuations, on every road that memory may take.

import { afterAll, beforeAll, expect, test } from 'bun:test';
import { limit } from '../../src/protocol/limit.ts';
import { neutralSampling } from '../../src/protocol/request.ts';
import { realChance } from '../../src/std/prng.ts';
import { golden } from '../golden/fixture.ts';
import { TinyModel } from '../model/tiny-session.ts';
import { Answers, maxModelLen, type Request, TwinWorker, type WorkerOptions } from './worker.ts';

const { stepTokens } = limit;
const fitting = golden.filter(
  ({ input_ids, output_ids }) => input_ids.length + output_ids.length <= maxModelLen,
);
const requests: readonly Request[] = fitting.map(({ name, input_ids, output_ids }) => ({
  requestId: name,
  promptIds: input_ids,
  priority: 0,
  sampling: {
    ...neutralSampling,
    temperature: 0,
    topP: 1,
    seed: 0,
    maxTokens: output_ids.length,
    minTokens: 0,
    ignoreEos: true,
  },
}));
const wanted = Object.fromEntries(fitting.map((one) => [one.name, `${one.output_ids} length`]));

let demo: TinyModel;
const workers: TwinWorker[] = [];
beforeAll(async () => {
  demo = await TinyModel.demo();
});
afterAll(() => {
  for (const worker of workers) worker.close();
  demo.close();
});

function run(options: WorkerOptions, rounds = 1): TwinWorker {
  const worker = new TwinWorker(demo, options);
  workers.push(worker);
  for (let round = 0; round < rounds; round++) {
    const answers = new Answers();
    for (const request of requests) {
      worker.engine.submit({ type: 'generate', source: 'local', ...request });
    }
    while (worker.engine.step()) for (const event of worker.take()) answers.hear(event);
    expect(answers.all()).toEqual(wanted);
  }
  return worker;
}

test('there is something to compare', () => {
  expect(requests.length).toBeGreaterThan(15);
});

test('prefilled together, decoded together', () => {
  expect(run({ role: 'baseline', slots: 18, stepTokens }).togetherCount).toBeGreaterThan(3);
});

test('out of the cache the second time', () => {
  const options = { slots: 6, stepTokens, cacheName: realChance.id(), arenaBytes: 1 << 25 };
  const { own } = run({ role: 'baseline', ...options }, 2);
  expect(own?.store.counts()).toMatchObject({ held: 0, leased: 0 });
});

test('preempted, far beyond what transformers has written down', () => {
  const options = { role: 'baseline', slots: 18, stepTokens, tokensMax: maxModelLen } as const;
  const { answers, worker } = runLonger(options);
  expect(worker.scheduler.preemptionCount).toBeGreaterThan(0);
  for (const [name, answer] of Object.entries(wanted)) {
    expect(answers[name]).toStartWith(answer.replace(' length', ','));
  }
  expect(answers).toEqual(runLonger({ role: 'baseline', slots: 1, stepTokens }).answers);
}, 60_000);

/** More tokens: admission reserves room for no more than 64. */
function runLonger(options: WorkerOptions) {
  const worker = new TwinWorker(demo, options);
  workers.push(worker);
  const answers = new Answers();
  for (const request of requests) {
    const sampling = { ...request.sampling, maxTokens: 90 };
    worker.engine.submit({ type: 'generate', source: 'local', ...request, sampling });
  }
  while (worker.engine.step()) {
    expect(worker.pool.residentTokens()).toBeLessThanOrEqual(worker.scheduler.tokensMax);
    for (const event of worker.take()) answers.hear(event);
  }
  return { answers: answers.all(), worker };
}
