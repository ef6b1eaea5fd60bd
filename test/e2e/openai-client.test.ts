// The stock client library against the executable: what users' programs do.

import { beforeAll, describe, expect, test } from 'bun:test';
import OpenAI from 'openai';
import { type Deployment, startAll } from './deployment.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
let all: Deployment;
let client: OpenAI;
beforeAll(async () => {
  all = await startAll(world);
  client = new OpenAI({ baseURL: `${all.url}/v1`, apiKey: 'none', maxRetries: 0 });
});

const france = {
  model: 'llama',
  messages: [{ role: 'user' as const, content: 'What is the capital of France?' }],
  temperature: 0,
};

describe('the openai package', () => {
  test('a plain answer', async () => {
    const answer = await client.chat.completions.create(france);
    expect(answer.choices[0]?.message.content).toBe('The capital of France is Paris.');
    expect(answer.choices[0]?.finish_reason).toBe('stop');
    expect(answer.usage?.completion_tokens).toBe(7);
  });

  test('a streamed one, chunk by chunk', async () => {
    const stream = await client.chat.completions.create({
      ...france,
      stream: true,
      stream_options: { include_usage: true },
    });
    const pieces: string[] = [];
    let tokens = 0;
    for await (const chunk of stream) {
      pieces.push(...[chunk.choices[0]?.delta.content ?? []].flat());
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    expect(pieces).toEqual(['The', ' capital', ' of', ' France', ' is', ' Paris', '.']);
    expect(tokens).toBe(7);
  });

  test('its helper puts a stream together', async () => {
    const final = await client.chat.completions.stream(france).finalChatCompletion();
    expect(final.choices[0]?.message.content).toBe('The capital of France is Paris.');
  });

  test('leaving a stream early is no harm', async () => {
    const stream = await client.chat.completions.create({
      model: 'llama',
      messages: [{ role: 'user', content: 'Count from 1 to 60.' }],
      stream: true,
    });
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content?.includes('5')) break;
    }
    stream.controller.abort();
    const answer = await client.chat.completions.create(france);
    expect(answer.choices[0]?.message.content).toContain('Paris');
  });

  test('models, and errors as its own classes', async () => {
    const { data } = await client.models.list();
    expect(data.map((model) => model.id)).toEqual(['llama']);
    // The library's promise is no Promise to `expect`.
    const wrong = async (): Promise<unknown> =>
      await client.chat.completions.create({ ...france, model: 'nobody' });
    await expect(wrong()).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(wrong()).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });
});

testNothingLeft(world);
