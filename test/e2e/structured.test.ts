// Answers held to a form, over real HTTP and through the stock client library: on every route the same,
// and what cannot be done is a 400 after which all goes on.

import { beforeAll, describe, expect, test } from 'bun:test';
import type OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { type ApiError, ask, jsonOf, post, question, stream } from './chat.ts';
import { type Deployment, startAll } from './deployment.ts';
import { openaiAt } from './openai.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
let all: Deployment;
let client: OpenAI;
const counts = ['context', 'generate', 'baseline'].map((role) => `--${role}-worker-count=1`);
beforeAll(async () => {
  all = await startAll(world, counts);
  client = openaiAt(all.url);
});

const City = z.object({
  name: z.string().max(20),
  population: z.number().int().min(0).max(50_000_000),
  continent: z.enum(['Africa', 'Asia', 'Europe']),
  twins: z.array(z.string().max(10)).max(2),
  mayor: z.object({ name: z.string().max(12), since: z.number().int().nullable() }),
});
const format = zodResponseFormat(City, 'city');
const paris = question('What is the capital of France?');

describe('the openai package', () => {
  test('parses what it asked for', async () => {
    for (let seed = 0; seed < 4; seed++) {
      const answer = await client.chat.completions.parse({
        model: 'llama',
        messages: [{ role: 'user', content: 'Tell me about Paris as JSON.' }],
        temperature: 1,
        seed,
        max_tokens: 400,
        response_format: format,
      });
      expect(answer.choices[0]?.finish_reason).toBe('stop');
      expect(City.safeParse(answer.choices[0]?.message.parsed).error).toBeUndefined();
    }
  });

  test('its stream helper likewise', async () => {
    const run = client.chat.completions.stream({
      model: 'llama',
      messages: [{ role: 'user', content: 'Tell me about Oslo as JSON.' }],
      seed: 7,
      max_tokens: 400,
      response_format: format,
    });
    const final = await run.finalChatCompletion();
    expect(City.safeParse(final.choices[0]?.message.parsed).error).toBeUndefined();
  });
});

const forms: readonly [string, Record<string, unknown>, RegExp][] = [
  ['json_schema', { response_format: format }, /^\{.*\}$/s],
  ['json_object', { response_format: { type: 'json_object' }, max_tokens: 120 }, /^\{/],
  ['regex', { guided_regex: '\\d{3}-[a-f]{4}( ok)?' }, /^\d{3}-[a-f]{4}( ok)?$/],
  [
    'choice',
    { structured_outputs: { choice: ['Paris', 'London', 'Rome'] } },
    /^(Paris|London|Rome)$/,
  ],
  ['one token', { guided_choice: ['1'], ignore_eos: true, min_tokens: 5 }, /^1$/],
  ['EBNF', { guided_grammar: 'root ::= n ("+" n){2}\nn ::= [1-9] [0-9]{0,2}' }, /^\d+\+\d+\+\d+$/],
];

test.each(forms)('%s: the same on every route', async (_name, fields, wanted) => {
  const body = { ...paris, temperature: 1, seed: 5, max_tokens: 400, ...fields };
  const texts: string[] = [];
  for (const route of ['disaggregated', 'local', 'aggregated']) {
    const headers = { 'x-tdist-force-route': route };
    const { body: answer } = await ask(all.url, body, { headers });
    const [choice] = answer.choices;
    if (!('max_tokens' in fields)) expect(choice?.finish_reason).toBe('stop');
    texts.push(choice?.message.content ?? '');
    expect((await stream(all.url, body, { headers })).pieces.join('')).toBe(texts[0] ?? '');
  }
  expect(texts[0]).toMatch(wanted);
  expect(new Set(texts).size).toBe(1);
});

test('the likeliest of the choices, where it knows the answer', async () => {
  const fields = {
    ...paris,
    temperature: 0,
    guided_choice: ['The capital of France is Paris.', 'No idea.'],
  };
  const { body } = await ask(all.url, fields);
  expect(body.choices[0]?.message.content).toBe('The capital of France is Paris.');
});

test('many at once, with and without', async () => {
  const bodies = Array.from({ length: 24 }, (_, i) => {
    const [, fields = {}] = forms[i % forms.length] ?? [];
    return i % 4 === 3 ? paris : { ...paris, temperature: 1, seed: i, max_tokens: 400, ...fields };
  });
  const answers = await Promise.all(bodies.map((body) => ask(all.url, body)));
  for (const [i, { body }] of answers.entries()) {
    const [, , wanted] = forms[i % forms.length] ?? [];
    const text = body.choices[0]?.message.content ?? '';
    if (i % 4 === 3) expect(text).toBe('The capital of France is Paris.');
    else if (wanted !== undefined) expect(text).toMatch(wanted);
  }
});

const schema = (value: unknown): Record<string, unknown> => ({
  response_format: { type: 'json_schema', json_schema: { name: 'x', schema: value } },
});
const depth = (levels: number): unknown =>
  levels === 0 ? {} : { type: 'array', items: depth(levels - 1) };
const loop = { anyOf: [{ $ref: '#' }, { type: 'null' }] };

test.each<[string, Record<string, unknown>, string]>([
  ['an unknown type', schema({ type: 'foo' }), 'response_format'],
  ['a reference to nothing', schema({ $ref: '#/$defs/x' }), 'response_format'],
  ['a reference to itself', schema(loop), 'response_format'],
  ['too deep', schema(depth(40)), 'response_format'],
  ['a megabyte of enum', schema({ enum: ['x'.repeat(1_000_000)] }), 'response_format'],
  ['nested counts', schema({ pattern: '([a-z]{1,1000}){1,1000}' }), 'response_format'],
  ['not to be met', schema({ type: 'string', minLength: 2, maxLength: 1 }), 'response_format'],
  ['a keyword not supported', schema({ not: {} }), 'response_format'],
  ['a broken expression', { guided_regex: '(' }, 'guided_regex'],
  ['a grammar without end', { guided_grammar: 'root ::= "a" root' }, 'guided_grammar'],
  ['two at once', { guided_regex: 'a', guided_choice: ['b'] }, 'guided_choice'],
])('%s is a 400', async (_name, fields, param) => {
  for (const streamed of [false, true]) {
    const response = await post(all.url, { ...paris, ...fields, stream: streamed });
    expect(response.status).toBe(400);
    const { error } = await jsonOf<{ error: ApiError }>(response);
    expect(error).toMatchObject({ type: 'invalid_request_error', param });
  }
  const { body } = await ask(all.url, paris);
  expect(body.choices[0]?.message.content).toBe('The capital of France is Paris.');
});

test('what can be read in too many ways ends by itself, and the others go on', async () => {
  const text = 'root ::= "a" root "x" | "a" root "y" | "a" root "z" | "b"';
  const hostile = { ...paris, guided_grammar: text, max_tokens: 200, temperature: 0 };
  const [answer, other] = await Promise.all([post(all.url, hostile), ask(all.url, paris)]);
  expect(answer.status).toBeLessThan(500);
  expect(other.body.choices[0]?.message.content).toBe('The capital of France is Paris.');
});

testNothingLeft(world);
