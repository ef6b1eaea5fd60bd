// Who may come in, over real HTTP: keys, their limits on a clock of the test, and their metrics.

import { describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { indexOfDigest } from '../../src/api/access.ts';
import { keysOfFlag, parseKeyFile } from '../../src/api/key-file.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { prometheusMeter } from '../../src/telemetry/prometheus.ts';
import { settle } from '../plane/make.ts';
import { temporaryFolder } from '../plane/nats-world.ts';
import { samplesOf } from '../telemetry/samples.ts';
import { says, stalls } from './fake-cluster.ts';
import { eventsOf, jsonOf, openWorld } from './world.ts';

const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
const keyed = (text: string) => ({ apiKeys: parseKeyFile(text, 'k') });

describe('a key', () => {
  test('goes as Bearer or X-Api-Key; the first is meant where both are sent', async () => {
    await using world = openWorld(undefined, { apiKeys: keysOfFlag(['sk-a', 'sk-b']) });
    const status = async (headers: Record<string, string>) =>
      (await world.fetch('/v1/models', { headers })).status;
    expect(await status({ authorization: 'Bearer sk-a' })).toBe(200);
    expect(await status({ authorization: 'bearer   sk-b' })).toBe(200);
    expect(await status({ 'x-api-key': 'sk-b' })).toBe(200);
    for (const wrong of [
      'Bearer sk-c',
      'Bearer sk-',
      'Bearer sk-aa',
      'Basic sk-a',
      'sk-a',
      'Bearer',
    ]) {
      expect([wrong, await status({ authorization: wrong })]).toEqual([wrong, 401]);
    }
    expect(await status({ authorization: 'Bearer wrong', 'x-api-key': 'sk-a' })).toBe(401);
    expect(await status({})).toBe(401);
  });

  test('guards every route but probes and preflights, before method and existence', async () => {
    await using world = openWorld(undefined, { apiKeys: keysOfFlag(['sk-a']) });
    const status = async (path: string, method = 'GET') =>
      (await world.fetch(path, { method })).status;
    for (const path of ['/health', '/health/ready', '/live']) expect(await status(path)).toBe(200);
    expect(await status('/v1/chat/completions', 'OPTIONS')).toBe(204);
    for (const path of [
      '/v1/models',
      '/metrics',
      '/version',
      '/workers',
      '/docs',
      '/openapi.json',
      '/no',
    ]) {
      expect([path, await status(path)]).toEqual([path, 401]);
    }
    expect(await status('/workers/g/drain', 'POST')).toBe(401);
    expect(await status('/v1/chat/completions', 'DELETE')).toBe(401);
  });

  test('missing: the envelope, what to send, and nothing is read of the body', async () => {
    await using world = openWorld(undefined, { apiKeys: keysOfFlag(['sk-a']) });
    const response = await world.chat({}, bearer('sk-geheim'));
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    expect(response.headers.get('x-request-id')).not.toBeNull();
    const text = await response.text();
    expect(text).not.toContain('geheim');
    expect(JSON.parse(text).error).toEqual({
      message: 'Incorrect API key provided.',
      type: 'invalid_request_error',
      param: null,
      code: 'invalid_api_key',
    });
    // A body that never comes: the answer is there all the same.
    const answer = Promise.withResolvers<string>();
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port: world.server.port,
      socket: { data: (_, bytes) => answer.resolve(bytes.toString()) },
    });
    socket.write('POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{');
    expect(await answer.promise).toStartWith('HTTP/1.1 401');
    socket.end();
  });

  test('is compared with all, wherever it stands', () => {
    const all = new Uint8Array(96).map((_, at) => at);
    for (const index of [0, 1, 2]) {
      expect(indexOfDigest(all, all.slice(index * 32, index * 32 + 32))).toBe(index);
    }
    expect(indexOfDigest(all, all.slice(1, 33))).toBe(-1);
    expect(indexOfDigest(new Uint8Array(0), all.slice(0, 32))).toBe(-1);
  });
});

describe('a key file', () => {
  test('is read again when it changes; a broken one changes nothing and says so once', async () => {
    const folder = temporaryFolder();
    const path = join(folder.path, 'keys');
    writeFileSync(path, 'sk-old');
    const clock = new ManualClock();
    const lines: string[] = [];
    const log = createLog({ level: 1, sink: (line) => lines.push(line), name: '' });
    await using world = openWorld(undefined, { apiKeyFile: path, clock, log });
    const status = async (key: string) => (await world.fetch('/version', bearer(key))).status;
    expect([await status('sk-old'), await status('sk-new')]).toEqual([200, 401]);
    writeFileSync(path, 'sk-new name=fresh');
    clock.advance(1000);
    expect([await status('sk-old'), await status('sk-new')]).toEqual([401, 200]);
    for (const broken of ['sk-geheim color=red', '']) {
      writeFileSync(path, broken);
      clock.advance(5000);
      expect([await status('sk-geheim'), await status('sk-new')]).toEqual([401, 200]);
    }
    expect(lines.filter((line) => line.includes('stay as they were'))).toHaveLength(2);
    expect(lines.join()).not.toMatch(/geheim|sk-new/);
    folder.remove();
  });
});

