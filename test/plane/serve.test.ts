// Client and workers together: requests that go well, and requests that are refused.

import { describe, expect, test } from 'bun:test';
import type { EngineCommand } from '../../src/protocol/engine.ts';
import { limit } from '../../src/protocol/limit.ts';
import { Fault } from '../../src/std/fault.ts';
import { Cluster, faultOf, read, request, type TestWorker } from './cluster.ts';
import { card, settle } from './make.ts';

/** Makes a worker's engine refuse what it is asked to take on. */
function refuse(worker: TestWorker, code: string): void {
  worker.engine.script = ({ type, requestId }: EngineCommand) => {
    if (type !== 'generate' && type !== 'prefill') return true;
    worker.engine.emit({ type: 'refused', requestId, code, message: `${worker.id} says ${code}` });
    return false;
  };
}

describe('a request that goes well', () => {
  test('disaggregated', async () => {
    const cluster = new Cluster();
    const c = await cluster.worker('c', 'context', [7, 8, 9]);
    const g = await cluster.worker('g', 'generate', [7, 8, 9]);
    expect(cluster.client.unready()).toBeNull();
    const generation = await cluster.ask();
    expect(await read(generation)).toBe('7 8 9 stop');
    await settle();
    expect(c.engine.types).toEqual(['prefill', 'release']);
    expect(g.engine.types).toEqual(['generate', 'import']);
    expect(generation.timing()).toEqual({
      route: 'disaggregated',
      reason: 'forced',
      contextWorker: 'c',
      generateWorker: 'g',
      kvPath: 'shm',
      kvPathReason: 'same_host',
      kvBytes: 4096,
      cachedTokens: 2,
      queueMs: 1,
      prefillMs: 5,
      transferMs: 4,
    });
    expect([c.node.jobCount(), g.node.jobCount()]).toEqual([0, 0]);
  });

  test('local for short prompts, aggregated on a baseline worker', async () => {
    const cluster = new Cluster({ localPrefillTokens: 4 });
    const c = await cluster.worker('c', 'context', [7, 8]);
    const g = await cluster.worker('g', 'generate', [7, 8]);
    const local = await cluster.ask();
    expect(await read(local)).toBe('7 8 stop');
    expect(local.timing()).toMatchObject({ route: 'local', generateWorker: 'g', queueMs: 2 });
    expect(c.engine.types).toEqual([]);
    await g.node.close();
    await c.node.close();
    await cluster.worker('b', 'baseline', [5]);
    const aggregated = await cluster.ask();
    expect(await read(aggregated)).toBe('5 stop');
    expect(aggregated.timing()).toMatchObject({ route: 'aggregated', contextWorker: null });
  });

  test('a reader that does not see the memory after all gets the KV as objects', async () => {
    const path = async (objects: boolean, sees: boolean): Promise<unknown[]> => {
      const cluster = new Cluster();
      const change = { objects: () => objects, sees: () => sees };
      const c = await cluster.worker('c', 'context', [7, 8], change);
      await cluster.worker('g', 'generate', [7, 8], change);
      const generation = await cluster.ask();
      expect(await read(generation)).toBe('7 8 stop');
      const [prefill] = c.engine.commands;
      return [prefill?.type === 'prefill' && prefill.kvPath, generation.timing().kvPathReason];
    };
    expect(await path(true, true)).toEqual(['shm', 'same_host']);
    expect(await path(true, false)).toEqual(['object', 'other_host']);
    expect(await path(false, false)).toEqual(['shm', 'same_host']); // tried, and prefilled there else
  });

  test('the first token is the last: the reservation is given back', async () => {
    const cluster = new Cluster();
    const c = await cluster.worker('c', 'context', [2]);
    const g = await cluster.worker('g', 'generate', [2]);
    expect(await read(await cluster.ask())).toBe('2 stop');
    await settle();
    expect(c.engine.types).toEqual(['prefill']);
    expect(g.engine.types).toEqual(['generate', 'abort']);
    expect(g.node.jobCount()).toBe(0);
  });

  test('two hundred at once, each its own stream', async () => {
    const cluster = new Cluster();
    await cluster.worker('c1', 'context', [7, 8, 9]);
    const g1 = await cluster.worker('g1', 'generate', [7, 8, 9]);
    const g2 = await cluster.worker('g2', 'generate', [7, 8, 9]);
    const all = Array.from({ length: 200 }, (_, index) =>
      cluster.ask(undefined, { requestId: `r${index}` }).then(read),
    );
    expect(new Set(await Promise.all(all))).toEqual(new Set(['7 8 9 stop']));
    const count = (worker: TestWorker) =>
      worker.engine.types.filter((type) => type === 'generate').length;
    expect(count(g1) + count(g2)).toBe(200);
    expect(Math.abs(count(g1) - count(g2))).toBeLessThan(20);
  });

  test('what has ended no longer counts as load', async () => {
    const cluster = new Cluster();
    const old = await cluster.worker('b1', 'baseline', [5]);
    const ask = (requestId: string) => cluster.ask(undefined, { requestId }).then(read);
    for (let index = 0; index < 4; index++) await ask(`before${index}`);
    await cluster.worker('b2', 'baseline', [5]);
    for (let index = 0; index < 4; index++) await ask(`after${index}`);
    expect(old.engine.commands.length).toBe(6);
  });

  test('a long request id still makes a valid one on the plane', async () => {
    const cluster = new Cluster();
    const b = await cluster.worker('b', 'baseline', [5]);
    expect(await read(await cluster.ask(undefined, { requestId: 'x'.repeat(64) }))).toBe('5 stop');
    expect(b.engine.lastId()).toMatch(/^[0-9a-f]{48}-1$/);
  });
});

