// What a broken or hostile client sends: each answer is a 4xx envelope within a second, nothing of it
// reaches a worker, and the next request is served.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { bytesOf } from '../text/tiny-tokenizer.ts';
import { says } from './fake-cluster.ts';
import { jsonOf, openWorld, type World } from './world.ts';

const chatPath = '/v1/chat/completions';
const completionPath = '/v1/completions';
let world: World;
beforeAll(() => {
  world = openWorld(says('ok'));
});
afterAll(() => world[Symbol.asyncDispose]());

async function expectRefused(path: string, body: unknown, init: RequestInit = {}): Promise<void> {
  const askedCount = world.cluster.requests.length;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const beganMs = performance.now();
  const response = await world.post(path, text, init);
  const answer = await response.text();
  expect(performance.now() - beganMs).toBeLessThan(1000);
  expect([response.status >= 400 && response.status < 500, answer]).toEqual([true, answer]);
  const { error } = JSON.parse(answer);
  expect(Object.keys(error)).toEqual(['message', 'type', 'param', 'code']);
  expect(error.message.length).toBeLessThanOrEqual(1000);
  expect(answer.length).toBeLessThan(2000);
  expect(world.cluster.requests).toHaveLength(askedCount);
  expect((await world.chat()).status).toBe(200);
}

const user = { role: 'user', content: 'hi' };
const raw = (fields: string): string => `{"messages":[{"role":"user","content":"hi"}],${fields}}`;

describe('arguments of an earlier call', () => {
  const asked = (json: string) => ({
    messages: [
      user,
      {
        role: 'assistant',
        tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: json } }],
      },
    ],
  });

  test.each([
    ['65 lists', `${'['.repeat(65)}${']'.repeat(65)}`],
    ['objects without end', `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`],
    ['open lists without end', '['.repeat(1_000_000)],
  ])('nested too deeply: %s', async (_name, json) => {
    await expectRefused(chatPath, asked(json));
  });

  test('brackets in their texts are no levels', async () => {
    const json = JSON.stringify({ code: '[{'.repeat(1000), quoted: '"\\"[['.repeat(40) });
    expect((await world.post(chatPath, asked(json))).status).toBe(200);
  });
});

describe('bodies', () => {
  const deep = (count: number): string => `${'['.repeat(count)}${']'.repeat(count)}`;
  test.each([
    ['empty', ''],
    ['null', 'null'],
    ['a list', '[]'],
    ['a string', '"x"'],
    ['truncated', '{"messages":[{'],
    ['a million brackets', '['.repeat(1_000_000)],
    ['10,000 brackets, closed', raw(`"x":${deep(10_000)}`)],
    ['more behind the end', `${raw('"n":1')}x`],
    ['a comma too many', raw('"n":1,')],
    ['single quotes', "{'messages':[]}"],
    ['NaN', raw('"temperature":NaN')],
    ['-Infinity', raw('"temperature":-Infinity')],
    ['1e999', raw('"temperature":1e999')],
    ['a leading zero', raw('"n":01')],
    ['a line break in a string', raw('"user":"a\nb"')],
    ['a name twice', raw('"n":1,"n":1')],
    ['a name twice, one escaped', raw('"n":1,"\\u006e":1')],
    ['a name twice, deep inside', raw('"metadata":{"a":[{"b":1,"b":2}]}')],
    ['half a surrogate pair', raw('"stop":"\\ud83d"')],
    ['half a surrogate pair in a name', raw('"\\udc00":1')],
    ['a broken escape', raw('"user":"\\x"')],
    ['an open string', raw('"user":"').slice(0, -1)],
    ['a backslash at the end', raw('"user":"\\').slice(0, -1)],
    ['__proto__', '{"__proto__":{"messages":[]},"constructor":1}'],
    ['a million digits', raw(`"seed":${'9'.repeat(1_000_000)}`)],
  ])('%s', (_name, body) => expectRefused(chatPath, body));

  test.each([
    [{ 'content-encoding': 'gzip' }],
    [{ 'content-type': 'text/plain' }],
    [{ 'content-type': 'application/x-www-form-urlencoded' }],
  ])('%j', (headers) => expectRefused(chatPath, raw('"n":1'), { headers }));

  test('a NUL and __proto__ as they may stand do no harm', async () => {
    const body = raw('"metadata":{"__proto__":{"n":5},"constructor":1},"user":"a\\u0000b"');
    expect((await world.post(chatPath, body)).status).toBe(200);
    expect(world.cluster.requests.at(-1)).not.toHaveProperty('shared');
    expect((await world.chat({ messages: [{ role: 'user', content: 'a\0b' }] })).status).toBe(200);
  });
});

