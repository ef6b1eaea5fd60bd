// The AI SDK against the executable: text, objects by a schema and tools, whole and streamed.

import { beforeAll, describe, expect, test } from 'bun:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, isStepCount, type LanguageModel, Output, streamText, tool } from 'ai';
import { z } from 'zod';
import { type Deployment, startAll } from './deployment.ts';
import { checkedFetch } from './reply-validator.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
let all: Deployment;
let model: LanguageModel;
beforeAll(async () => {
  all = await startAll(world);
  const provider = createOpenAICompatible({
    name: 'tdist',
    baseURL: `${all.url}/v1`,
    apiKey: 'none',
    includeUsage: true,
    supportsStructuredOutputs: true,
    fetch: Object.assign(checkedFetch, { preconnect: fetch.preconnect }),
  });
  model = provider('llama');
});

const prompt = 'What is the capital of France?';
const paris = 'The capital of France is Paris.';
const City = z.object({ name: z.string().max(12), people: z.number().int().min(0).max(9999) });
const asked = { temperature: 0, maxRetries: 0 };

describe('text', () => {
  test('generateText', async () => {
    const { text, finishReason, usage } = await generateText({ ...asked, model, prompt });
    expect([text, finishReason, usage.outputTokens]).toEqual([paris, 'stop', 7]);
  });

  test('streamText', async () => {
    const run = streamText({ ...asked, model, prompt });
    const pieces: string[] = [];
    for await (const piece of run.textStream) pieces.push(piece);
    expect(pieces.join('')).toBe(paris);
    expect(pieces.length).toBeGreaterThan(3);
    expect(await run.finishReason).toBe('stop');
    expect((await run.usage).outputTokens).toBe(7);
  });

  test('an error has its message', async () => {
    const wrong = generateText({ ...asked, model, prompt, topP: 7 });
    await expect(wrong).rejects.toMatchObject({
      statusCode: 400,
      message: expect.stringContaining('top_p'),
    });
  });
});

describe('objects', () => {
  const form = { prompt: 'Tell me about Paris as JSON.', output: Output.object({ schema: City }) };

  test('generateText', async () => {
    const { output } = await generateText({ ...asked, model, ...form });
    expect(City.safeParse(output).error).toBeUndefined();
  });

  test('streamText', async () => {
    const run = streamText({ ...asked, model, ...form });
    const parts: unknown[] = [];
    for await (const part of run.partialOutputStream) parts.push(part);
    expect(parts.length).toBeGreaterThan(1);
    expect(City.safeParse(await run.output).error).toBeUndefined();
  });
});

describe('tools', () => {
  const cities: string[] = [];
  const get_weather = tool({
    description: 'Get the current weather of a city.',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      cities.push(city);
      return { weather: 'rain' };
    },
  });
  const run = {
    ...asked,
    prompt: 'What is the weather in Oslo?',
    tools: { get_weather },
    stopWhen: isStepCount(3),
  };

  test('generateText: called, answered, and told', async () => {
    const { text, steps } = await generateText({ ...run, model });
    expect(text).toContain('rain');
    expect(steps).toHaveLength(2);
    expect(cities.splice(0)).toEqual(['Oslo']);
  });

  test('streamText likewise', async () => {
    expect(await streamText({ ...run, model }).text).toContain('rain');
    expect(cities.splice(0)).toEqual(['Oslo']);
  });

  test('demanded', async () => {
    const { prompt: _, ...rest } = run;
    const { toolCalls } = await generateText({
      ...rest,
      model,
      prompt: 'Hello! Who are you?',
      toolChoice: { type: 'tool', toolName: 'get_weather' },
      stopWhen: isStepCount(1),
      maxOutputTokens: 200,
    });
    expect(toolCalls.map(({ toolName }) => toolName)).toEqual(['get_weather']);
  });
});

testNothingLeft(world);
