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
  const wanted = routes.flatMap(({ path, shownPath = path, get, post }) => [
    ...(get === undefined ? [] : [`get ${shownPath}`]),
    ...(post === undefined ? [] : [`post ${shownPath}`]),
  ]);
  expect(found).toEqual(wanted);
  expect(found).toContain('post /workers/{id}/{action}');
  expect(document.paths['/workers/{id}/{action}']?.['post']).toMatchObject({
    parameters: [{ name: 'id', in: 'path' }, { name: 'action' }],
  });
  expect(document.paths['/live']?.['get']?.security).toEqual([]);
  expect(document.paths['/metrics']?.['get']?.security).toHaveLength(2);
});

describe('the schema of a chat request', () => {
  const user = [{ role: 'user', content: 'hi' }];
  const parts = [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }];
  test.each<[boolean, object]>([
    [true, { messages: user }],
    [true, { messages: parts, stop: ['a'], temperature: null, max_tokens: 1 }],
    [true, { messages: user, stop: 'a', top_logprobs: null, stream: false }],
    [false, {}],
    [false, { messages: [] }],
    [false, { messages: [{ role: 'king', content: 'x' }] }],
    [false, { messages: [{ role: 'user', content: 5 }] }],
    [false, { messages: user, temperature: 3 }],
    [false, { messages: user, stop: [5] }],
    [false, { messages: user, max_tokens: 0 }],
    [false, { messages: user, stream: 'yes' }],
  ])('%p: %j', async (good, body) => {
    await using world = openWorld();
    const { paths } = await jsonOf(await world.fetch('/openapi.json'));
    const { schema } = paths['/v1/chat/completions'].post.requestBody.content['application/json'];
    const validate = new Ajv2020({ strict: false }).compile(schema);
    expect(validate(body)).toBe(good);
    const response = await world.fetch('/v1/chat/completions', {
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
