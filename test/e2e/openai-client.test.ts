// The stock client library against the executable: what users' programs do.

import { beforeAll, describe, expect, test } from 'bun:test';
import OpenAI from 'openai';
import { type Deployment, startAll } from './deployment.ts';
import { openaiAt } from './openai.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
let all: Deployment;
let client: OpenAI;
beforeAll(async () => {
  all = await startAll(world);
  client = openaiAt(all.url);
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

  test('several choices, and its helper over their stream', async () => {
    const several = { ...france, temperature: 0.8, seed: 5, n: 3 };
    const answer = await client.chat.completions.create(several);
    const texts = answer.choices.map((choice) => choice.message.content);
    expect(texts).toHaveLength(3);
    const final = await client.chat.completions.stream(several).finalChatCompletion();
    expect(final.choices.map((choice) => choice.message.content)).toEqual(texts);
    const single = await client.chat.completions.create({ ...several, n: 1, seed: 6 });
    expect(single.choices[0]?.message.content).toBe(texts[1] ?? '');
  });

  test('logprobs', async () => {
    const asked = { ...france, logprobs: true, top_logprobs: 2 };
    const { choices } = await client.chat.completions.create(asked);
    const content = choices[0]?.logprobs?.content ?? [];
    expect(content.map(({ token }) => token).join('')).toBe(choices[0]?.message.content ?? '');
    expect(content.every(({ top_logprobs }) => top_logprobs.length === 2)).toBeTrue();
  });

  test('completions: whole, streamed, several prompts, echo with logprobs', async () => {
    const fields = { model: 'llama', temperature: 0, max_tokens: 6 };
    const prompt = ['The capital of France is', 'One, two,'];
    const whole = await client.completions.create({ ...fields, prompt, echo: true, logprobs: 1 });
    expect(whole.choices.map(({ index }) => index)).toEqual([0, 1]);
    for (const [index, choice] of whole.choices.entries()) {
      expect(choice.text.startsWith(prompt[index] ?? '?')).toBeTrue();
      expect(choice.logprobs?.tokens?.join('')).toBe(choice.text);
    }
    const stream = await client.completions.create({ ...fields, prompt, stream: true });
    const texts = ['', ''];
    for await (const { choices } of stream) {
      for (const { index, text } of choices) texts[index] += text;
    }
    expect(texts.map((text, i) => `${prompt[i]}${text}`)).toEqual(whole.choices.map((c) => c.text));
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
