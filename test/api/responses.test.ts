// /v1/responses over a fake cluster: what is made of items and fields, the body, each event, and what is
// kept for a request that goes on.

import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { passedFields, responseSchema } from '../../src/api/response-schema.ts';
import { Fault } from '../../src/std/fault.ts';
import { StreamChecker } from '../e2e/reply-validator.ts';
import { chatmlTemplate, tinyAssets } from '../text/tiny-tokenizer.ts';
import { deltas, fails, llama, says } from './fake-cluster.ts';
import { namedEvents } from './response-world.ts';
import { jsonOf, openWorld, type World } from './world.ts';

const path = '/v1/responses';
const f = { type: 'function', name: 'f', parameters: { type: 'object', properties: {} } };

async function answer(world: World, body: object): Promise<ReturnType<typeof JSON.parse>> {
  const response = await world.post(path, { model: 'llama', ...body });
  const json = await jsonOf(response);
  expect([response.status, json.error]).toEqual([200, null]);
  return json;
}

/** The text of the last prompt. */
async function promptOf(world: World): Promise<string> {
  const tokens = world.cluster.requests.at(-1)?.promptIds;
  return (await jsonOf(await world.post('/detokenize', { tokens }))).prompt;
}

async function refusal(world: World, body: object): Promise<ReturnType<typeof JSON.parse>> {
  const response = await world.post(path, { input: 'hi', ...body });
  return { status: response.status, ...(await jsonOf(response)).error };
}

test('a whole answer', async () => {
  await using world = openWorld(says('ok'));
  const metadata = { who: 'me' };
  const body = { input: 'hi', metadata, user: 'u', max_output_tokens: 9, temperature: 0.5 };
  expect(await answer(world, body)).toEqual({
    id: expect.stringMatching(/^resp_[0-9a-f]{32}$/),
    object: 'response',
    created_at: expect.any(Number),
    status: 'completed',
    background: false,
    completed_at: expect.any(Number),
    error: null,
    incomplete_details: null,
    model: 'llama',
    output: [
      {
        id: expect.stringMatching(/^msg_[0-9a-f]{32}$/),
        type: 'message',
        status: 'completed',
        role: 'assistant',
        content: [{ type: 'output_text', text: 'ok', annotations: [], logprobs: [] }],
      },
    ],
    instructions: null,
    max_output_tokens: 9,
    max_tool_calls: null,
    metadata,
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    store: true,
    temperature: 0.5,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: [],
    top_logprobs: 0,
    top_p: 1,
    truncation: 'disabled',
    user: 'u',
    usage: {
      input_tokens: world.cluster.requests[0]?.promptIds.length,
      input_tokens_details: { cached_tokens: 3 },
      output_tokens: 2,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: (world.cluster.requests[0]?.promptIds.length ?? 0) + 2,
    },
  });
  expect(world.cluster.requests[0]?.sampling).toMatchObject({ maxTokens: 9, temperature: 0.5 });
});