describe('limits of a key', () => {
  test('requests a minute: 429 with the time to wait, headers as OpenAI sends them', async () => {
    const clock = new ManualClock();
    await using world = openWorld(says('a'), { clock, ...keyed('sk-a requests_per_minute=2') });
    const ask = () => world.chat({}, bearer('sk-a'));
    const first = await ask();
    expect(first.status).toBe(200);
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('2');
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('1');
    expect(first.headers.get('x-ratelimit-reset-requests')).toBe('30s');
    expect(first.headers.get('x-ratelimit-limit-tokens')).toBeNull();
    expect((await ask()).status).toBe(200);
    const third = await ask();
    expect(third.status).toBe(429);
    expect(third.headers.get('retry-after')).toBe('30');
    expect(third.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    expect((await jsonOf(third)).error).toMatchObject({
      type: 'rate_limit_error',
      code: 'rate_limit_exceeded',
      message: expect.stringContaining('2 requests a minute'),
    });
    // Reading lists makes no work.
    expect((await world.fetch('/v1/models', bearer('sk-a'))).status).toBe(200);
    clock.advance(30_000);
    expect((await ask()).status).toBe(200);
  });

  test('tokens a minute, prompt and completion, also of an answer whose client hung up', async () => {
    const clock = new ManualClock();
    const meter = prometheusMeter('api');
    const keys = keyed('sk-a name=alice tokens_per_minute=1000');
    await using world = openWorld(stalls('abc'), { clock, meter, ...keys });
    const response = await world.chat({ stream: true }, bearer('sk-a'));
    let text = '';
    for await (const bytes of response.body ?? []) {
      text += new TextDecoder().decode(bytes);
      if (text.split('data: ').length === 4) break; // leaving the loop hangs up
    }
    expect(await world.cluster.cancelled.promise).toBeDefined();
    const prompt = world.cluster.requests[0]?.promptIds.length ?? Number.NaN;
    const tokens = async () => {
      const shown = await (await world.fetch('/metrics', bearer('sk-a'))).text();
      expect(shown).not.toContain('sk-a');
      return samplesOf(shown);
    };
    const found = await tokens();
    expect(found.get('tdist_key_tokens_total{key="alice",kind="prompt"}')).toBe(prompt);
    expect(found.get('tdist_key_tokens_total{key="alice",kind="completion"}')).toBe(3);
    expect(found.get('tdist_key_requests_total{key="alice",code="499"}')).toBe(1);
    world.cluster.script = says('z');
    const next = await world.chat({}, bearer('sk-a'));
    const used = prompt + 3 + prompt + 1;
    expect(next.headers.get('x-ratelimit-remaining-tokens')).toBe(String(1000 - used));
  });

  test('tokens of all prompts and choices; tokenising makes no work', async () => {
    const meter = prometheusMeter('api');
    await using world = openWorld(says('abc'), {
      meter,
      ...keyed('sk-a name=alice requests_per_minute=1'),
    });
    const body = { prompt: ['hello', 'x'], n: 2, best_of: 3 };
    expect((await world.post('/v1/completions', body, bearer('sk-a'))).status).toBe(200);
    expect((await world.post('/v1/completions', body, bearer('sk-a'))).status).toBe(429);
    expect((await world.post('/tokenize', { prompt: 'x' }, bearer('sk-a'))).status).toBe(200);
    expect((await world.post('/tokenize', { prompt: 'x' })).status).toBe(401);
    const found = samplesOf(await (await world.fetch('/metrics', bearer('sk-a'))).text());
    const tokens = (kind: string) =>
      found.get(`tdist_key_tokens_total{key="alice",kind="${kind}"}`);
    const prompts = new Set(world.cluster.requests.map(({ promptIds }) => promptIds));
    const wanted = [...prompts].reduce((sum, { length }) => sum + length, 0);
    expect([tokens('prompt'), tokens('completion')]).toEqual([wanted, 2 * 3 * 3]);
    expect(found.get('tdist_key_requests_total{key="alice",code="200"}')).toBe(1);
    expect(found.get('tdist_key_requests_total{key="alice",code="429"}')).toBe(1);
  });

  test('a debt of tokens keeps out until it is paid', async () => {
    const clock = new ManualClock();
    const keys = keyed('sk-a tokens_per_minute=6');
    await using world = openWorld(says('abcdefgh'), { clock, ...keys });
    expect((await world.chat({}, bearer('sk-a'))).status).toBe(200);
    const prompt = world.cluster.requests[0]?.promptIds.length ?? Number.NaN;
    const refused = await world.chat({}, bearer('sk-a'));
    expect(refused.status).toBe(429);
    const waitS = (prompt + 8 - 6 + 1) * 10;
    expect(refused.headers.get('retry-after')).toBe(String(waitS));
    clock.advance(waitS * 1000 - 1000);
    expect((await world.chat({}, bearer('sk-a'))).status).toBe(429);
    clock.advance(1000);
    expect((await world.chat({}, bearer('sk-a'))).status).toBe(200);
  });

  test('at the same time: a place is free when an answer ends, in whatever way', async () => {
    await using world = openWorld(stalls('a'), keyed('sk-a concurrent=1\nsk-b'));
    const first = await world.chat({ stream: true }, bearer('sk-a'));
    const second = await world.chat({}, bearer('sk-a'));
    expect(second.status).toBe(429);
    expect((await jsonOf(second)).error.message).toContain('1 requests at the same time');
    world.cluster.script = says('b');
    expect((await world.chat({}, bearer('sk-b'))).status).toBe(200);
    await first.body?.cancel();
    await world.cluster.cancelled.promise;
    await settle();
    const free = await world.chat({ stream: true }, bearer('sk-a'));
    expect(await eventsOf(free)).toHaveLength(2);
    expect((await world.chat({ n: 'x' }, bearer('sk-a'))).status).toBe(400);
    expect((await world.chat({}, bearer('sk-a'))).status).toBe(200);
  });
});