describe('waiting for a worker', () => {
  test('nobody, then one appears', async () => {
    const cluster = new Cluster();
    expect(cluster.client.unready()).toContain('no worker is alive');
    const asked = cluster.ask();
    await cluster.pass(2000);
    await cluster.worker('g', 'generate', [7, 8]);
    const generation = await asked;
    expect(await read(generation)).toBe('7 8 stop');
    expect(generation.timing().queueMs).toBe(2002);
    expect(cluster.clock.pendingCount).toBe(4); // two heartbeats, one expiry, one watch: nothing of the request
  });

  test('nobody ever: the caller’s signal ends it, with the caller’s reason', async () => {
    const cluster = new Cluster();
    const late = new AbortController();
    const asked = cluster.ask(late.signal);
    await settle();
    late.abort(new Fault('no_worker', 'no worker within 30000 ms'));
    expect(await faultOf(asked)).toMatchObject({ code: 'no_worker' });
    const gone = new AbortController();
    gone.abort();
    expect(await faultOf(cluster.ask(gone.signal))).toMatchObject({ code: 'cancelled' });
  });

  test('a starting or draining worker gets nothing', async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate', [7]);
    g.node.setState('draining');
    await settle();
    expect(cluster.client.models()).toEqual([]);
    expect(cluster.client.unready()).toContain('alive: generate draining');
    const asked = cluster.ask();
    await settle();
    expect(g.engine.types).toEqual([]);
    g.node.setState('ready');
    expect(await read(await asked)).toBe('7 stop');
  });

  test('only the model that the gateway serves', async () => {
    const cluster = new Cluster({ model: 'other' });
    await cluster.worker('g', 'generate', [7]);
    expect(cluster.client.models()).toEqual([]);
    expect(cluster.client.unready()).toContain('of model other');
    await cluster.worker('h', 'generate', [7], { card: card({ model: 'other' }) });
    expect(cluster.client.models().map(({ name }) => name)).toEqual(['other']);
    expect(cluster.client.workers().length).toBe(2);
  });
});

describe('whether workers have taken it on', () => {
  const ask = (cluster: Cluster) => {
    const told: boolean[] = [];
    const { signal } = new AbortController();
    const onPlaced = (isPlaced: boolean) => told.push(isPlaced);
    return { told, asked: cluster.client.generate(request(), { signal, onPlaced }) };
  };

  test('told when the last of them has, before any token', async () => {
    const cluster = new Cluster();
    const c = await cluster.worker('c', 'context');
    const g = await cluster.worker('g', 'generate');
    for (const { engine } of [c, g]) engine.script = () => false;
    const { told } = ask(cluster);
    await settle();
    g.engine.emit({ type: 'admitted', requestId: 'req-1' });
    await settle();
    expect([c.engine.types, told]).toEqual([['prefill'], []]);
    c.engine.emit({ type: 'admitted', requestId: 'req-1' });
    await settle();
    expect(told).toEqual([true]);
  });

  test('told when they lose it before its first token', async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate');
    const { told, asked } = ask(cluster);
    await settle();
    expect(told).toEqual([true]);
    await g.node.close();
    await settle();
    expect(told).toEqual([true, false]);
    await cluster.worker('g2', 'generate', [7]);
    expect(await read(await asked)).toBe('7 stop');
  });
});

