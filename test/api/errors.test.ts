import { describe, expect, test } from 'bun:test';
import { jsonOf, openWorld, type World } from './world.ts';

const json = { 'content-type': 'application/json' };
const path = '/v1/chat/completions';

function post(
  world: World,
  body: string | Uint8Array<ArrayBuffer> | ReadableStream,
  headers: Readonly<Record<string, string>> = json,
): Promise<Response> {
  return world.fetch(path, { method: 'POST', body, headers });
}

async function expectEnvelope(
  response: Response,
  status: number,
  code: string | null,
): Promise<string> {
  expect(response.status).toBe(status);
  expect(response.headers.get('content-type')).toContain('application/json');
  expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
  const body = await jsonOf(response);
  expect(Object.keys(body)).toEqual(['error']);
  expect(Object.keys(body.error)).toEqual(['message', 'type', 'param', 'code']);
  expect(body.error.code).toBe(code);
  expect(body.error.message.length).toBeLessThanOrEqual(1000);
  return body.error.message;
}

describe('bad bodies', () => {
  const deep = '['.repeat(1_000_000);
  const invalidUtf8 = new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
  test.each([
    ['nothing', '', 'empty'],
    ['null', 'null', 'null'],
    ['a list', '[]', 'a list'],
    ['a string', '"x"', 'a string'],
    ['truncated', '{"messages": [', 'not valid JSON'],
    ['a million brackets', deep, 'deeper than 64'],
    ['depth hidden behind strings', `{"a":"[","b":${deep}`, 'deeper than 64'],
    ['broken UTF-8', invalidUtf8, 'UTF-8'],
    ['1e999', '{"messages":[{"role":"user","content":"x"}],"temperature":1e999}', '1e999'],
    ['__proto__', '{"__proto__":{"messages":[]},"constructor":1}', 'messages'],
  ])('%s', async (_name, body, hint) => {
    await using world = openWorld();
    const message = await expectEnvelope(await post(world, body), 400, null);
    expect(message).toContain(hint);
    expect((await world.chat()).status).toBe(200);
  });

  test("curl's own content type is refused with the mend", async () => {
    await using world = openWorld();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const response = await post(world, '{"messages":[]}', headers);
    const message = await expectEnvelope(response, 415, 'unsupported_media_type');
    expect(message).toContain("-H 'Content-Type: application/json'");
  });

  test('a compressed body is refused', async () => {
    await using world = openWorld();
    const response = await post(world, '{}', { ...json, 'content-encoding': 'gzip' });
    await expectEnvelope(response, 415, 'unsupported_media_type');
  });

  test('a body above the limit, announced or chunked', async () => {
    await using world = openWorld();
    const bytes = new Uint8Array(10 * 1024 * 1024 + 1).fill(0x20);
    await expectEnvelope(await post(world, bytes), 413, 'request_too_large');
    const chunked = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes);
        controller.close();
      },
    });
    await expectEnvelope(await post(world, chunked), 413, 'request_too_large');
    expect((await world.chat()).status).toBe(200);
    expect(world.server.inFlight()).toBe(0);
  });

  test('a charset in the content type, a BOM and a NUL are fine', async () => {
    await using world = openWorld();
    const body = '\ufeff{"messages":[{"role":"user","content":"a\\u0000b"}]}';
    const headers = { 'content-type': 'Application/JSON; charset=utf-8' };
    expect((await post(world, body, headers)).status).toBe(200);
  });
});

describe('bad requests', () => {
  test('an unknown model is 404 and tells the known ones', async () => {
    await using world = openWorld();
    for (const model of ['gpt-4', '../../etc/passwd', 'a\r\nX: y', 'x'.repeat(1_000_000)]) {
      const response = await world.chat({ model });
      const message = await expectEnvelope(response, 404, 'model_not_found');
      expect(message).toContain("'llama'");
    }
  });

  test('no model named: the only one there is, or a refusal', async () => {
    await using world = openWorld();
    expect((await jsonOf(await world.chat({ model: null }))).model).toBe('llama');
    const [llama] = world.cluster.served;
    if (llama === undefined) throw new Error('no model');
    world.cluster.served = [llama, { ...llama, name: 'other' }];
    const message = await expectEnvelope(await world.chat({ model: '' }), 400, null);
    expect(message).toContain("'llama', 'other'");
  });

  test('a message names the field, in `param` too, and does not repeat a long value', async () => {
    await using world = openWorld();
    const response = await world.chat({ max_tokens: 'x'.repeat(100_000) });
    expect(response.status).toBe(400);
    const { message, param } = (await jsonOf(response)).error;
    expect(param).toBe('max_tokens');
    expect(message).toStartWith('max_tokens: ');
    expect(message.length).toBeLessThanOrEqual(1000);
  });
});

describe('routes and methods', () => {
  test('unknown routes', async () => {
    await using world = openWorld();
    for (const unknown of ['/', '/v1', '/nope', '/%zz', '/v1/chat/completions/x']) {
      await expectEnvelope(await world.fetch(unknown), 404, 'not_found');
    }
  });

  test('wrong methods are 405 and name the right ones', async () => {
    await using world = openWorld();
    const get = await world.fetch(path);
    expect(get.headers.get('allow')).toBe('POST, OPTIONS');
    await expectEnvelope(get, 405, 'method_not_allowed');
    const post405 = await world.fetch('/v1/models', { method: 'POST', body: '{}' });
    expect(post405.headers.get('allow')).toBe('GET, HEAD, OPTIONS');
    await expectEnvelope(post405, 405, 'method_not_allowed');
    expect((await world.fetch(path, { method: 'DELETE' })).status).toBe(405);
    expect((await world.fetch(path, { method: 'HEAD' })).status).toBe(405);
  });
});

describe('a field that is required and absent is called so', () => {
  const model = 'llama';
  test.each([
    ['/v1/chat/completions', {}, 'messages', 'messages is required.'],
    ['/v1/chat/completions', { messages: [{}] }, 'messages.0.role', 'messages.0.role is required.'],
    ['/v1/completions', { model }, 'prompt', 'prompt is required.'],
    ['/v1/responses', { model }, 'input', 'input is required.'],
    ['/tokenize', {}, 'prompt', 'prompt or messages is required.'],
    ['/detokenize', {}, 'tokens', 'tokens is required.'],
  ])('%s %j', async (route, body, param, message) => {
    await using world = openWorld();
    const response = await world.post(route, body);
    expect(response.status).toBe(400);
    expect((await jsonOf(response)).error).toMatchObject({ param, message });
  });

  test('an object that holds something else is not', async () => {
    await using world = openWorld();
    const { error } = await jsonOf(await world.post('/v1/chat/completions', { messages: [3] }));
    expect(error.message).not.toContain('required');
  });
});

test.each([
  ['max_tokens', 5, 'max_output_tokens'],
  ['max_completion_tokens', 5, 'max_output_tokens'],
  ['messages', [], 'input'],
])('/v1/responses: %s is told its name here', async (param, value, name) => {
  await using world = openWorld();
  const { error } = await jsonOf(await world.post('/v1/responses', { [param]: value }));
  expect(error).toMatchObject({ param, message: `${param} is called ${name} on this route.` });
});
