import { describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { limit } from '../../src/protocol/limit.ts';
import { neutralSampling, samplingSchema } from '../../src/protocol/request.ts';

const sampling = { ...neutralSampling, seed: 1, maxTokens: 5 };

describe('a worker takes no sampling fields on trust', () => {
  test('the neutral ones are fine', () => {
    expect(v.parse(samplingSchema, sampling)).toEqual(sampling);
  });

  const long = (count: number): number[] => new Array<number>(count).fill(1);
  test.each([
    { temperature: 2.1 },
    { temperature: null },
    { topK: -1 },
    { topK: 2 ** 31 },
    { topP: 0 },
    { minP: -0.1 },
    { minP: 1.1 },
    { presencePenalty: 2.1 },
    { frequencyPenalty: -2.1 },
    { repetitionPenalty: 0 },
    { repetitionPenalty: null },
    { logitBias: [[1, 101]] },
    { logitBias: [[-1, 1]] },
    { logitBias: [[1.5, 1]] },
    { logitBias: [[1]] },
    { logitBias: long(limit.logitBiasCountMax + 1).map((id) => [id, 1]) },
    { stopTokenIds: [-1] },
    { stopTokenIds: long(limit.stopTokenCountMax + 1) },
    { logprobs: 21 },
    { logprobs: true },
    { seed: 1.5 },
    { maxTokens: 0 },
  ])('%#', (change) => {
    expect(v.is(samplingSchema, { ...sampling, ...change })).toBeFalse();
  });
});
