// Every field that a request may have does what it says, or is refused by name; and README.md lists
// exactly these. Who adds a field adds its row here and there.

import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chatSchema } from '../../src/api/chat-schema.ts';
import { completionSchema } from '../../src/api/completion-intake.ts';
import { ignoredFields, neutralFields } from '../../src/api/neutral-field.ts';
import type { GenerateRequest } from '../../src/protocol/request.ts';
import { digest } from '../../src/std/hash.ts';
import { bytesOf, chatmlTemplate, imEndId, tinyAssets } from '../text/tiny-tokenizer.ts';
import { deltas, llama, type Script, says } from './fake-cluster.ts';
import { eventsOf, jsonOf, openWorld, type World } from './world.ts';

type Body = Readonly<Record<string, unknown>>;
type Seen = {
  readonly request: GenerateRequest;
  readonly requests: readonly GenerateRequest[];
  /** The prompt as text. */
  readonly prompt: string;
  /** Of a whole answer. */
  readonly answer: ReturnType<typeof JSON.parse>;
};
/** A request with the field, and what can be seen of it. */
type Probe = {
  readonly body: Body;
  readonly script?: Script;
  readonly see: (seen: Seen) => unknown;
  readonly is: unknown;
};

const sampling = (name: keyof GenerateRequest['sampling'], body: Body, is: unknown): Probe => ({
  body,
  see: ({ request }) => request.sampling[name],
  is,
});
const text = ({ answer }: Seen): string =>
  answer.choices[0].message?.content ?? answer.choices[0].text;
const withLogprobs = deltas({
  ids: [97],
  logprobs: [{ logprob: -1, top: [[98, -0.5]] }],
  finish: 'length',
});
const user = { role: 'user', content: 'hi' };
const tool = { type: 'function', function: { name: 'f', parameters: {} } };
const chatLogprobs = { logprobs: true, top_logprobs: 1 };
const streamed = { stream: true };

/** Fields of both routes. */
const common: Readonly<Record<string, Probe>> = {
  model: { body: { model: 'llama' }, see: ({ request }) => request.model, is: 'llama' },
  stream: { body: streamed, see: ({ answer }) => answer.length, is: 3 },
  stream_options: {
    body: { ...streamed, stream_options: { include_usage: true } },
    see: ({ answer }) => answer.at(-1).usage.completion_tokens,
    is: 2,
  },
  n: { body: { n: 3 }, see: ({ requests }) => requests.length, is: 3 },
  temperature: sampling('temperature', { temperature: 0.5 }, 0.5),
  top_p: sampling('topP', { top_p: 0.5 }, 0.5),
  top_k: sampling('topK', { top_k: 5 }, 5),
  min_p: sampling('minP', { min_p: 0.5 }, 0.5),
  presence_penalty: sampling('presencePenalty', { presence_penalty: 1 }, 1),
  frequency_penalty: sampling('frequencyPenalty', { frequency_penalty: 1 }, 1),
  repetition_penalty: sampling('repetitionPenalty', { repetition_penalty: 1.5 }, 1.5),
  logit_bias: sampling('logitBias', { logit_bias: { 5: 1 } }, [[5, 1]]),
  seed: sampling('seed', { seed: 7 }, 7),
  min_tokens: sampling('minTokens', { min_tokens: 2, max_tokens: 5 }, 2),
  stop_token_ids: sampling('stopTokenIds', { stop_token_ids: [5] }, [5]),
  ignore_eos: sampling('ignoreEos', { ignore_eos: true }, true),
  allowed_token_ids: sampling('allowedTokenIds', { allowed_token_ids: [5, 6] }, [5, 6]),
  bad_words: sampling('badWords', { bad_words: ['ab', 'wo'] }, [
    bytesOf('ab'),
    bytesOf('wo'),
    [261],
  ]),
  max_tokens: sampling('maxTokens', { max_tokens: 5 }, 5),
  priority: { body: { priority: -3 }, see: ({ request }) => request.priority, is: -3 },
  cache_salt: {
    body: { cache_salt: 'mine' },
    see: ({ request }) => request.cacheSalt,
    is: digest('mine'),
  },
  response_format: sampling(
    'grammar',
    { response_format: { type: 'json_object' } },
    { kind: 'json_object' },
  ),
  structured_outputs: sampling(
    'grammar',
    { structured_outputs: { regex: 'a+' } },
    { kind: 'regex', text: 'a+' },
  ),
  guided_json: sampling(
    'grammar',
    { guided_json: { type: 'null' } },
    { kind: 'json_schema', text: '{"type":"null"}' },
  ),
  guided_regex: sampling('grammar', { guided_regex: 'a+' }, { kind: 'regex', text: 'a+' }),
  guided_choice: sampling('grammar', { guided_choice: ['a'] }, { kind: 'choice', texts: ['a'] }),
  guided_grammar: sampling(
    'grammar',
    { guided_grammar: 'root ::= "a"' },
    { kind: 'ebnf', text: 'root ::= "a"' },
  ),
  stop: { body: { stop: 'k' }, see: text, is: 'o' },
  include_stop_str_in_output: {
    body: { stop: 'k', include_stop_str_in_output: true },
    see: text,
    is: 'ok',
  },
  skip_special_tokens: {
    body: { skip_special_tokens: false },
    script: deltas({ ids: [imEndId], finish: 'length' }),
    see: text,
    is: '<|im_end|>',
  },
  truncate_prompt_tokens: {
    body: { truncate_prompt_tokens: 1, max_tokens: 1 },
    see: ({ request }) => request.promptIds.length,
    is: 1,
  },
  truncation_side: {
    body: { truncate_prompt_tokens: 1, truncation_side: 'right', max_tokens: 1 },
    see: ({ prompt }) => prompt,
    is: expect.stringMatching(/^(<\|im_start\|>|p)$/),
  },
  return_token_ids: {
    body: { return_token_ids: true },
    see: ({ answer }) => answer.choices[0].token_ids,
    is: bytesOf('ok'),
  },
};

