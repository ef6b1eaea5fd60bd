// Tools with the built-in model: it calls them by itself, and where a call is demanded its arguments fit
// the schema, judged by another library than ours.

import { beforeAll, describe, expect, test } from 'bun:test';
import Ajv from 'ajv';
import type OpenAI from 'openai';
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

const weather = {
  name: 'get_weather',
  description: 'Get the current weather of a city.',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  },
};
const book = {
  name: 'book',
  description: 'Book a flight.',
  parameters: {
    type: 'object',
    properties: {
      from: { enum: ['Paris', 'Rome'] },
      seats: { type: 'integer', minimum: 1, maximum: 9 },
      window: { type: 'boolean' },
      notes: { type: 'array', items: { type: 'string', maxLength: 12 }, maxItems: 2 },
    },
    required: ['from', 'seats', 'window', 'notes'],
    additionalProperties: false,
  },
};
const tools = [weather, book].map((each) => ({ type: 'function' as const, function: each }));
const asked = {
  model: 'llama',
  messages: [{ role: 'user' as const, content: 'What is the weather in Oslo?' }],
  tools,
  temperature: 0,
  max_tokens: 200,
};

/** The names called; arguments that do not fit fail the test. */
function checked(message: OpenAI.ChatCompletionMessage | undefined): string[] {
  const ajv = new Ajv();
  return (message?.tool_calls ?? []).map((call) => {
    if (call.type !== 'function') throw new Error(`a call of type ${call.type}`);
    const { name, arguments: json } = call.function;
    const { parameters } = name === weather.name ? weather : book;
    expect([json, ajv.validate(parameters, JSON.parse(json)), ajv.errors]).toEqual([
      json,
      true,
      null,
    ]);
    return name;
  });
}

describe('the built-in model', () => {
  test('calls a tool by itself, whole and streamed alike', async () => {
    const whole = await client.chat.completions.create(asked);
    const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
    for (const { choices } of [whole, streamed]) {
      expect(checked(choices[0]?.message)).toEqual(['get_weather']);
      expect(choices[0]?.message.content).toBe(null);
      expect(choices[0]?.finish_reason).toBe('tool_calls');
    }
  });

  test('runTools: called, answered, and told', async () => {
    const cities: string[] = [];
    const runner = client.chat.completions.runTools({
      ...asked,
      tools: [
        {
          type: 'function',
          function: {
            ...weather,
            parse: JSON.parse,
            function: ({ city }: { city: string }) => {
              cities.push(city);
              return '{"weather": "rain"}';
            },
          },
        },
      ],
    });
    expect(await runner.finalContent()).toContain('rain');
    expect(cities).toEqual(['Oslo']);
  });

  test.each([0, 1, 2, 3])('required: calls that fit, seed %d', async (seed) => {
    const messages = [{ role: 'user' as const, content: 'Hello! Who are you?' }];
    const { choices } = await client.chat.completions.create({
      ...asked,
      messages,
      tool_choice: 'required',
      parallel_tool_calls: false,
      temperature: 1,
      seed,
    });
    expect(checked(choices[0]?.message)).toHaveLength(1);
    expect(choices[0]?.message.content).toBe(null);
    expect(choices[0]?.finish_reason).toBe('tool_calls');
  });

  test.each([0, 1, 2, 3])('named: arguments that fit, seed %d, streamed', async (seed) => {
    const stream = client.chat.completions.stream({
      ...asked,
      tool_choice: { type: 'function', function: { name: 'book' } },
      temperature: 1,
      seed,
    });
    const { choices } = await stream.finalChatCompletion();
    expect(checked(choices[0]?.message)).toEqual(['book']);
    expect(choices[0]?.finish_reason).toBe('stop');
  });
});

testNothingLeft(world);
