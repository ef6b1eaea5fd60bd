import { describe, expect, test } from 'bun:test';
import { llama } from './fake-cluster.ts';
import { jsonOf, openWorld } from './world.ts';

const llamaObject = {
  id: 'llama',
  object: 'model',
  created: 1_700_000_000,
  owned_by: 'tdist',
  root: 'llama',
  parent: null,
  max_model_len: 256,
  permission: [],
};

describe('models', () => {
  test('the list and the single one, with slashes in the name either way', async () => {
    await using world = openWorld();
    world.cluster.served = [llama, { ...llama, name: 'org/name' }];
    expect(await jsonOf(await world.fetch('/v1/models'))).toEqual({
      object: 'list',
      data: [llamaObject, { ...llamaObject, id: 'org/name', root: 'org/name' }],
    });
    expect(await jsonOf(await world.fetch('/v1/models/llama'))).toEqual(llamaObject);
    for (const id of ['org/name', 'org%2Fname']) {
      expect((await jsonOf(await world.fetch(`/v1/models/${id}`))).id).toBe('org/name');
    }
    const unknown = await world.fetch('/v1/models/nope');
    expect(unknown.status).toBe(404);
    expect((await jsonOf(unknown)).error.code).toBe('model_not_found');
  });

  test('--model-name hides the others', async () => {
    await using world = openWorld(undefined, { model: 'llama' });
    world.cluster.served = [llama, { ...llama, name: 'other' }];
    expect((await jsonOf(await world.fetch('/v1/models'))).data).toEqual([llamaObject]);
    expect((await world.chat({ model: 'other' })).status).toBe(404);
  });
});

describe('health', () => {
  test('ready, live and version', async () => {
    await using world = openWorld();
    for (const path of ['/health', '/health/ready', '/health/', '/live']) {
      expect((await world.fetch(path)).status).toBe(200);
    }
    expect(await jsonOf(await world.fetch('/version'))).toEqual({ version: '1.2.3' });
  });

  test('not ready: 503 with the reason; liveness does not care', async () => {
    await using world = openWorld();
    world.cluster.reason = 'no context worker is ready';
    for (const path of ['/health', '/health/ready']) {
      const response = await world.fetch(path);
      expect(response.status).toBe(503);
      expect(response.headers.get('retry-after')).toBe('1');
      expect((await jsonOf(response)).error).toMatchObject({
        message: 'no context worker is ready',
        code: 'no_worker',
      });
    }
    expect((await world.fetch('/live')).status).toBe(200);
  });

  test('not ready when the wanted model is not there', async () => {
    await using world = openWorld(undefined, { model: 'mine' });
    const response = await world.fetch('/health');
    expect(response.status).toBe(503);
    expect((await jsonOf(response)).error.message).toContain("'mine'");
  });
});

describe('what all routes share', () => {
  test("the caller's request id if it is sane, else a new one", async () => {
    await using world = openWorld();
    const echoed = async (sent: string): Promise<string | null> =>
      (await world.fetch('/live', { headers: { 'x-request-id': sent } })).headers.get(
        'x-request-id',
      );
    for (const good of ['abc-1.2_3', 'a/b', '!"~', 'x'.repeat(128)]) {
      expect(await echoed(good)).toBe(good);
    }
    for (const bad of ['a b', 'ä', 'x'.repeat(129)]) {
      expect(await echoed(bad)).toMatch(/^[0-9a-f]{32}$/);
    }
  });

  test('one id for two requests at once harms neither; errors and streams bear it too', async () => {
    await using world = openWorld();
    const headers = { 'x-request-id': 'twice' };
    const all = await Promise.all([
      world.chat({ stream: true }, { headers }),
      world.chat({}, { headers }),
      world.chat({ model: 'nope' }, { headers }),
      world.fetch('/nowhere', { headers }),
    ]);
    expect(all.map((each) => each.status)).toEqual([200, 200, 404, 404]);
    expect(all.map((each) => each.headers.get('x-request-id'))).toEqual(
      new Array<string>(4).fill('twice'),
    );
    const [stream, whole] = await Promise.all(all.map((each) => each.text()));
    expect(stream).toEndWith('data: [DONE]\n\n');
    expect(JSON.parse(whole ?? '').choices[0].message.content).toBe('hello');
    expect(new Set(world.cluster.requests.map(({ requestId }) => requestId)).size).toBe(2);
  });

  test('HEAD is GET without a body', async () => {
    await using world = openWorld();
    const response = await world.fetch('/v1/models', { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('');
  });

  test('a host name of one letter', async () => {
    await using world = openWorld();
    const response = await world.fetch('/live', { headers: { host: 'x' } });
    expect(response.status).toBe(200);
  });
});

describe('CORS', () => {
  const origin = 'http://localhost';

  test('a listed origin may read, with credentials', async () => {
    await using world = openWorld();
    const { headers } = await world.fetch('/v1/models', { headers: { origin } });
    expect(headers.get('access-control-allow-origin')).toBe(origin);
    expect(headers.get('access-control-allow-credentials')).toBe('true');
    expect(headers.get('access-control-expose-headers')).toStartWith(
      'x-request-id, x-tdist-route, retry-after, x-ratelimit-limit-requests',
    );
    expect(headers.get('vary')).toBe('origin');
  });

  test('another origin may not, and errors and streams carry the headers too', async () => {
    await using world = openWorld();
    const other = await world.fetch('/v1/models', { headers: { origin: 'http://evil' } });
    expect(other.headers.get('access-control-allow-origin')).toBeNull();
    expect(other.headers.get('vary')).toBe('origin');
    const missing = await world.fetch('/nope', { headers: { origin } });
    expect(missing.headers.get('access-control-allow-origin')).toBe(origin);
    const stream = await world.chat({ stream: true }, { headers: { origin } });
    expect(stream.headers.get('access-control-allow-origin')).toBe(origin);
    await stream.text();
  });

  test('preflight', async () => {
    await using world = openWorld();
    const response = await world.fetch('/v1/chat/completions', {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type, x-stainless-os',
      },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get('access-control-allow-origin')).toBe(origin);
    expect(response.headers.get('access-control-allow-methods')).toBe('POST, OPTIONS');
    expect(response.headers.get('access-control-allow-headers')).toBe(
      'content-type, x-stainless-os',
    );
  });

  test('* admits everyone, without credentials', async () => {
    await using world = openWorld(undefined, { corsOrigins: ['*'] });
    const { headers } = await world.fetch('/live', { headers: { origin: 'http://any' } });
    expect(headers.get('access-control-allow-origin')).toBe('*');
    expect(headers.get('access-control-allow-credentials')).toBeNull();
  });
});