const chat: Readonly<Record<string, Probe>> = {
  ...common,
  messages: { body: {}, see: ({ prompt }) => prompt.includes('user\nhi'), is: true },
  max_completion_tokens: sampling('maxTokens', { max_completion_tokens: 6, max_tokens: 5 }, 6),
  logprobs: { ...sampling('logprobs', { logprobs: true }, 0), script: withLogprobs },
  top_logprobs: { ...sampling('logprobs', chatLogprobs, 1), script: withLogprobs },
  return_tokens_as_token_ids: {
    body: { ...chatLogprobs, return_tokens_as_token_ids: true },
    script: withLogprobs,
    see: ({ answer }) => answer.choices[0].logprobs.content[0].token,
    is: 'token_id:97',
  },
  tools: { body: { tools: [tool] }, see: ({ prompt }) => prompt.includes('"name": "f"'), is: true },
  tool_choice: {
    body: { tools: [tool], tool_choice: 'none' },
    see: ({ prompt }) => prompt.includes('"f"'),
    is: false,
  },
  parallel_tool_calls: {
    body: { tools: [tool], tool_choice: 'required', parallel_tool_calls: false },
    see: ({ request }) => request.sampling.grammar,
    is: expect.objectContaining({ text: expect.stringContaining('"maxItems":1}') }),
  },
  include_reasoning: {
    body: { include_reasoning: false },
    script: says('<think>hm</think>ok'),
    see: ({ answer }) => answer.choices[0].message,
    is: { role: 'assistant', content: 'ok', refusal: null },
  },
  add_generation_prompt: {
    body: { add_generation_prompt: false },
    see: ({ prompt }) => prompt.endsWith('<|im_end|>\n'),
    is: true,
  },
  continue_final_message: {
    body: {
      messages: [user, { role: 'assistant', content: 'Once upon ' }],
      continue_final_message: true,
    },
    see: ({ prompt }) => prompt.endsWith('assistant\nOnce upon '),
    is: true,
  },
  echo: {
    body: {
      messages: [user, { role: 'assistant', content: 'Not ' }],
      continue_final_message: true,
      echo: true,
    },
    see: text,
    is: 'Not ok',
  },
  documents: {
    body: { documents: [{ title: 'doc', text: 'x' }] },
    see: ({ prompt }) => prompt.includes('[doc]'),
    is: true,
  },
  chat_template_kwargs: {
    body: { chat_template_kwargs: { mood: 'glad' } },
    see: ({ prompt }) => prompt.includes('mood=glad'),
    is: true,
  },
  reasoning_effort: {
    body: { reasoning_effort: 'low' },
    see: ({ prompt }) => prompt.includes('effort=low'),
    is: true,
  },
  add_special_tokens: {
    body: { add_special_tokens: true },
    see: ({ prompt }) => prompt.startsWith('<|endoftext|>'),
    is: true,
  },
};

const completion: Readonly<Record<string, Probe>> = {
  ...common,
  prompt: { body: { prompt: 'xy' }, see: ({ prompt }) => prompt, is: '<|endoftext|>xy' },
  logprobs: { ...sampling('logprobs', { logprobs: 3 }, 3), script: withLogprobs },
  echo: { body: { prompt: 'xy', echo: true }, see: text, is: 'xyok' },
  best_of: { body: { best_of: 2 }, see: ({ requests }) => requests.length, is: 2 },
  add_special_tokens: {
    body: { prompt: 'xy', add_special_tokens: false },
    see: ({ prompt }) => prompt,
    is: 'xy',
  },
  return_tokens_as_token_ids: {
    body: { logprobs: 1, return_tokens_as_token_ids: true },
    script: withLogprobs,
    see: ({ answer }) => answer.choices[0].logprobs.tokens[0],
    is: 'token_id:97',
  },
  truncation_side: {
    body: {
      prompt: 'pq',
      add_special_tokens: false,
      truncate_prompt_tokens: 1,
      truncation_side: 'right',
    },
    see: ({ prompt }) => prompt,
    is: 'p',
  },
};

