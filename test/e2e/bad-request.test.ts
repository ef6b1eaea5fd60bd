// Requests that cannot be served, over real HTTP: OpenAI's error envelope with the right status,
// before any work, and the next good request is served as if nothing had been.

import { afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { type ApiError, ask, type ChatBody, jsonOf, post, question, user } from './chat.ts';
import { type Deployment, startAll } from './deployment.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
let all: Deployment;
beforeAll(async () => {
  all = await startAll(world, ['--max-model-len=512']);
});

async function expectGoodAnswer(): Promise<void> {
  const { body } = await ask(all.url, question('What is the capital of France?'));
  expect(body.choices[0]?.message.content).toBe('The capital of France is Paris.');
}

async function errorOf(response: Response): Promise<ApiError> {
  const body = await jsonOf<{ error: ApiError }>(response);
  expect(Object.keys(body)).toEqual(['error']);
  expect(Object.keys(body.error).sort()).toEqual(['code', 'message', 'param', 'type']);
  expect(body.error.message).not.toMatch(/\n\s+at |\/src\/|node_modules/);
  return body.error;
}

const tooLong = 'word '.repeat(2000);
const hi = question('Hi');

describe('POST /v1/chat/completions', () => {
  afterEach(expectGoodAnswer);

  test.each<[string, ChatBody | string, number, Partial<ApiError>]>([
    ['no JSON', '{"model": "llama", ', 400, { code: null }],
    ['an empty body', '', 400, {}],
    ['a list', '[]', 400, {}],
    ['no messages', { model: 'llama' }, 400, { param: 'messages' }],
    ['empty messages', { model: 'llama', messages: [] }, 400, { param: 'messages' }],
    ['an unknown role', { ...hi, messages: [{ role: 'king', content: 'x' }] }, 400, {}],
    ['content that is a number', { ...hi, messages: [{ role: 'user', content: 5 }] }, 400, {}],
    ['an unknown model', { ...hi, model: 'gpt-9' }, 404, { code: 'model_not_found' }],
    ['n of 2', { ...hi, n: 2 }, 400, { param: 'n' }],
    [
      'top_logprobs of 21',
      { ...hi, logprobs: true, top_logprobs: 21 },
      400,
      { param: 'top_logprobs' },
    ],
    ['temperature of 3', { ...hi, temperature: 3 }, 400, { param: 'temperature' }],
    ['top_p of 0', { ...hi, top_p: 0 }, 400, { param: 'top_p' }],
    ['max_tokens of 0', { ...hi, max_tokens: 0 }, 400, { param: 'max_tokens' }],
    ['five stop strings', { ...hi, stop: ['a', 'b', 'c', 'd', 'e'] }, 400, { param: 'stop' }],
    ['stream_options alone', { ...hi, stream_options: {} }, 400, { param: 'stream_options' }],
    [
      'a prompt longer than the context',
      { ...hi, messages: [user(tooLong)] },
      400,
      { code: 'context_length_exceeded' },
    ],
  ])('%s', async (_name, body, status, wanted) => {
    for (const stream of [false, true]) {
      const sent =
        typeof body === 'string' || wanted.param === 'stream_options' ? body : { ...body, stream };
      const response = await post(all.url, sent);
      expect(response.status).toBe(status);
      expect(response.headers.get('content-type')).toStartWith('application/json');
      expect(response.headers.get('x-request-id')).not.toBeNull();
      expect(await errorOf(response)).toMatchObject({ type: 'invalid_request_error', ...wanted });
    }
  });

  test('more max_tokens than the context has left ends at its end', async () => {
    const { body } = await ask(all.url, { ...hi, max_tokens: 600, ignore_eos: true });
    expect(body.choices[0]?.finish_reason).toBe('length');
    expect(body.usage.total_tokens).toBe(512);
  });

  test('another content type', async () => {
    const headers = { 'content-type': 'text/plain' };
    const response = await post(all.url, hi, { headers });
    expect(response.status).toBe(415);
    expect((await errorOf(response)).code).toBe('unsupported_media_type');
  });

  test('GET', async () => {
    const response = await fetch(`${all.url}/v1/chat/completions`);
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toContain('POST');
    expect((await errorOf(response)).code).toBe('method_not_allowed');
  });
});

describe('elsewhere', () => {
  afterEach(expectGoodAnswer);

  test.each(['/v1/nothing', '/', '/v1/chat', '/..%2f..%2fetc/passwd'])(
    '%s is 404',
    async (path) => {
      const response = await fetch(`${all.url}${path}`);
      expect(response.status).toBe(404);
      expect((await errorOf(response)).type).toBe('invalid_request_error');
    },
  );

  test('a model that is not there', async () => {
    const response = await fetch(`${all.url}/v1/models/other`);
    expect(response.status).toBe(404);
    expect((await errorOf(response)).code).toBe('model_not_found');
  });
});

describe('the log', () => {
  test('has no error and no stack trace of all this', () => {
    expect(all.program.lines().join('\n')).not.toMatch(/ERROR|^\s+at /m);
  });
});

testNothingLeft(world);
