// The description says what the server does: every route is in it, and a body that its schema admits or
// refuses is admitted or refused by the gateway.

import { describe, expect, test } from 'bun:test';
import Ajv2020 from 'ajv/dist/2020';
import { routes } from '../../src/api/routes.ts';
import { jsonOf, openWorld } from './world.ts';

type Described = {
  readonly openapi: string;
  readonly paths: Readonly<
    Record<
      string,
      Readonly<Record<string, { readonly requestBody?: never; readonly security: [] }>>
    >
  >;
};

async function described(): Promise<Described> {
  await using world = openWorld();
  return await jsonOf(await world.fetch('/openapi.json'));
}

test('every route and method of the table, with names for what a path leaves open', async () => {
  const document = await described();
  expect(document.openapi).toBe('3.1.0');
  const found = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  const wanted = routes.flatMap((route) => {
    const { path, shownPath = path } = route;
    const methods = (['get', 'post', 'delete'] as const).filter((method) => method in route);
    return methods.map((method) => `${method} ${shownPath}`);
  });
  expect(found).toEqual(wanted);
  expect(found).toContain('post /workers/{id}/{action}');
  expect(document.paths['/workers/{id}/{action}']?.['post']).toMatchObject({
    parameters: [{ name: 'id', in: 'path' }, { name: 'action' }],
  });
  expect(document.paths['/live']?.['get']?.security).toEqual([]);
  expect(document.paths['/metrics']?.['get']?.security).toHaveLength(2);
});

describe('the schema of a request', () => {
  const chat = '/v1/chat/completions';
  const user = [{ role: 'user', content: 'hi' }];
  const parts = [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }];
  const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }];
  test.each<[boolean, string, object]>([
    [true, chat, { messages: user }],
    [true, chat, { messages: parts, stop: ['a'], temperature: null, max_tokens: 1 }],
    [true, chat, { messages: user, stop: 'a', top_logprobs: null, stream: false }],
    [false, chat, {}],
    [false, chat, { messages: [] }],
    [false, chat, { messages: [{ role: 'king', content: 'x' }] }],
    [false, chat, { messages: [{ role: 'user', content: 5 }] }],
    [false, chat, { messages: user, temperature: 3 }],
    [false, chat, { messages: user, stop: [5] }],
    [false, chat, { messages: user, max_tokens: 0 }],
    [false, chat, { messages: user, stream: 'yes' }],
    [true, chat, { messages: user, tools, tool_choice: 'auto' }],
    [true, chat, { messages: user, seed: 5, logit_bias: { 5: -1 } }],
    [true, chat, { messages: user, response_format: { type: 'json_object' } }],
    [false, chat, { messages: user, tools: [] }],
    [false, chat, { messages: user, tools, tool_choice: 'perhaps' }],
    [false, chat, { messages: user, seed: 'x' }],
    [false, chat, { messages: user, logit_bias: [1] }],
    [false, chat, { messages: user, chat_template_kwargs: [] }],
    [false, chat, { messages: user, response_format: { type: 'poem' } }],
    [true, '/v1/completions', { prompt: 'a' }],
    [true, '/v1/completions', { prompt: [[1, 2], [3]], echo: true, max_tokens: 1 }],
    [false, '/v1/completions', {}],
    [false, '/v1/completions', { prompt: 'a', best_of: 0 }],
    [true, '/tokenize', { prompt: 'a' }],
    [true, '/tokenize', { messages: user, return_token_strs: true }],
    [false, '/tokenize', {}],
    [false, '/tokenize', { messages: [] }],
    [true, '/detokenize', { tokens: [1] }],
    [false, '/detokenize', { tokens: [-1] }],
  ])('%p: %s %j', async (good, path, body) => {
    await using world = openWorld();
    const { paths } = await jsonOf(await world.fetch('/openapi.json'));
    const { schema } = paths[path].post.requestBody.content['application/json'];
    const validate = new Ajv2020({ strict: false }).compile(schema);
    expect(validate(body)).toBe(good);
    const response = await world.fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(response.ok).toBe(good);
  });
});

test('/docs needs nothing from elsewhere', async () => {
  await using world = openWorld();
  const response = await world.fetch('/docs');
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
  expect(response.headers.get('content-security-policy')).toStartWith("default-src 'none'");
  const text = await response.text();
  for (const { path, shownPath = path } of routes) expect(text).toContain(` ${shownPath}</code>`);
  expect(text).toContain('repetition_penalty');
  expect(text).not.toMatch(/<script|src=|https?:\/\/|@import|url\(/);
});
