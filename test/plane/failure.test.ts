// Client and workers together: deaths, outages, broken streams. Time is moved by hand.

import { describe, expect, test } from 'bun:test';
import { Cluster, faultOf, read } from './cluster.ts';
import { ticket } from './fake-engine.ts';
import { chunk, settle } from './make.ts';

/** Publishes a token chunk as if worker `g` had. */
function inject(cluster: Cluster, value: ReturnType<typeof chunk>): void {
  const payload = new TextEncoder().encode(JSON.stringify({ ...value, requestId: 'req-1' }));
  cluster.bus.publish('tdist.tokens.gw.req-1', payload);
}

describe('before the first token', () => {
  test('the context worker dies: tried elsewhere, the caller sees nothing', async () => {
    const cluster = new Cluster();
    const c = await cluster.worker('c', 'context');
    const g = await cluster.worker('g', 'generate', [7, 8]);
    const asked = cluster.ask();
    await settle();
    expect(c.engine.types).toEqual(['prefill']);
    c.kill();
    await cluster.pass(4000);
    const generation = await asked;
    expect(await read(generation)).toBe('7 8 stop');
    expect(generation.timing().route).toBe('local');
    expect(g.engine.types).toEqual(['generate', 'abort', 'generate']);
    expect(g.node.jobCount()).toBe(0);
  });

  test('the only generate worker dies: waits for its successor', async () => {
    const cluster = new Cluster();
    const c = await cluster.worker('c', 'context');
    const g = await cluster.worker('g', 'generate');
    const asked = cluster.ask();
    await settle();
    g.kill();
    await cluster.pass(5000);
    expect(c.engine.types).toEqual(['prefill', 'abort']);
    c.engine.answer = [7, 8];
    await cluster.worker('g-new', 'generate', [7, 8]);
    expect(await read(await asked)).toBe('7 8 stop');
  });

  test('a worker reports a fault: tried elsewhere', async () => {
    const cluster = new Cluster();
    const g1 = await cluster.worker('g1', 'generate');
    const asked = cluster.ask();
    await settle();
    await cluster.worker('g2', 'generate', [7]);
    const requestId = g1.engine.lastId();
    const fault = { code: 'engine', message: `Run failed\n${'x'.repeat(9999)}` };
    g1.engine.emit({ type: 'tokens', requestId, first: 0, ids: [], finish: null, fault });
    expect(await read(await asked)).toBe('7 stop');
    expect(g1.engine.types).toEqual(['generate']);
    expect(g1.node.jobCount()).toBe(0);
  });

  test('a worker that cannot be reached but still beats gets another chance', async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate', [7]);
    g.bus.disconnect();
    const asked = cluster.ask();
    await cluster.pass(500);
    g.bus.reconnect();
    await cluster.pass(1500);
    expect(await read(await asked)).toBe('7 stop');
  });

  test('the gateway’s own plane is away: waits, then goes on', async () => {
    const cluster = new Cluster();
    await cluster.worker('g', 'generate', [7]);
    cluster.bus.disconnect('the plane is away');
    expect(cluster.client.unready()).toBe('the plane is away');
    const asked = cluster.ask();
    await cluster.pass(10_000); // the worker expires meanwhile
    expect(cluster.client.workers()).toEqual([]);
    cluster.bus.reconnect();
    expect(await read(await asked)).toBe('7 stop');
  });

  test('nothing comes for too long: given up there', async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate');
    const asked = faultOf(cluster.ask());
    for (let second = 0; second < 301; second++) await cluster.pass(1000);
    expect(await asked).toMatchObject({ code: 'timeout' });
    expect(g.engine.types).toEqual(['generate', 'abort']);
  });
});