test('items become messages: thoughts, text and calls of one turn are one', async () => {
  await using world = openWorld(says('ok'));
  world.cluster.served = [{ ...llama, textDigest: 'shows all' }];
  world.cluster.assets = async () =>
    tinyAssets(
      '{% for m in messages %}{{ m.role }}({{ m.reasoning_content }}|{{ m.content }}|' +
        '{% for c in m.tool_calls or [] %}{{ c.id }}{{ c.function.name }}{{ c.function.arguments | tojson }}' +
        '{% endfor %}){% endfor %}',
    );
  await answer(world, {
    instructions: 'be',
    input: [
      { role: 'user', content: [{ type: 'input_text', text: 'a' }] },
      {
        type: 'reasoning',
        id: 'rs_1',
        summary: [],
        content: [{ type: 'reasoning_text', text: 'hm' }],
      },
      {
        type: 'message',
        role: 'assistant',
        content: [{ type: 'output_text', text: 'b', annotations: [] }],
      },
      { type: 'function_call', id: 'fc_1', call_id: 'c1', name: 'f', arguments: '{"x":1}' },
      { type: 'function_call', call_id: 'c2', name: 'g', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c1', output: '1' },
      { type: 'function_call_output', call_id: 'c2', output: [{ type: 'input_text', text: '2' }] },
      { role: 'developer', content: 'now' },
    ],
  });
  expect(await promptOf(world)).toBe(
    'system(|be|)user(|a|)assistant(hm|b|c1f{"x": 1}c2g{})tool(|1|)tool(|2|)system(|now|)',
  );
});

describe('events', () => {
  test('of text', async () => {
    await using world = openWorld(says('ok'));
    const events = await namedEvents(await world.post(path, { input: 'hi', stream: true }));
    expect(events.map(({ type }) => type.replace('response.', ''))).toEqual([
      'created',
      'in_progress',
      'output_item.added',
      'content_part.added',
      'output_text.delta',
      'output_text.delta',
      'output_text.done',
      'content_part.done',
      'output_item.done',
      'completed',
    ]);
    const [created, , added, , delta] = events;
    expect(created?.['response']).toMatchObject({ status: 'in_progress', output: [], usage: null });
    expect(added?.['item']).toMatchObject({ type: 'message', status: 'in_progress', content: [] });
    const item_id = added?.['item'].id;
    const place = { item_id, output_index: 0, content_index: 0 };
    expect(delta).toMatchObject({ ...place, delta: 'o', logprobs: [] });
    expect(events.at(-2)?.['item']).toEqual(events.at(-1)?.['response'].output[0]);
    expect(events.at(-1)?.['response']).toMatchObject({
      status: 'completed',
      usage: { output_tokens: 2 },
    });
  });

  test('of thoughts, text and a call, the same items as whole', async () => {
    const text = '<think>hm</think>so<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>';
    await using world = openWorld(says(text));
    world.cluster.served = [{ ...llama, reasoningParser: 'think', toolParser: 'hermes' }];
    const asked = { input: 'hi', tools: [f] };
    const { output } = await answer(world, asked);
    expect(output).toMatchObject([
      { type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'hm' }] },
      { type: 'message', content: [{ text: 'so' }] },
      { type: 'function_call', name: 'f', arguments: '{"x": 1}', status: 'completed' },
    ]);
    const events = await namedEvents(await world.post(path, { ...asked, stream: true }));
    const plain = (items: object[]) => JSON.stringify(items).replace(/[0-9a-f]{20,}/g, 'id');
    expect(plain(events.at(-1)?.['response'].output)).toBe(plain(output));
    const done = events.filter(({ type }) => type === 'response.output_item.done');
    expect(done.map((event) => event['output_index'])).toEqual([0, 1, 2]);
    const call = events.find(({ type }) => type === 'response.function_call_arguments.done');
    expect(call).toMatchObject({ output_index: 2, name: 'f', arguments: '{"x": 1}' });
    const parts = events.filter(({ type }) => type === 'response.function_call_arguments.delta');
    expect(parts.map((event) => event['delta']).join('')).toBe('{"x": 1}');
    const thought = events.find(({ type }) => type === 'response.reasoning_text.done');
    expect(thought).toMatchObject({ output_index: 0, content_index: 0, text: 'hm' });
  });

  test('of an answer that is cut: incomplete, and why', async () => {
    await using world = openWorld(deltas({ ids: [97], finish: 'length' }));
    const events = await namedEvents(await world.post(path, { input: 'hi', stream: true }));
    expect(events.at(-1)).toMatchObject({
      type: 'response.incomplete',
      response: {
        status: 'incomplete',
        completed_at: null,
        incomplete_details: { reason: 'max_output_tokens' },
        output: [{ status: 'incomplete' }],
      },
    });
    expect((await answer(world, { input: 'hi' })).status).toBe('incomplete');
  });

  test('of one that breaks off: response.failed with what there is, and nothing is kept', async () => {
    await using world = openWorld(fails('a', new Fault('engine', 'secret')));
    const events = await namedEvents(await world.post(path, { input: 'hi', stream: true }));
    expect(events.map(({ type }) => type)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.failed',
    ]);
    const response = events.at(-1)?.['response'];
    const begun = events[0]?.['response'];
    const { id } = begun;
    const message = expect.not.stringContaining('secret');
    expect(response).toEqual({
      ...begun,
      status: 'failed',
      error: { code: 'server_error', message },
      output: [
        {
          id: events[2]?.['item'].id,
          type: 'message',
          role: 'assistant',
          status: 'incomplete',
          content: [{ type: 'output_text', text: 'a', annotations: [], logprobs: [] }],
        },
      ],
    });
    const checker = new StreamChecker(path);
    for (const event of events) checker.event(JSON.stringify(event));
    checker.end();
    expect((await world.fetch(`${path}/${id}`)).status).toBe(404);
  });

  test('before the first text a failure is a status', async () => {
    await using world = openWorld(fails('', new Fault('overloaded', 'full')));
    expect((await world.post(path, { input: 'hi', stream: true })).status).toBe(503);
  });
});

