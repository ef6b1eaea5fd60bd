// The stock client library, as users have it.

import { describe, expect, test } from 'bun:test';
import OpenAI from 'openai';
import { Fault } from '../../src/std/fault.ts';
import { checkedFetch } from '../e2e/reply-validator.ts';
import { deltas, fails, llama, says, stalls } from './fake-cluster.ts';
import { openWorld, type World } from './world.ts';

function clientOf(world: World): OpenAI {
  return new OpenAI({
    baseURL: `${world.server.url}/v1`,
    apiKey: 'none',
    maxRetries: 0,
    fetch: checkedFetch,
  });
}

const request = {
  model: 'llama',
  messages: [{ role: 'user', content: 'What is the capital of France?' }],
} as const;

describe('the openai package', () => {
  test('a plain answer', async () => {
    await using world = openWorld(says('Paris.'));
    const answer = await clientOf(world).chat.completions.create({
      ...request,
      messages: [...request.messages],
    });
    expect(answer.choices[0]?.message.content).toBe('Paris.');
    expect(answer.choices[0]?.finish_reason).toBe('stop');
    expect(answer.usage?.completion_tokens).toBe(6);
  });

  test('logprobs, plain and through the streaming helper', async () => {
    const ids = [80, 0xc3, 0xa9];
    const logprobs = ids.map((id) => ({ logprob: -0.5, top: [[id, -0.5] as [number, number]] }));
    await using world = openWorld(deltas({ ids, logprobs, finish: 'length' }));
    const asked = { ...request, messages: [...request.messages], logprobs: true, top_logprobs: 1 };
    const client = clientOf(world).chat.completions;
    for (const answer of [
      await client.create(asked),
      await client.stream(asked).finalChatCompletion(),
    ]) {
      const content = answer.choices[0]?.logprobs?.content ?? [];
      expect(content.map(({ token }) => token)).toEqual(['P', '\ufffd', '\ufffd']);
      expect(content.flatMap(({ bytes }) => bytes)).toEqual([...new TextEncoder().encode('Pé')]);
      expect(content.map(({ bytes }) => bytes)).toEqual([[80], [0xc3], [0xa9]]);
      expect(content.map(({ top_logprobs: top }) => top.length)).toEqual([1, 1, 1]);
    }
  });

  test('its streaming helper puts the same answer together', async () => {
    await using world = openWorld(says('Paris – ja.'));
    const stream = clientOf(world).chat.completions.stream({
      ...request,
      messages: [...request.messages],
      stream_options: { include_usage: true },
    });
    const final = await stream.finalChatCompletion();
    expect(final.choices[0]?.message).toMatchObject({ role: 'assistant', content: 'Paris – ja.' });
    expect(final.choices[0]?.finish_reason).toBe('stop');
    expect(final.usage?.completion_tokens).toBe(13);
  });

  test('errors are its own error classes', async () => {
    await using world = openWorld();
    const ask = async (): Promise<unknown> =>
      await clientOf(world).chat.completions.create({
        ...request,
        messages: [...request.messages],
        model: 'nope',
      });
    await expect(ask()).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
      param: 'model',
    });
  });

  test('a failure in the stream is an error to it', async () => {
    await using world = openWorld(fails('Par', new Fault('engine', 'broken')));
    const stream = await clientOf(world).chat.completions.create({
      ...request,
      messages: [...request.messages],
      stream: true,
    });
    const read = async (): Promise<void> => {
      for await (const chunk of stream) expect(chunk.choices).toHaveLength(1);
    };
    await expect(read()).rejects.toMatchObject({ code: 'internal' });
  });

  test('aborting it cancels the work', async () => {
    await using world = openWorld(stalls('Par'));
    const stream = await clientOf(world).chat.completions.create({
      ...request,
      messages: [...request.messages],
      stream: true,
    });
    for await (const _chunk of stream) break;
    expect(await world.cluster.cancelled.promise).toBe('signal');
  });

  test('models', async () => {
    await using world = openWorld();
    const names: string[] = [];
    for await (const model of clientOf(world).models.list()) names.push(model.id);
    expect(names).toEqual(['llama']);
    expect((await clientOf(world).models.retrieve('llama')).object).toBe('model');
  });

  test('responses with thoughts and a call: its helper gets the same as whole', async () => {
    const text = '<think>hm</think>so<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>';
    await using world = openWorld(says(text));
    world.cluster.served = [{ ...llama, reasoningParser: 'think', toolParser: 'hermes' }];
    const parameters = { type: 'object', properties: {} };
    const tools = [{ type: 'function' as const, name: 'f', strict: false, parameters }];
    const { responses } = clientOf(world);
    const asked = { model: 'llama', input: 'hi', tools };
    const whole = await responses.create(asked);
    expect(whole.output.map(({ type }) => type)).toEqual(['reasoning', 'message', 'function_call']);
    const final = await responses.stream(asked).finalResponse();
    expect(final.output_text).toBe('so');
    for (const [index, item] of final.output.entries()) {
      const { id, ...rest } = Object(whole.output[index]);
      const call_id = item.type === 'function_call' ? { call_id: item.call_id } : {};
      expect(item).toMatchObject({ ...rest, ...call_id });
    }
  });

  test('a response that breaks off is a failed one, with its error', async () => {
    await using world = openWorld(fails('a', new Fault('engine', 'broken')));
    const asked = { model: 'llama', input: 'hi' };
    const final = await clientOf(world).responses.stream(asked).finalResponse();
    expect(final).toMatchObject({ status: 'failed', error: { code: 'server_error' } });
  });
});