describe('chat', () => {
  const many = (count: number): Record<string, number> =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [String(i), 1]));
  const tool = (name: string, parameters: unknown = {}): unknown => ({
    type: 'function',
    function: { name, parameters },
  });
  test.each<[Readonly<Record<string, unknown>>]>([
    [{ messages: undefined }],
    [{ messages: '' }],
    [{ messages: [] }],
    [{ messages: [null] }],
    [{ messages: [{}] }],
    [{ messages: [{ role: 123, content: '' }] }],
    [{ messages: [{ role: 'root', content: '' }] }],
    [{ messages: [{ role: 'user', content: 123 }] }],
    [{ messages: [{ role: 'user', content: [{}] }] }],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }],
    [{ messages: [{ role: 'tool', content: '' }] }],
    [{ messages: Array.from({ length: 100_000 }, () => user) }],
    [{ temperature: 'hot' }],
    [{ temperature: -1 }],
    [{ temperature: 3 }],
    [{ top_p: 0 }],
    [{ top_p: 1.1 }],
    [{ n: 0 }],
    [{ n: -1 }],
    [{ n: 1.5 }],
    [{ n: 1e9 }],
    [{ n: '2' }],
    [{ n: 2, temperature: 0 }],
    [{ max_tokens: 0 }],
    [{ max_tokens: -1 }],
    [{ max_tokens: 1e18 }],
    [{ max_tokens: '5' }],
    [{ min_tokens: 9, max_tokens: 8 }],
    [{ stop: '' }],
    [{ stop: [''] }],
    [{ stop: ['1', '2', '3', '4', '5'] }],
    [{ stop: 'x'.repeat(1_000_000) }],
    [{ stop: [1] }],
    [{ logit_bias: { x: 1 } }],
    [{ logit_bias: { 999999999: 1 } }],
    [{ logit_bias: { '-1': 1 } }],
    [{ logit_bias: many(300_000) }],
    [{ top_logprobs: 2 }],
    [{ logprobs: true, top_logprobs: 21 }],
    [{ logprobs: true, top_logprobs: -2 }],
    [{ seed: 1.5 }],
    [{ stream: 'yes' }],
    [{ stream_options: {} }],
    [{ model: 'nobody' }],
    [{ model: '../../etc/passwd' }],
    [{ model: 'a\r\nX: y' }],
    [{ model: 'm'.repeat(1_000_000) }],
    [{ tools: [] }],
    [{ tools: [tool('f'), tool('f')] }],
    [{ tools: [tool('a b')] }],
    [{ tools: [tool('f', [])] }],
    [{ tools: Array.from({ length: 10_000 }, (_, i) => tool(`f${i}`)) }],
    [{ tool_choice: 'maybe' }],
    [{ cache_salt: 'a/b' }],
    [{ cache_salt: '' }],
    [{ cache_salt: 'x'.repeat(129) }],
    [{ bad_words: [''] }],
    [{ bad_words: [' '] }],
    [{ bad_words: Array.from({ length: 129 }, () => 'a') }],
    [{ allowed_token_ids: [] }],
    [{ allowed_token_ids: [1e9] }],
    [{ truncate_prompt_tokens: 0 }],
    [{ truncate_prompt_tokens: -2 }],
    [{ truncation_side: 'middle' }],
    [{ chat_template: '{% for i in range(3000000) %}{% endfor %}' }],
    [{ chat_template_kwargs: { messages: [] } }],
    [{ chat_template_kwargs: { tokenize: true } }],
    [{ chat_template_kwargs: { raise_exception: 1 } }],
    [{ chat_template_kwargs: { range: 1 } }],
    [{ chat_template_kwargs: 'x' }],
    [{ chat_template_kwargs: many(65) }],
    [{ documents: 'x' }],
    [{ documents: ['x'] }],
    [{ reasoning_effort: 'huge' }],
    [{ continue_final_message: true }],
    [{ continue_final_message: true, add_generation_prompt: true }],
    [{ continue_final_message: true, messages: [user, { role: 'assistant', content: ' ' }] }],
    [{ priority: 1001 }],
    [{ response_format: { type: 'xml' } }],
  ])('%#', (fields) => expectRefused(chatPath, { messages: [user], ...fields }));

  test.each(['9223372036854775808', '-9223372036854775809', '99999999999999999999999'])(
    'seed %s',
    (seed) => expectRefused(chatPath, raw(`"seed":${seed}`)),
  );

  test('the largest seed keeps its last digit', async () => {
    const seeds = ['9223372036854775807', '9223372036854775806', '-9223372036854775808'];
    for (const seed of seeds) {
      expect((await world.post(chatPath, raw(`"seed":${seed}`))).status).toBe(200);
    }
    const asked = world.cluster.requests.slice(-3).map(({ sampling }) => sampling.seed);
    expect(new Set(asked).size).toBe(3);
    expect(asked.every(Number.isSafeInteger)).toBeTrue();
  });
});

describe('prompts', () => {
  test.each<[unknown]>([
    [[-1]],
    [[1e12]],
    [[]],
    [[[]]],
    [['a', 1]],
    [[1, 'a']],
    [[[1], 'a']],
    [Array.from({ length: 1025 }, () => 'a')],
    [new Array(256).fill(97)],
    [new Array(257).fill(97)],
    ['a'.repeat(9_000_000)],
    [' '.repeat(9_000_000)],
    ['e\u0301'.repeat(1_500_000)],
    [`${'word'.repeat(50_000)}`],
  ])('%#', (prompt) => expectRefused(completionPath, { prompt }));

  test('a prompt that would be cut down, but is too long to look at', () =>
    expectRefused(completionPath, { prompt: 'a'.repeat(600_000), truncate_prompt_tokens: 5 }));

  test('a body above the limit', () =>
    expectRefused(completionPath, { prompt: 'a'.repeat(11 * 1024 * 1024) }));

  test('one token less than the context holds is served', async () => {
    const prompt = new Array(255).fill(97);
    expect((await world.post(completionPath, { prompt })).status).toBe(200);
  });
});

