// /v1/responses against the executable, with the stock client library: create, stream, parse, tools, and
// conversations that the server remembers. Every answer is held to OpenAI's shapes on its way.

import { beforeAll, describe, expect, test } from 'bun:test';
import OpenAI from 'openai';
import { zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
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

const france = { model: 'llama', input: 'What is the capital of France?', temperature: 0 };
const paris = 'The capital of France is Paris.';
const weather = {
  type: 'function' as const,
  name: 'get_weather',
  description: 'Get the current weather of a city.',
  strict: true,
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  },
};
const oslo = { ...france, input: 'What is the weather in Oslo?', tools: [weather] };

describe('text', () => {
  test('whole', async () => {
    const answer = await client.responses.create(france);
    expect(answer.output_text).toBe(paris);
    expect(answer.status).toBe('completed');
    expect(answer.usage?.output_tokens).toBe(7);
  });

  test('streamed, event by event', async () => {
    const stream = await client.responses.create({ ...france, stream: true });
    const deltas: string[] = [];
    for await (const event of stream) {
      if (event.type === 'response.output_text.delta') deltas.push(event.delta);
    }
    expect(deltas).toEqual(['The', ' capital', ' of', ' France', ' is', ' Paris', '.']);
  });

  test('its helper puts a stream together', async () => {
    const final = await client.responses.stream(france).finalResponse();
    expect(final.output_text).toBe(paris);
  });

  test('cut off: incomplete, whole and streamed', async () => {
    const cut = { ...france, max_output_tokens: 3 };
    const whole = await client.responses.create(cut);
    const streamed = await client.responses.stream(cut).finalResponse();
    for (const { status, incomplete_details: why, output_text: text } of [whole, streamed]) {
      expect([status, why, text]).toEqual([
        'incomplete',
        { reason: 'max_output_tokens' },
        'The capital of',
      ]);
    }
  });

  test('the same as a chat says', async () => {
    const asked = { model: 'llama', temperature: 0.9, top_p: 0.9, seed: 11 };
    const content = 'Tell me about Oslo.';
    const { output_text: text } = await client.responses.create({ ...asked, input: content });
    const chat = await client.chat.completions.create({
      ...asked,
      messages: [{ role: 'user', content }],
    });
    expect(text).toBe(chat.choices[0]?.message.content ?? '');
  });

  test('logprobs', async () => {
    const include = ['message.output_text.logprobs' as const];
    const { output } = await client.responses.create({ ...france, include, top_logprobs: 2 });
    const part = output[0]?.type === 'message' ? output[0].content[0] : undefined;
    const logprobs = part?.type === 'output_text' ? (part.logprobs ?? []) : [];
    expect(logprobs.map(({ token }) => token).join('')).toBe(paris);
    expect(logprobs.every(({ top_logprobs: top }) => top.length === 2)).toBeTrue();
  });
});

test('parse: what was asked for, whole and streamed', async () => {
  const City = z.object({ name: z.string().max(12), people: z.number().int().min(0).max(9999) });
  const asked = {
    model: 'llama',
    input: 'Tell me about Paris as JSON.',
    text: { format: zodTextFormat(City, 'city') },
  };
  const whole = await client.responses.parse(asked);
  const streamed = await client.responses.stream(asked).finalResponse();
  for (const { output_parsed: parsed } of [whole, streamed]) {
    expect(City.safeParse(parsed).error).toBeUndefined();
  }
});

describe('tools', () => {
  test('called, answered, and told; the whole conversation sent', async () => {
    const first = await client.responses.create(oslo);
    const [call] = first.output;
    if (call?.type !== 'function_call') throw new Error(`no call: ${first.output_text}`);
    expect(JSON.parse(call.arguments)).toEqual({ city: 'Oslo' });
    const result = {
      type: 'function_call_output' as const,
      call_id: call.call_id,
      output: '{"weather": "rain"}',
    };
    const input = [{ role: 'user' as const, content: oslo.input }, call, result];
    const sent = await client.responses.create({ ...oslo, input });
    expect(sent.output_text).toContain('rain');
    const remembered = await client.responses.create({
      ...oslo,
      input: [result],
      previous_response_id: first.id,
    });
    expect(remembered.output_text).toBe(sent.output_text);
  });

  test('demanded and streamed: arguments that the library parses', async () => {
    const City = z.object({ city: z.string().max(8), days: z.number().int().min(1).max(9) });
    const tool = zodResponsesFunction({ name: 'forecast', parameters: City });
    const deltas: string[] = [];
    const stream = client.responses
      .stream({ ...oslo, tools: [tool], tool_choice: { type: 'function', name: 'forecast' } })
      .on('response.function_call_arguments.delta', ({ delta }) => deltas.push(delta));
    const { output } = await stream.finalResponse();
    const [call] = output;
    if (call?.type !== 'function_call') throw new Error('no call');
    expect(City.safeParse(call.parsed_arguments).error).toBeUndefined();
    expect(deltas.join('')).toBe(call.arguments);
  });
});

describe('what the server remembers', () => {
  test('a response, until it is deleted', async () => {
    const made = await client.responses.create(france);
    expect((await client.responses.retrieve(made.id)).output_text).toBe(paris);
    const items = await Array.fromAsync(client.responses.inputItems.list(made.id, { limit: 1 }));
    expect(items).toMatchObject([
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: france.input }] },
    ]);
    await client.responses.delete(made.id);
    const gone = async (): Promise<unknown> => await client.responses.retrieve(made.id);
    await expect(gone()).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  test('what was asked before, and nothing with store: false', async () => {
    const { id } = await client.responses
      .create({ ...france, stream: true })
      .then(async (events) => {
        for await (const event of events) {
          if (event.type === 'response.completed') return event.response;
        }
        throw new Error('no end');
      });
    const before = await client.responses.create({ ...france, previous_response_id: id });
    const alone = await client.responses.create({ ...france, store: false });
    const tokens = (response: OpenAI.Responses.Response) => response.usage?.input_tokens ?? 0;
    expect(tokens(before)).toBeGreaterThan(tokens(alone) + 7);
    const lost = async (): Promise<unknown> =>
      await client.responses.create({ ...france, previous_response_id: alone.id });
    await expect(lost()).rejects.toMatchObject({ status: 404, param: 'previous_response_id' });
  });
});

test('what is not built is refused by name', async () => {
  const wrong = async (): Promise<unknown> =>
    await client.responses.create({ ...france, background: true });
  await expect(wrong()).rejects.toMatchObject({ status: 400, param: 'background' });
});

test('leaving a stream early is no harm', async () => {
  const stream = await client.responses.create({
    ...france,
    input: 'Count from 1 to 60.',
    stream: true,
  });
  for await (const event of stream) {
    if (event.type === 'response.output_text.delta' && event.delta.includes('5')) break;
  }
  stream.controller.abort();
  expect((await client.responses.create(france)).output_text).toBe(paris);
});

testNothingLeft(world);
