// Bodies, heads and paths of clients: whatever comes, the answer is what was asked or a 4xx in OpenAI's
// envelope, and the next client is served.

import { afterAll, beforeAll, expect } from 'bun:test';
import { parseJson } from '../../src/api/json.ts';
import { limit } from '../../src/protocol/limit.ts';
import type { Script } from '../api/fake-cluster.ts';
import { openWorld, type World } from '../api/world.ts';
import type { Dice } from './dice.ts';
import { fuzz } from './fuzz.ts';
import { jsonText, spoiled, spoiledBytes, spoiledText } from './mutate.ts';
import { anyJson, oddText } from './odd.ts';

/** Two tokens, with whatever logprobs the request asks for. */
const answer: Script = async function* ({ promptIds, sampling }) {
  const one = (id: number) => ({ logprob: -1, top: [[id, -1] as [number, number]] });
  const scores = sampling.promptLogprobs === null ? {} : { scores: promptIds.slice(1).map(one) };
  const ids = [111, 107];
  const logprobs = sampling.logprobs === null ? {} : { logprobs: ids.map(one) };
  yield { ids: [], finish: null, ...scores };
  yield { ids, finish: 'length', ...logprobs };
};

let world: World;
beforeAll(() => {
  world = openWorld(answer);
});
afterAll(() => world[Symbol.asyncDispose]());