describe('what is kept', () => {
  test('a request goes on from it, without its instructions', async () => {
    await using world = openWorld(says('one'));
    const first = await answer(world, { input: 'a', instructions: 'be' });
    const second = await answer(world, { input: 'b', previous_response_id: first.id });
    const third = await answer(world, { input: 'c', previous_response_id: second.id });
    expect(third.previous_response_id).toBe(second.id);
    const turn = (who: string, said: string) => `<|im_start|>${who}\n${said}<|im_end|>\n`;
    const said = [turn('user', 'a'), turn('assistant', 'one'), turn('user', 'b')];
    expect(await promptOf(world)).toBe(
      `${said.join('')}${turn('assistant', 'one')}${turn('user', 'c')}<|im_start|>assistant\n`,
    );
  });

  test('it is shown and deleted, to those who have the same key', async () => {
    await using world = openWorld(says('one'));
    const init = { headers: { authorization: 'Bearer a' } };
    const made = await jsonOf(await world.post(path, { input: 'a' }, init));
    const at = `${path}/${made.id}`;
    expect((await world.fetch(at)).status).toBe(404);
    expect(await jsonOf(await world.fetch(at, init))).toEqual(made);
    expect((await world.fetch(at, { method: 'DELETE' })).status).toBe(404);
    const gone = await world.fetch(at, { ...init, method: 'DELETE' });
    expect(await jsonOf(gone)).toEqual({ id: made.id, object: 'response', deleted: true });
    expect((await world.fetch(at, init)).status).toBe(404);
  });

  test('store: false keeps nothing; an unknown one is a 404 by name', async () => {
    await using world = openWorld(says('one'));
    const { id } = await answer(world, { input: 'a', store: false });
    const error = await refusal(world, { previous_response_id: id });
    expect(error).toMatchObject({ status: 404, param: 'previous_response_id' });
    expect(error.message).toContain(id);
  });
});

