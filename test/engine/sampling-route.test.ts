// What sampling fields do to whole requests, and that they do the same on every route: local, or
// disaggregated with the first token made elsewhere; alone, or in a batch.

import { describe, expect, test } from 'bun:test';
import type { Sampling, TokenLogprobs } from '../../src/protocol/request.ts';
import { expectedTokens, fakeLogits } from './fake-runner.ts';
import { FakeArena, FakeExport, FakeImport } from './fake-transfer.ts';
import { naiveLogprobs } from './naive-sampler.ts';
import { eosIds, greedy, promptOf, Rig, vocabSize } from './rig.ts';

const prompt = promptOf(11, 3);
const expected = (sampling: Partial<Sampling>) =>
  expectedTokens(prompt, { ...greedy, ...sampling }, { vocabSize, eosIds });

type Answer = {
  readonly ids: readonly number[];
  readonly finish: string | null;
  readonly logprobs: readonly TokenLogprobs[];
  readonly stopToken: number | undefined;
};

function answerOf(...rigs: readonly Rig[]): Answer {
  const events = rigs.flatMap((rig) => rig.of('tokens', 'a'));
  const last = events.at(-1);
  return {
    ids: events.flatMap(({ ids }) => ids),
    finish: last?.finish ?? null,
    logprobs: events.flatMap(({ logprobs }) => logprobs ?? []),
    stopToken: last?.stopToken,
  };
}

/** Others in the batch, with fields of their own. */
function crowd(rig: Rig): void {
  for (let i = 0; i < 3; i++) {
    const sampling = { temperature: 1, seed: i, maxTokens: 20, ignoreEos: true, logprobs: i };
    rig.generate(`other-${i}`, promptOf(3 + i, i), { ...sampling, presencePenalty: i - 1 });
  }
}

const routes: Readonly<Record<string, (sampling: Partial<Sampling>) => Answer>> = {
  local: (sampling) => {
    const rig = new Rig();
    rig.generate('a', prompt, sampling);
    rig.settle();
    return answerOf(rig);
  },
  'in a batch': (sampling) => {
    const rig = new Rig({ stepTokens: 3 });
    crowd(rig);
    rig.generate('a', prompt, sampling);
    rig.settle();
    return answerOf(rig);
  },
  disaggregated: (sampling) => handOver(sampling, true),
  'hand-over without KV': (sampling) => handOver(sampling, false),
};

function handOver(sampling: Partial<Sampling>, hasKv: boolean): Answer {
  const arena = new FakeArena();
  const context = new Rig({ kvExport: (runner) => new FakeExport(arena, runner) });
  const generate = new Rig({ kvImport: (runner) => new FakeImport(arena, runner) });
  crowd(generate);
  generate.reserve('a', prompt, sampling);
  generate.engine.step();
  context.prefill('a', prompt, sampling);
  context.settle();
  const prefilled = context.of('prefilled', 'a')[0];
  if (prefilled !== undefined) {
    const { firstToken, ticket } = prefilled;
    const kv = hasKv ? ticket : null;
    generate.engine.submit({ type: 'import', requestId: 'a', firstToken, ticket: kv });
    generate.settle();
  }
  return answerOf(context, generate);
}

const settings: readonly Partial<Sampling>[] = [
  { temperature: 1, seed: 5, maxTokens: 20, ignoreEos: true },
  { temperature: 0.7, seed: 6, maxTokens: 20, topK: 12, topP: 0.9, minP: 0.05, logprobs: 3 },
  { presencePenalty: 2, frequencyPenalty: 1.5, maxTokens: 30, ignoreEos: true, logprobs: 0 },
  { repetitionPenalty: 1.8, maxTokens: 30, ignoreEos: true },
  { temperature: 1.5, seed: 7, presencePenalty: -2, repetitionPenalty: 0.7, maxTokens: 20 },
];

describe('the same on every route', () => {
  for (const [index, sampling] of settings.entries()) {
    test(`setting ${index}`, () => {
      const wanted = expected(sampling);
      const local = routes['local']?.(sampling);
      expect(local).toMatchObject(wanted);
      expect(local?.logprobs.length).toBe(sampling.logprobs == null ? 0 : wanted.ids.length);
      for (const [name, route] of Object.entries(routes)) {
        expect([name, route(sampling)]).toEqual([name, local as Answer]); // its shape is checked above
      }
    });
  }
});

test('logprobs are those of the raw logits, whatever temperature, bias and penalties did', () => {
  const logitBias: [number, number][] = [[17, 100]];
  const sampling = { temperature: 0.5, presencePenalty: 2, logitBias, logprobs: 4, maxTokens: 3 };
  for (const route of Object.values(routes)) {
    const { ids, logprobs } = route(sampling);
    expect(ids).toEqual([17, 17, 17]);
    for (const [index, found] of logprobs.entries()) {
      const raw = fakeLogits([...prompt, ...ids.slice(0, index)], new Float32Array(vocabSize));
      expect(found).toEqual(naiveLogprobs([...raw], 17, 4));
    }
  }
});

describe('stop tokens', () => {
  const free = expected({ maxTokens: 8, ignoreEos: true }).ids;
  const third = free[2] ?? -1;

  test('end the answer, are not in it, and are named', () => {
    const first = free.indexOf(third);
    for (const route of Object.values(routes)) {
      const found = route({ stopTokenIds: [third], ignoreEos: true });
      expect(found).toMatchObject({ ids: free.slice(0, first), finish: 'stop', stopToken: third });
    }
  });

  test('as the very first token: the context worker ends it', () => {
    const stop = free[0] ?? -1;
    for (const route of Object.values(routes)) {
      const found = route({ stopTokenIds: [stop], ignoreEos: true, logprobs: 2 });
      expect(found).toEqual({ ids: [], finish: 'stop', logprobs: [], stopToken: stop });
    }
  });

  test('cannot be chosen before min_tokens are out, on any route', () => {
    const sampling = { stopTokenIds: [...new Set(free)], minTokens: 5, ignoreEos: true };
    const wanted = expected(sampling);
    expect(wanted.ids.length).toBeGreaterThanOrEqual(5);
    for (const route of Object.values(routes)) expect(route(sampling)).toMatchObject(wanted);
  });

  test('an end-of-sequence token is none of them', () => {
    const logitBias: [number, number][] = [[eosIds[0] ?? 0, 100]];
    for (const route of Object.values(routes)) {
      expect(route({ logitBias, stopTokenIds: [...eosIds] })).toEqual({
        ids: [],
        finish: 'stop',
        logprobs: [],
        stopToken: undefined,
      });
    }
  });
});

test('ids outside the vocabulary are refused by the worker too', () => {
  for (const sampling of [{ stopTokenIds: [vocabSize] }, { logitBias: [[vocabSize, 1]] }]) {
    const rig = new Rig();
    rig.generate('a', prompt, sampling as Partial<Sampling>); // its tuples are widened in the list
    expect(rig.of('refused', 'a').map(({ code }) => code)).toEqual(['invalid_request']);
  }
});