describe('responses', () => {
  const many = (count: number, item: unknown): unknown => new Array(count).fill(item);
  const call = { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' };
  test.each<[object]>([
    [{}],
    [{ input: 5 }],
    [{ input: {} }],
    [{ input: [null] }],
    [{ input: [[]] }],
    [{ input: ['x'] }],
    [{ input: [{}] }],
    [{ input: [{ type: 5, role: 'user', content: 'x' }] }],
    [{ input: [{ role: 'root', content: 'x' }] }],
    [{ input: [{ role: 'user', content: [] }] }],
    [{ input: [{ role: 'user', content: '\ud83d' }] }],
    [{ input: [{ ...call, arguments: {} }] }],
    [{ input: many(5000, user) }],
    [{ input: many(4096, { ...user, content: 'x'.repeat(2000) }), truncation: 'auto' }],
    [{ input: 'x'.repeat(9_000_000), truncation: 'auto' }],
    [{ input: 'x', instructions: 'x'.repeat(9_000_000) }],
    [{ input: 'x', previous_response_id: 'x'.repeat(1_000_000) }],
    [{ input: 'x', previous_response_id: '__proto__' }],
    [{ input: 'x', tools: many(129, { type: 'function', name: 'f' }) }],
    [{ input: 'x', metadata: Object.fromEntries(many17()) }],
    [{ input: 'x', model: 'nobody' }],
  ])('%#', (body) => expectRefused('/v1/responses', body));

  function many17(): [string, string][] {
    return Array.from({ length: 17 }, (_, i) => [`k${i}`, '']);
  }
});

describe('tokens', () => {
  test.each<[string, unknown]>([
    ['/tokenize', {}],
    ['/tokenize', { prompt: 5 }],
    ['/tokenize', { prompt: 'x', model: 'nobody' }],
    ['/tokenize', { prompt: 'x'.repeat(600_000) }],
    ['/tokenize', { messages: [{ role: 'user', content: 'x'.repeat(600_000) }] }],
    ['/tokenize', { messages: [] }],
    ['/detokenize', {}],
    ['/detokenize', { tokens: 'x' }],
    ['/detokenize', { tokens: [-1] }],
    ['/detokenize', { tokens: [1.5] }],
    ['/detokenize', { tokens: [1e9] }],
  ])('%s %j', (path, body) => expectRefused(path, body));
});

test('a head above 16 KiB is refused, and the next request is served', async () => {
  const headers = { 'x-long': 'x'.repeat(20_000) };
  expect((await world.fetch('/v1/models', { headers })).status).toBe(431);
  expect((await world.fetch(`/v1/models/${'x'.repeat(20_000)}`)).status).toBe(431);
  expect((await world.chat()).status).toBe(200);
});

describe('routes', () => {
  test.each([
    ['GET', '/nope', 404],
    ['POST', '/v1/nope', 404],
    ['POST', '/v1/chat/completions/more', 404],
    ['GET', '/v1/chat/completions', 405],
    ['PUT', '/v1/completions', 405],
    ['DELETE', '/v1/models', 405],
    ['DELETE', '/v1/responses', 405],
    ['PUT', '/v1/responses/x', 405],
    ['GET', '/v1/responses/__proto__', 404],
    ['DELETE', '/v1/responses/%2e%2e%2f', 404],
    ['GET', '/tokenize', 405],
    ['PATCH', '/detokenize', 405],
    ['POST', '/version', 405],
    ['POST', '/live', 405],
  ])('%s %s', async (method, path, status) => {
    const response = await world.fetch(path, { method });
    expect(response.status).toBe(status);
    expect((await jsonOf(response)).error.code).toBeString();
    expect(response.headers.get('allow') !== null).toBe(status === 405);
  });
});

describe('tokenize and detokenize', () => {
  test('a text, and back; a chat as its request has it', async () => {
    const text = await jsonOf(
      await world.post('/tokenize', { prompt: 'hé', return_token_strs: true }),
    );
    expect(text).toEqual({
      count: 3,
      max_model_len: 256,
      tokens: bytesOf('hé'),
      token_strs: ['h', '\ufffd', '\ufffd'],
    });
    const back = await jsonOf(await world.post('/detokenize', { tokens: text.tokens }));
    expect(back).toEqual({ prompt: 'hé' });
    await world.chat();
    const { tokens, count } = await jsonOf(await world.post('/tokenize', { messages: [user] }));
    expect(tokens).toEqual(world.cluster.requests.at(-1)?.promptIds);
    expect(count).toBe(tokens.length);
    const unopened = { messages: [user], add_generation_prompt: false };
    expect((await jsonOf(await world.post('/tokenize', unopened))).count).toBeLessThan(count);
  });
});