const call = {
  id: 'c1',
  type: 'function',
  function: { name: 'f', arguments: '{"a": [1, {"b": null}]}' },
};
const tool = {
  type: 'function',
  function: {
    name: 'f',
    description: 'd',
    parameters: { type: 'object', properties: { a: { type: 'string' } } },
  },
};
const messages = [
  { role: 'system', content: 'be brief', name: 'n' },
  { role: 'user', content: [{ type: 'text', text: 'hello' }] },
  { role: 'assistant', content: null, tool_calls: [call], reasoning: 'hm' },
  { role: 'tool', content: 'yes', tool_call_id: 'c1' },
];
const common = {
  model: 'llama',
  stream: true,
  stream_options: { include_usage: true },
  n: 2,
  temperature: 0.5,
  top_p: 0.9,
  top_k: 5,
  min_p: 0.1,
  presence_penalty: 0.5,
  frequency_penalty: -0.5,
  repetition_penalty: 1.1,
  logit_bias: { '5': 1.5 },
  seed: 7,
  max_tokens: 8,
  min_tokens: 1,
  stop: ['a', 'b'],
  stop_token_ids: [3],
  bad_words: ['w'],
  allowed_token_ids: [1, 2, 3],
  priority: 1,
  cache_salt: 's',
  truncate_prompt_tokens: 5,
  user: 'u',
  metadata: { a: 'b' },
};
const format = {
  type: 'json_schema',
  json_schema: { name: 'x', schema: { type: 'object', properties: { a: { type: 'integer' } } } },
};
const bodies: Readonly<Record<string, readonly object[]>> = {
  '/v1/chat/completions': [
    {
      messages,
      ...common,
      logprobs: true,
      top_logprobs: 2,
      tools: [tool],
      tool_choice: 'auto',
      chat_template_kwargs: { a: 1 },
    },
    {
      messages,
      max_completion_tokens: 4,
      response_format: format,
      reasoning_effort: 'low',
      documents: [{ text: 'd' }],
    },
    {
      messages: messages.slice(0, 2),
      tools: [tool],
      tool_choice: { type: 'function', function: { name: 'f' } },
      stream: false,
    },
    {
      messages: [
        { role: 'user', content: 'hi' },
        { role: 'assistant', content: 'so' },
      ],
      continue_final_message: true,
      echo: true,
    },
    { messages: messages.slice(0, 2), guided_regex: 'a+', structured_outputs: null },
  ],
  '/v1/completions': [
    { ...common, prompt: 'hello', logprobs: 2, echo: true },
    { prompt: [[1, 2], [3]], max_tokens: 3, best_of: 2, n: 1, suffix: null },
    { prompt: ['a', 'b'], max_tokens: 2, structured_outputs: { choice: ['a', 'b'] } },
  ],
  '/v1/responses': [
    {
      model: 'llama',
      instructions: 'be brief',
      input: [
        { role: 'user', content: [{ type: 'input_text', text: 'hi' }] },
        { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
        { type: 'function_call_output', call_id: 'c', output: 'yes' },
        { type: 'reasoning', summary: [{ type: 'summary_text', text: 's' }] },
      ],
      tools: [{ type: 'function', name: 'f', parameters: { type: 'object' } }],
      tool_choice: 'auto',
      max_output_tokens: 4,
      text: { format: { type: 'json_schema', name: 'x', schema: { type: 'object' } } },
      metadata: { a: 'b' },
      stream: true,
    },
    {
      input: 'hi',
      previous_response_id: 'resp_1',
      store: true,
      reasoning: { effort: 'low' },
      include: ['message.output_text.logprobs'],
    },
    { input: 'hi', store: true, temperature: 1, top_p: 1, truncation: 'disabled' },
  ],
  '/tokenize': [
    { model: 'llama', prompt: 'hello', add_special_tokens: true, return_token_strs: true },
    { messages, tools: [tool] },
  ],
  '/detokenize': [{ model: 'llama', tokens: [1, 2, 3] }],
};
const headers = { 'content-type': 'application/json' };

/** The answer, or what is wrong with it. */
async function checked(path: string, init: BunFetchRequestInit): Promise<void> {
  const response = await world.fetch(path, init);
  const text = await response.text();
  const { status } = response;
  if (status >= 200 && status < 300) {
    if (/"code":"?internal/.test(text))
      throw new Error(`a stream that failed: ${text.slice(-400)}`);
    return;
  }
  if (status < 400 || status >= 500) throw new Error(`status ${status}: ${text.slice(0, 400)}`);
  if (init.method === 'HEAD') return;
  const { error } = JSON.parse(text);
  expect(Object.keys(error)).toEqual(['message', 'type', 'param', 'code']);
  expect(error.message.length).toBeLessThanOrEqual(limit.errorCharsMax);
}

for (const [path, specimens] of Object.entries(bodies)) {
  fuzz({
    name: `bodies of ${path}`,
    rounds: 500,
    make: (dice) => bodyOf(dice, specimens),
    run: async (body) => await checked(path, { method: 'POST', headers, body }),
    codes: [],
  });
}

function bodyOf(dice: Dice, specimens: readonly object[]): string | Uint8Array<ArrayBuffer> {
  const specimen = dice.pick(specimens) ?? {};
  // Whatever is beside it is gone, so that more of the refusals are about the field that was changed.
  const few = dice.isOneIn(2)
    ? specimen
    : Object.fromEntries(Object.entries(specimen).filter(() => !dice.isOneIn(3)));
  if (dice.isOneIn(10)) return spoiledBytes(dice, Buffer.from(JSON.stringify(few)));
  const text = jsonText(dice, dice.isOneIn(20) ? anyJson(dice) : spoiled(dice, few));
  if (!dice.isOneIn(4)) return text;
  // Arguments of a call are JSON within JSON, and a parser of their own reads them.
  const [open, close] = dice.pick(brackets);
  const depth = dice.small(15);
  const json = `${open.repeat(depth)}1${close.repeat(dice.isOneIn(4) ? dice.small(4) : depth)}`;
  return text.replace(JSON.stringify(call.function.arguments), () => JSON.stringify(json));
}

fuzz({
  name: 'paths, methods and heads',
  rounds: 300,
  make: (dice) => ({
    path: `/${dice.pick([`v1/models/${part(dice)}`, `v1/responses/${part(dice)}`, `workers/${part(dice)}/${part(dice)}`, part(dice), 'v1/chat/completions', 'health'])}`,
    method: dice.pick(['GET', 'POST', 'DELETE', 'HEAD', 'PUT', 'PATCH']),
    name: dice.pick([
      'authorization',
      'x-request-id',
      'content-type',
      'content-encoding',
      'origin',
      'accept',
      'x-tdist-route',
      'x-tdist-timing',
      'x-tdist-timeout-ms',
      'x-stainless-timeout',
    ]),
    value: part(dice),
  }),
  run: async ({ path, method, name, value }) => {
    await checked(path, {
      method,
      headers: { ...headers, [name]: value },
      ...(method === 'POST'
        ? { body: '{"messages":[{"role":"user","content":"hi"}],"max_tokens":1}' }
        : {}),
    });
  },
  codes: [],
});

const brackets: readonly [[string, string], ...[string, string][]] = [
  ['[', ']'],
  ['{"a":', '}'],
  ['[{"b":[', ']}]'],
];

/** Of a path or a header: visible ASCII alone, else the client library refuses it before we see it. */
function part(dice: Dice): string {
  return spoiledText(dice, encodeURIComponent(oddText(dice).toWellFormed()))
    .replace(/[^!-~]/g, '')
    .slice(0, 4000);
}

fuzz({
  name: 'JSON as strict as its standard, against the engine’s',
  rounds: 5000,
  make: (dice) => jsonText(dice, anyJson(dice)),
  run(text) {
    const value = parseJson(text, { depthMax: 64, nameCountMax: 1000, exact: new Set() });
    // What is taken means what it means elsewhere.
    expect(JSON.stringify(value)).toBe(JSON.stringify(JSON.parse(text)));
  },
  codes: ['invalid_request'],
});