describe('a request that is refused', () => {
  test('by one generate worker: goes to the other', async () => {
    const cluster = new Cluster();
    await cluster.worker('c', 'context', [7, 8]);
    refuse(await cluster.worker('g1', 'generate'), 'overloaded');
    await cluster.worker('g2', 'generate', [7, 8]);
    for (const requestId of ['r1', 'r2']) {
      const generation = await cluster.ask(undefined, { requestId });
      expect(await read(generation)).toBe('7 8 stop');
      expect(generation.timing().generateWorker).toBe('g2');
    }
  });

  test('by the context worker: the reservation is given back, the generate worker prefills', async () => {
    const cluster = new Cluster();
    refuse(await cluster.worker('c', 'context'), 'overloaded');
    const g = await cluster.worker('g', 'generate', [7, 8]);
    const generation = await cluster.ask();
    expect(await read(generation)).toBe('7 8 stop');
    expect(generation.timing().route).toBe('local');
    expect(g.engine.types).toEqual(['generate', 'abort', 'generate']);
    const ids = g.engine.commands.map(({ requestId }) => requestId);
    expect(ids).toEqual(['req-1', 'req-1', 'req-2']);
  });

  test('by all, again and again: asked once a heartbeat, until the caller gives up', async () => {
    const cluster = new Cluster();
    const workers = [
      await cluster.worker('g1', 'generate'),
      await cluster.worker('g2', 'generate'),
    ];
    for (const worker of workers) refuse(worker, 'overloaded');
    const late = new AbortController();
    const fault = faultOf(cluster.ask(late.signal));
    await cluster.pass(30_000);
    for (const { engine } of workers) {
      expect(engine.commands.length).toBeGreaterThan(25);
      expect(engine.commands.length).toBeLessThan(35);
    }
    late.abort(new Fault('timeout', 'no answer within 30000 ms'));
    expect(await fault).toMatchObject({ code: 'timeout' });
    expect(cluster.lines.filter((line) => line.includes('moved')).join()).not.toContain('WARN');
  });

  test('by all, until one has room again', async () => {
    const cluster = new Cluster();
    const full = await cluster.worker('g', 'generate', [7]);
    refuse(full, 'overloaded');
    const asked = cluster.ask();
    await cluster.pass(20_500);
    full.engine.script = () => true;
    await cluster.pass(1000);
    expect(await read(await asked)).toBe('7 stop');
  });

  test('by a worker of one place: served in order, each as soon as the one before has ended', async () => {
    const cluster = new Cluster();
    const { engine } = await cluster.worker('g', 'generate');
    let holder: string | null = null;
    engine.script = ({ type, requestId }) => {
      if (type !== 'generate') return true;
      if (holder === null) {
        holder = requestId;
        return true;
      }
      engine.emit({ type: 'refused', requestId, code: 'overloaded', message: 'full' });
      return false;
    };
    const order: string[] = [];
    const all = ['a', 'b', 'c', 'd'].map(async (requestId) => {
      const text = await read(await cluster.ask(undefined, { requestId }));
      order.push(`${requestId}: ${text}`);
    });
    for (let turn = 0; turn < 4; turn++) {
      await settle(); // no time passes: nobody waits for a heartbeat
      const done: string = holder ?? 'nobody';
      holder = null;
      engine.tokens(done, 0, [7], true);
    }
    await Promise.all(all);
    expect(order).toEqual(['a: 7 stop', 'b: 7 stop', 'c: 7 stop', 'd: 7 stop']);
    // One try each at first, then one for each place that became free, and one in vain after it.
    expect(engine.commands.length).toBeLessThanOrEqual(4 + 3 + 3);
  });

  test('by more workers than may fail: the one with room is found', async () => {
    const cluster = new Cluster();
    for (let index = 0; index < 12; index++) {
      refuse(await cluster.worker(`g${index}`, 'generate'), 'overloaded');
    }
    const asked = cluster.ask();
    await settle();
    await cluster.worker('roomy', 'generate', [7]);
    expect(await read(await asked)).toBe('7 stop');
  });

  test('at most eight workers may fail it', async () => {
    const cluster = new Cluster();
    const workers: TestWorker[] = [];
    for (let index = 0; index < 12; index++) {
      workers.push(await cluster.worker(`g${index}`, 'generate'));
    }
    for (const worker of workers) refuse(worker, 'engine');
    expect(await faultOf(cluster.ask())).toMatchObject({ code: 'engine' });
    expect(workers.filter(({ engine }) => engine.commands.length > 0).length).toBe(8);
  });

  test('for what it is: at once, as it is', async () => {
    const cluster = new Cluster();
    const g1 = await cluster.worker('g1', 'generate');
    const g2 = await cluster.worker('g2', 'generate');
    for (const worker of [g1, g2]) refuse(worker, 'context_length');
    const fault = await faultOf(cluster.ask());
    expect(fault).toMatchObject({ code: 'context_length' });
    expect(fault.message).toContain('says context_length');
    expect(g1.engine.commands.length + g2.engine.commands.length).toBe(1);
  });

  test('for its size, before any work', async () => {
    const cluster = new Cluster({ maxPayloadBytes: 2000 });
    const g = await cluster.worker('g', 'generate', [7]);
    const promptIds = Array.from({ length: 1000 }, () => 123);
    const fault = await faultOf(cluster.ask(undefined, { promptIds }));
    expect(fault.code).toBe('too_large');
    expect(fault.message).toContain('2000');
    expect(g.engine.commands).toEqual([]);
  });

  test('by an engine that does not answer in time: aborted there, tried elsewhere', async () => {
    const cluster = new Cluster();
    const mute = await cluster.worker('g1', 'generate');
    mute.engine.script = () => false;
    const asked = cluster.ask();
    await settle();
    const g2 = await cluster.worker('g2', 'generate', [7]);
    await cluster.pass(limit.admitTimeoutMs);
    expect(await read(await asked)).toBe('7 stop');
    expect(mute.engine.types).toEqual(['generate', 'abort']);
    expect(g2.engine.types).toEqual(['generate']);
  });
});

