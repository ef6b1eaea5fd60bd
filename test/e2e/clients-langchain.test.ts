// LangChain against the executable: invoke, stream, structured output and tools, over chat and over
// /v1/responses.

import { beforeAll, describe, expect, test } from 'bun:test';
import { ChatOpenAI } from '@langchain/openai';
import { z } from 'zod';
import { type Deployment, startAll } from './deployment.ts';
import { checkedFetch } from './reply-validator.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
let all: Deployment;
beforeAll(async () => {
  all = await startAll(world);
});

function chat(useResponsesApi: boolean): ChatOpenAI {
  return new ChatOpenAI({
    model: 'llama',
    apiKey: 'none',
    temperature: 0,
    maxRetries: 0,
    maxTokens: 200,
    useResponsesApi,
    configuration: { baseURL: `${all.url}/v1`, fetch: checkedFetch },
  });
}

const france = 'What is the capital of France?';
const paris = 'The capital of France is Paris.';
const City = z.object({ name: z.string().max(12), people: z.number().int().min(0).max(9999) });
const weather = {
  name: 'get_weather',
  description: 'Get the current weather of a city.',
  schema: z.object({ city: z.string() }),
};

describe.each([
  ['chat', false],
  ['responses', true],
] as const)('over %s', (_name, useResponsesApi) => {
  test('invoke', async () => {
    const answer = await chat(useResponsesApi).invoke(france);
    expect(answer.text).toBe(paris);
    expect(answer).toMatchObject({ usage_metadata: { output_tokens: 7 } });
  });

  test('stream', async () => {
    const pieces: string[] = [];
    for await (const chunk of await chat(useResponsesApi).stream(france)) pieces.push(chunk.text);
    expect(pieces.join('')).toBe(paris);
    expect(pieces.length).toBeGreaterThan(3);
  });

  test('withStructuredOutput', async () => {
    for (const method of ['jsonSchema', 'functionCalling'] as const) {
      const model = chat(useResponsesApi).withStructuredOutput(City, { method, name: 'city' });
      const found = await model.invoke('Tell me about Paris as JSON.');
      expect(City.safeParse(found).error).toBeUndefined();
    }
  });

  test('bindTools: called, answered, and told', async () => {
    const model = chat(useResponsesApi).bindTools([weather]);
    const question = { role: 'user', content: 'What is the weather in Oslo?' };
    const first = await model.invoke([question]);
    expect(first.tool_calls?.map(({ name, args }) => [name, args])).toEqual([
      ['get_weather', { city: 'Oslo' }],
    ]);
    const result = {
      role: 'tool',
      content: '{"weather": "rain"}',
      tool_call_id: first.tool_calls?.[0]?.id ?? '',
    };
    expect((await model.invoke([question, first, result])).text).toContain('rain');
  });
});

testNothingLeft(world);