describe('after the first token', () => {
  test('an engine that fails, and nobody else: told at once', async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate');
    const asked = cluster.ask();
    await settle();
    g.engine.tokens('req-1', 0, [7]);
    const text = read(await asked);
    const fault = { code: 'engine', message: 'broken' };
    const tokens = { type: 'tokens', requestId: 'req-1', ids: [], finish: null } as const;
    g.engine.emit({ ...tokens, first: 1, fault });
    expect(await text).toBe('7 !engine');
  });

  test('silence: given up, aborted', async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate');
    const asked = cluster.ask();
    await settle();
    g.engine.tokens('req-1', 0, [7]);
    const text = read(await asked);
    await cluster.pass(30_000);
    g.engine.tokens('req-1', 1, [8]);
    await cluster.pass(59_900);
    expect(g.engine.types).toEqual(['generate']);
    await cluster.pass(200);
    expect(await text).toBe('7 8 !timeout');
    expect(g.engine.types).toEqual(['generate', 'abort']);
  });

  test('the context worker dies before the hand-over: the generate worker prefills', async () => {
    const cluster = new Cluster();
    const c = await cluster.worker('c', 'context');
    const g = await cluster.worker('g', 'generate', [7, 8, 9]);
    const asked = cluster.ask();
    await settle();
    c.engine.tokens('req-1', 0, [7]);
    const text = read(await asked);
    c.kill();
    await cluster.pass(4000);
    expect(await text).toBe('7 8 9 stop');
    expect(g.engine.commands.at(-1)).toEqual({
      type: 'import',
      requestId: 'req-1',
      firstToken: 7,
      ticket: null,
    });
  });

  test('it dies after the hand-over: nobody cares', async () => {
    const cluster = new Cluster();
    const c = await cluster.worker('c', 'context', [7, 8, 9]);
    const g = await cluster.worker('g', 'generate');
    const asked = cluster.ask();
    await settle();
    expect(g.engine.types).toEqual(['generate', 'import']);
    const text = read(await asked);
    c.kill();
    await cluster.pass(4000);
    g.engine.tokens('req-1', 1, [8, 9], true);
    expect(await text).toBe('7 8 9 stop');
    expect(g.engine.types).toEqual(['generate', 'import']);
  });

  test('the worker’s plane was away while tokens were due: told as soon as it is back, and asked to go on', async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate');
    const asked = cluster.ask();
    await settle();
    g.engine.tokens('req-1', 0, [7]);
    const text = read(await asked);
    g.bus.disconnect();
    g.engine.tokens('req-1', 1, [8]);
    expect(g.engine.types).toEqual(['generate', 'abort']);
    await cluster.pass(200);
    g.engine.answer = [7, 8, 9];
    g.bus.reconnect();
    await cluster.pass(1100);
    expect(await text).toBe('7 8 9 stop');
  });
});

describe('the token stream', () => {
  const begin = async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate');
    const asked = cluster.ask();
    await settle();
    return { cluster, g, asked };
  };

  test('out of order and repeated', async () => {
    const { cluster, asked } = await begin();
    inject(cluster, chunk(2, [9], { finish: 'length' }));
    inject(cluster, chunk(0, [7]));
    inject(cluster, chunk(0, [7]));
    inject(cluster, chunk(1, [8], { worker: 'somebody-else' }));
    inject(cluster, chunk(1, [8]));
    expect(await read(await asked)).toBe('7 8 9 length');
  });

  test('a gap is waited for, then the worker is told, and goes on before the gap', async () => {
    const { cluster, g, asked } = await begin();
    inject(cluster, chunk(0, [7]));
    inject(cluster, chunk(2, [9]));
    const text = read(await asked);
    await cluster.pass(1900);
    expect(g.engine.types).toEqual(['generate']);
    g.engine.answer = [7, 8, 9];
    await cluster.pass(1200);
    expect(await text).toBe('7 8 9 stop');
    expect(g.engine.types).toEqual(['generate', 'abort', 'generate']);
  });

  test('a contradiction or a chunk that is none', async () => {
    for (const bad of [chunk(0, [6]), { ...chunk(1, [8]), v: 3 }]) {
      const { cluster, g, asked } = await begin();
      inject(cluster, chunk(0, [7]));
      const text = read(await asked);
      await settle();
      inject(cluster, bad as ReturnType<typeof chunk>); // a wrong version on purpose
      await settle();
      expect(g.engine.types).toEqual(['generate', 'abort']);
      g.engine.answer = [7, 8];
      await cluster.pass(1100);
      expect(await text).toBe('7 8 stop');
    }
  });

  test('token 0 never comes from the context worker: tried elsewhere', async () => {
    const cluster = new Cluster();
    const c = await cluster.worker('c', 'context');
    const g = await cluster.worker('g', 'generate');
    const asked = cluster.ask();
    await settle();
    c.engine.emit({ type: 'prefilled', requestId: 'req-1', firstToken: 7, ticket });
    await settle();
    g.engine.tokens('req-1', 1, [8]);
    g.engine.answer = [7, 8];
    await cluster.pass(2100);
    expect(await read(await asked)).toBe('7 8 stop');
  });

  test('a reader too slow for a worker that does not rest loses the generation, and the worker is told', async () => {
    const { cluster, g, asked } = await begin();
    for (let index = 0; index <= 16_384; index++) g.engine.tokens('req-1', index, [1]);
    await settle();
    const text = await read(await asked);
    expect(text.endsWith('1 !overloaded')).toBeTrue();
    expect(g.engine.types).toEqual(['generate', 'pause', 'abort']);
    expect(cluster.lines.join('\n')).not.toContain('ERROR');
  });
});