/** The tiny tokenizer, with a template that shows its variables and a beginning to be added. */
function assets() {
  const { tokenizer, tokenizerConfig } = tinyAssets(
    '{% if mood %}mood={{ mood }}{% endif %}{% if reasoning_effort %}effort={{ reasoning_effort }}' +
      '{% endif %}{% if documents %}{% for doc in documents %}[{{ doc.title }}]{% endfor %}{% endif %}' +
      chatmlTemplate,
  );
  const special = { type: 'TemplateProcessing', single: [], pair: [], special_tokens: {} };
  const start = '<|endoftext|>';
  const single = [
    { SpecialToken: { id: start, type_id: 0 } },
    { Sequence: { id: 'A', type_id: 0 } },
  ];
  const tokens = { [start]: { id: start, ids: [264], tokens: [start] } };
  const post_processor = { ...special, single, pair: single, special_tokens: tokens };
  return { tokenizer: { ...Object(tokenizer), post_processor }, tokenizerConfig };
}

async function look(world: World, path: string, probe: Probe): Promise<unknown> {
  world.cluster.assets = async () => assets();
  world.cluster.served = [{ ...llama, textDigest: 'with variables', reasoningParser: 'think' }];
  world.cluster.script = probe.script ?? says('ok');
  const base = path.includes('chat') ? { messages: [user] } : { prompt: 'p' };
  const response = await world.post(path, { ...base, ...probe.body });
  expect(response.status).toBe(200);
  const isStream = probe.body['stream'] === true;
  const answer = isStream ? await eventsOf(response) : await jsonOf(response);
  const { requests } = world.cluster;
  const [request] = requests;
  if (request === undefined) throw new Error('nothing was asked of the cluster');
  const asked = { tokens: request.promptIds };
  const { prompt } = await jsonOf(await world.post('/detokenize', asked));
  return probe.see({ request, requests, prompt, answer });
}

const routes = [
  { path: '/v1/chat/completions', schema: chatSchema.entries, probes: chat },
  { path: '/v1/completions', schema: completionSchema.entries, probes: completion },
] as const;

describe.each(routes)('$path', ({ path, schema, probes }) => {
  test('no field is left out', () => {
    expect(Object.keys(probes).sort()).toEqual(Object.keys(schema).sort());
  });

  test.each(Object.entries(probes))('%s does what it says', async (_field, probe) => {
    await using world = openWorld();
    expect(await look(world, path, probe)).toEqual(probe.is);
  });

  test('null is absent, for every field that need not be there', async () => {
    await using world = openWorld();
    const needed = ['messages', 'prompt'];
    const fields = Object.keys(schema).filter((field) => !needed.includes(field));
    const base = { messages: [user], prompt: 'p' };
    const nulls = Object.fromEntries(fields.map((field) => [field, null]));
    expect((await world.post(path, { ...nulls, ...base })).status).toBe(200);
  });

  const others = [...neutralFields].filter(([field]) => !Object.hasOwn(schema, field));
  test.each(others)('%s is refused by name, unless it says nothing', async (field, { wanted }) => {
    await using world = openWorld();
    const base = { messages: [user], prompt: 'p' };
    const refused = await world.post(path, { ...base, [field]: { any: 'thing' } });
    expect(refused.status).toBe(400);
    expect((await jsonOf(refused)).error.param).toBe(field);
    for (const value of [null, JSON.parse(wanted.split(' or ')[0] ?? 'null')]) {
      expect((await world.post(path, { ...base, [field]: value })).status).toBe(200);
    }
  });

  test('fields that change nothing are taken whatever they say', async () => {
    await using world = openWorld();
    const base = { messages: [user], prompt: 'p' };
    const fields = [...ignoredFields].filter((field) => !Object.hasOwn(schema, field));
    const body = Object.fromEntries(fields.map((field) => [field, 'anything']));
    expect((await world.post(path, { ...body, ...base })).status).toBe(200);
  });
});

test('README.md lists all fields, and no others', () => {
  const readme = readFileSync(join(import.meta.dir, '../../README.md'), 'utf8');
  const table = readme.slice(
    readme.indexOf('| field |'),
    readme.indexOf('The defaults are OpenAI'),
  );
  const rows = table.split('\n').filter((line) => line.startsWith('| `'));
  const names = (cell = ''): string[] =>
    [...cell.matchAll(/`([a-z_]+)`/g)].map(([, name]) => name ?? '');
  const listed = rows.flatMap((row) => names(row.split('|')[1]));
  expect(new Set(listed).size).toBe(listed.length);
  const known = [...Object.keys(chatSchema.entries), ...Object.keys(completionSchema.entries)];
  const all = new Set([...known, ...neutralFields.keys(), ...ignoredFields]);
  expect(listed.sort()).toEqual([...all].sort());
});