describe('truncation', () => {
  const long = (letter: string) => ({ role: 'user', content: letter.repeat(120) });
  const input = [long('a'), { role: 'assistant', content: 'x' }, long('b'), long('c')];

  test('auto leaves out the oldest', async () => {
    await using world = openWorld(says('ok'));
    await answer(world, { input, instructions: 'be', truncation: 'auto' });
    const prompt = await promptOf(world);
    expect(prompt).toStartWith('<|im_start|>system\nbe');
    expect([...new Set(prompt.match(/([abc])\1+/g)?.map(([letter]) => letter))]).toEqual(['c']);
  });

  test('auto leaves what fits as it is, however long the answer may be', async () => {
    await using world = openWorld(says('ok'));
    const short = [
      { role: 'user', content: 'old' },
      { role: 'user', content: 'new' },
    ];
    const body = { input: short, truncation: 'auto' };
    await answer(world, { ...body, max_output_tokens: 100_000 });
    expect(await promptOf(world)).toContain('old');
  });

  test('auto keeps a result with its call', async () => {
    await using world = openWorld(says('ok'));
    world.cluster.assets = async () => tinyAssets(chatmlTemplate);
    const called = { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' };
    const result = { type: 'function_call_output', call_id: 'c', output: 'r'.repeat(60) };
    const input = [long('a'), called, result, long('b')];
    await answer(world, { input, truncation: 'auto' });
    const prompt = await promptOf(world);
    expect(prompt).toStartWith('<|im_start|>assistant\n<|im_end|>\n<|im_start|>tool\nrrr');
    // The result alone would still fit.
    await answer(world, { input, truncation: 'auto', max_output_tokens: 45 });
    expect(await promptOf(world)).toStartWith('<|im_start|>user\nbbb');
  });

  test('disabled, or one message too long, is refused', async () => {
    await using world = openWorld(says('ok'));
    for (const body of [{ input }, { input: 'a'.repeat(300), truncation: 'auto' }]) {
      const error = await refusal(world, body);
      expect(error).toMatchObject({ status: 400, code: 'context_length_exceeded', param: 'input' });
    }
  });
});

test('logprobs', async () => {
  const logprobs = [{ logprob: -0.5, top: [[97, -0.5] as [number, number]] }];
  await using world = openWorld(deltas({ ids: [97], logprobs, finish: 'stop' }));
  const include = ['message.output_text.logprobs'];
  const { output } = await answer(world, { input: 'hi', include, top_logprobs: 1 });
  const a = { token: 'a', logprob: -0.5, bytes: [97] };
  expect(output[0].content[0].logprobs).toEqual([{ ...a, top_logprobs: [a] }]);
});

test('text.format, tool_choice and effort mean what they mean in a chat', async () => {
  await using world = openWorld(says('1'));
  world.cluster.served = [{ ...llama, textDigest: 'shows effort' }];
  world.cluster.assets = async () => tinyAssets(`{{ reasoning_effort }}${chatmlTemplate}`);
  const format = { type: 'json_schema', name: 'n', schema: { type: 'integer' } };
  await answer(world, { input: 'hi', text: { format }, reasoning: { effort: 'low' } });
  const spec = { kind: 'json_schema', text: '{"type":"integer"}' } as const;
  expect(world.cluster.requests[0]?.sampling.grammar).toEqual(spec);
  expect(await promptOf(world)).toStartWith('low<|im_start|>');
  world.cluster.script = says('{}');
  const tool_choice = { type: 'function', name: 'f' };
  const { output } = await answer(world, { input: 'hi', tools: [f], tool_choice });
  expect(output).toMatchObject([{ type: 'function_call', name: 'f', arguments: '{}' }]);
  await answer(world, { input: 'hi', seed: 7, top_k: 4 });
  expect(world.cluster.requests.at(-1)?.sampling).toMatchObject({ seed: 7, topK: 4 });
});

test.each<[object, string]>([
  [{ background: true }, 'background'],
  [{ include: ['file_search_call.results'] }, 'include.0'],
  [{ tools: [{ type: 'web_search' }] }, 'tools.0.type'],
  [{ tools: [{ ...f, name: 'no name' }] }, 'tools.0.name'],
  [{ tools: [f], tool_choice: { type: 'function', name: 'g' } }, 'tool_choice'],
  [{ tool_choice: 'required' }, 'tool_choice'],
  [{ conversation: 'c' }, 'conversation'],
  [{ prompt: { id: 'p' } }, 'prompt'],
  [{ n: 2 }, 'n'],
  [{ messages: [] }, 'messages'],
  [{ max_tokens: 3 }, 'max_tokens'],
  [{ max_output_tokens: 0 }, 'max_output_tokens'],
  [{ max_output_tokens: 3, min_tokens: 4 }, 'min_tokens'],
  [{ input: [] }, 'input'],
  [{ input: null }, 'input'],
  [{ input: [{ role: 'user', content: [{ type: 'input_image' }] }] }, 'input.0.content.0.type'],
  [{ input: [{ type: 'item_reference', id: 'x' }] }, 'input.0.type'],
  [{ input: [{ type: 'function_call_output', call_id: 'x', output: '' }] }, 'input'],
  [{ text: { format: { type: 'json_schema', name: 'x', schema: { not: {} } } } }, 'text.format'],
  [{ text: { format: { type: 'xml' } } }, 'text.format.type'],
  [{ reasoning: { effort: 'lots' } }, 'reasoning.effort'],
  [{ reasoning: { summary: 'detailed' } }, 'reasoning.summary'],
  [{ stream_options: {} }, 'stream_options'],
  [{ metadata: { a: 1 } }, 'metadata.a'],
  [{ temperature: 3 }, 'temperature'],
])('%j is refused by name', async (body, param) => {
  await using world = openWorld(says('ok'));
  const error = await refusal(world, body);
  expect(error).toMatchObject({ status: 400, type: 'invalid_request_error', param });
});

test('null is absent, for every field that need not be there', async () => {
  await using world = openWorld(says('ok'));
  const names = [...Object.keys(responseSchema.entries), ...passedFields, 'background', 'messages'];
  const nulls = Object.fromEntries(names.map((name) => [name, null]));
  await answer(world, { ...nulls, model: 'llama', input: 'hi' });
});

test('README.md names every field', () => {
  const readme = readFileSync(join(import.meta.dir, '../../README.md'), 'utf8');
  const begin = readme.indexOf('`POST /v1/responses`');
  const part = readme.slice(begin, readme.indexOf('\n\n', readme.indexOf('\n\n', begin) + 2));
  const names = [...Object.keys(responseSchema.entries), ...passedFields];
  expect(names.filter((name) => !part.includes(`\`${name}\``))).toEqual([]);
});

describe('what a kept response was made of', () => {
  const list = async (world: World, of: string, query = '', headers = {}) => {
    const response = await world.fetch(`${path}/${of}/input_items${query}`, { headers });
    return { status: response.status, ...(await jsonOf(response)) };
  };

  test('its input and what it went on from, not its answer; the last one first, or in order', async () => {
    await using world = openWorld(says('ok'));
    const first = await answer(world, { instructions: 'be', input: 'a' });
    const input = [
      { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c', output: '1' },
      { role: 'user', content: [{ type: 'input_text', text: 'b' }] },
    ];
    const { id } = await answer(world, { input, previous_response_id: first.id });
    const { status, ...page } = await list(world, id, '?order=asc');
    expect([status, page.object, page.has_more]).toEqual([200, 'list', false]);
    expect(page.data).toMatchObject([
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'a' }] },
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'ok' }] },
      { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c', output: '1' },
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'b' }] },
    ]);
    const ids = page.data.map((item: { id: string }) => item.id);
    expect(new Set(ids).size).toBe(5);
    expect([page.first_id, page.last_id]).toEqual([ids[0], ids[4]]);
    expect((await list(world, id)).data).toEqual(page.data.toReversed());
    const middle = await list(world, id, `?order=asc&limit=2&after=${ids[0]}`);
    expect(middle).toMatchObject({ first_id: ids[1], last_id: ids[2], has_more: true });
    const last = await list(world, id, `?limit=4&after=${ids[1]}`);
    expect(last).toMatchObject({ first_id: ids[0], last_id: ids[0], has_more: false });
    const none = await list(world, id, `?after=${ids[0]}`);
    expect(none).toMatchObject({ data: [], first_id: null, last_id: null, has_more: false });
  });

  test('another owner, a wrong order, limit or after: refused by name', async () => {
    await using world = openWorld(says('ok'));
    const { id } = await answer(world, { input: 'a' });
    const other = { authorization: 'Bearer other' };
    expect(await list(world, id, '', other)).toMatchObject({ status: 404 });
    for (const [param, query] of [
      ['order', '?order=up'],
      ['limit', '?limit=0'],
      ['limit', '?limit=101'],
      ['limit', '?limit=x'],
      ['after', '?after=msg_1'],
    ] as const) {
      const refused = await list(world, id, query);
      expect(refused).toMatchObject({ status: 400, error: { param } });
    }
  });

  test('what else stands behind an id is no route', async () => {
    await using world = openWorld();
    for (const [method, tail] of [
      ['GET', 'abc/def'],
      ['DELETE', 'x/cancel'],
      ['POST', 'x/cancel'],
      ['GET', 'x/input_items/y'],
    ]) {
      const response = await world.fetch(`${path}/${tail}`, { method: method ?? '' });
      expect(response.status).toBe(404);
      const { error } = await jsonOf(response);
      expect(error.message).toBe(`There is no route ${method} ${path}/${tail}.`);
    }
    for (const id of ['%zz', 'a%2Fb'])
      expect((await world.fetch(`${path}/${id}`)).status).toBe(404);
    const wrong = await world.fetch(`${path}/x/input_items`, { method: 'DELETE' });
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
  });
});