describe('a worker refuses', () => {
  const send = async (cluster: Cluster, op: string, message: unknown) => {
    const payload = new TextEncoder().encode(
      typeof message === 'string' ? message : JSON.stringify(message),
    );
    const reply = await cluster.bus.request(`tdist.worker.g.${op}`, payload, { timeoutMs: 1000 });
    return JSON.parse(new TextDecoder().decode(reply));
  };
  const good = {
    v: 1,
    type: 'generate',
    requestId: 'r',
    promptIds: [1],
    sampling: request().sampling,
    priority: 0,
    stream: 'tdist.tokens.gw.r',
    source: 'local',
  };

  test('what is no message, of another version, or the same request twice', async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate');
    expect(await send(cluster, 'generate', '{')).toMatchObject({ ok: false, code: 'plane' });
    expect(await send(cluster, 'generate', { ...good, v: 2 })).toMatchObject({
      message: expect.stringContaining('version 2, this process speaks 1'),
    });
    expect(await send(cluster, 'generate', { ...good, promptIds: [] })).toMatchObject({
      message: expect.stringContaining('promptIds'),
    });
    expect(g.engine.commands).toEqual([]);
    expect(await send(cluster, 'generate', good)).toEqual({
      v: 1,
      ok: true,
      waitedMs: 0,
      heldTokens: 0,
    });
    expect(await send(cluster, 'generate', good)).toMatchObject({
      ok: false,
      code: 'invalid_request',
    });
    expect(g.engine.types).toEqual(['generate']);
  });

  test('what was aborted before it came, once', async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate');
    const abort = { v: 1, type: 'abort', requestId: 'r' };
    expect(await send(cluster, 'abort', abort)).toMatchObject({ ok: true });
    expect(await send(cluster, 'generate', good)).toMatchObject({
      ok: false,
      message: expect.stringContaining('was aborted before it came'),
    });
    expect(g.engine.types).toEqual(['abort']);
    expect(await send(cluster, 'generate', good)).toMatchObject({ ok: true });
  });

  test('a hand-over for nobody, and another role’s work', async () => {
    const cluster = new Cluster();
    await cluster.worker('g', 'generate');
    const handover = { v: 1, type: 'handover', requestId: 'r', firstToken: 1, ticket: null };
    expect(await send(cluster, 'handover', handover)).toMatchObject({ code: 'not_found' });
    await send(cluster, 'generate', good);
    expect(await send(cluster, 'handover', handover)).toMatchObject({ code: 'invalid_request' });
    const fault = await faultOf(send(cluster, 'prefill', {}));
    expect(fault.code).toBe('no_worker');
  });
});
