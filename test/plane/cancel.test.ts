// Cancelling at each step of a request's road, the hand-over's answers, and draining.

import { describe, expect, test } from 'bun:test';
import { Cluster, faultOf, read } from './cluster.ts';
import { ticket } from './fake-engine.ts';
import { settle } from './make.ts';

const pair = async () => {
  const cluster = new Cluster();
  const c = await cluster.worker('c', 'context');
  const g = await cluster.worker('g', 'generate');
  const cancel = new AbortController();
  return { cluster, c, g, cancel, asked: cluster.ask(cancel.signal) };
};

describe('cancel', () => {
  test('while the reservation is asked for', async () => {
    const { c, g, cancel, asked } = await pair();
    g.engine.script = () => false;
    await settle();
    cancel.abort();
    expect(await faultOf(asked)).toMatchObject({ code: 'cancelled' });
    await settle();
    expect(g.engine.types).toEqual(['generate', 'abort']);
    expect(c.engine.types).toEqual([]);
    expect(g.node.jobCount()).toBe(0);
  });

  test('while prefill is asked for, and while it runs', async () => {
    for (const isAdmitted of [false, true]) {
      const { c, g, cancel, asked } = await pair();
      c.engine.script = () => isAdmitted;
      await settle();
      cancel.abort();
      expect(await faultOf(asked)).toMatchObject({ code: 'cancelled' });
      await settle();
      expect(g.engine.types).toEqual(['generate', 'abort']);
      expect(c.engine.types).toEqual(['prefill', 'abort']);
      expect([c.node.jobCount(), g.node.jobCount()]).toEqual([0, 0]);
    }
  });

  test('during the hand-over: the lease ends too', async () => {
    const { c, g, cancel, asked } = await pair();
    await settle();
    c.engine.tokens('req-1', 0, [7]);
    c.engine.emit({ type: 'prefilled', requestId: 'req-1', firstToken: 7, ticket });
    const text = read(await asked);
    await settle();
    expect(g.engine.types).toEqual(['generate', 'import']);
    cancel.abort();
    expect(await text).toBe('7 !cancelled');
    await settle();
    expect(g.engine.types).toEqual(['generate', 'import', 'abort']);
    expect(c.engine.types).toEqual(['prefill', 'abort', 'release']);
    expect([c.node.jobCount(), g.node.jobCount()]).toEqual([0, 0]);
  });

  test('while streaming, by the signal or by leaving the loop; the context worker is let be', async () => {
    for (const how of ['signal', 'leave'] as const) {
      const { cluster, c, g, cancel, asked } = await pair();
      c.engine.answer = [7, 8];
      await settle();
      const generation = await asked;
      g.engine.emit({ type: 'imported', requestId: 'req-1', path: 'shm', refusal: null });
      g.engine.tokens('req-1', 1, [8]);
      await settle();
      for await (const delta of generation.deltas) {
        expect(delta.ids).toEqual([7]);
        if (how === 'leave') break;
        cancel.abort();
        break;
      }
      await settle();
      expect(g.engine.types).toEqual(['generate', 'import', 'abort']);
      expect(c.engine.types).toEqual(['prefill', 'release']);
      expect([c.node.jobCount(), g.node.jobCount()]).toEqual([0, 0]);
      expect(cluster.clock.pendingCount).toBe(6); // three heartbeats, one expiry, two watches
    }
  });

  test('after the end: nothing', async () => {
    const { c, g, cancel, asked } = await pair();
    c.engine.answer = [7, 8];
    g.engine.answer = [7, 8];
    expect(await read(await asked)).toBe('7 8 stop');
    cancel.abort();
    await settle();
    expect(g.engine.types).toEqual(['generate', 'import']);
    expect(c.engine.types).toEqual(['prefill', 'release']);
  });
});

describe('hand-over', () => {
  test('KV exported for a request that is over is released', async () => {
    const { c, cancel, asked } = await pair();
    await settle();
    cancel.abort();
    await faultOf(asked);
    await settle();
    c.engine.emit({ type: 'prefilled', requestId: 'req-1', firstToken: 7, ticket });
    expect(c.engine.types).toEqual(['prefill', 'abort', 'release']);
  });

  test('a refused import ends the lease; the generate worker goes on by itself', async () => {
    const { cluster, c, g, asked } = await pair();
    c.engine.answer = [7, 8];
    await settle();
    const refusal = {
      v: 1,
      ok: false,
      code: 'mismatch',
      message: 'c has int8, g float32',
    } as const;
    g.engine.emit({ type: 'imported', requestId: 'req-1', path: 'shm', refusal });
    await settle();
    expect(c.engine.types).toEqual(['prefill', 'release']);
    expect(cluster.lines.join('\n')).toContain('c has int8, g float32');
    g.engine.tokens('req-1', 1, [8], true);
    expect(await read(await asked)).toBe('7 8 stop');
  });

  test('an export that failed is one line, with the request and the reason', async () => {
    const { cluster, c, g } = await pair();
    await settle();
    const fault = { code: 'transfer', message: 'checksum\nof row 3' };
    c.engine.emit({ type: 'prefilled', requestId: 'req-1', firstToken: 7, ticket: null, fault });
    await settle();
    const said = cluster.lines.filter((line) => line.includes('export'));
    expect(said.length).toBe(1);
    expect(said[0]).toContain(
      'WARN  KV export failed request=req-1 code=transfer why="checksum of row 3"',
    );
    expect(g.engine.types).toEqual(['generate', 'import']); // and it prefills by itself
  });

  test('an import that never ends: the lease ends by deadline', async () => {
    const { cluster, c } = await pair();
    c.engine.answer = [7, 8];
    await cluster.pass(9900);
    expect(c.engine.types).toEqual(['prefill']);
    await cluster.pass(200);
    expect(c.engine.types).toEqual(['prefill', 'release']);
    expect(c.node.jobCount()).toBe(0);
  });

  test('a ticket that cannot be read: the generate worker is asked to prefill', async () => {
    const { c, g, asked } = await pair();
    g.engine.answer = [7, 8];
    await settle();
    c.engine.tokens('req-1', 0, [7]);
    const strange = { ...ticket, arena: 'not ours' };
    c.engine.emit({ type: 'prefilled', requestId: 'req-1', firstToken: 7, ticket: strange });
    expect(await read(await asked)).toBe('7 8 stop');
    expect(g.engine.commands.at(-1)).toMatchObject({ type: 'import', ticket: null });
    await settle();
    expect(c.engine.types).toEqual(['prefill', 'release']);
  });

  test('the generate worker is gone: the gateway is told at once, and another goes on', async () => {
    const { cluster, c, g, asked } = await pair();
    await settle();
    const other = await cluster.worker('g2', 'generate', [7, 8, 9]);
    c.engine.answer = [7, 8, 9];
    g.kill();
    c.engine.tokens('req-1', 0, [7]);
    c.engine.emit({ type: 'prefilled', requestId: 'req-1', firstToken: 7, ticket });
    expect(await read(await asked)).toBe('7 8 9 stop');
    await settle();
    expect(c.engine.types).toEqual(['prefill', 'release', 'prefill', 'release']);
    expect(other.engine.commands.at(-1)).toMatchObject({ type: 'import', firstToken: 8 });
  });
});

describe('drain', () => {
  test('finishes what runs, refuses what is new, says goodbye', async () => {
    const { cluster, g, c, asked } = await pair();
    c.engine.answer = [7, 8];
    await settle();
    let isDrained = false;
    const drained = g.node.drain(30_000).then(() => {
      isDrained = true;
    });
    await settle();
    expect(cluster.client.workers().find(({ worker }) => worker === 'g')?.state).toBe('draining');
    await cluster.pass(5000);
    expect(isDrained).toBeFalse();
    g.engine.tokens('req-1', 1, [8], true);
    await drained;
    expect(await read(await asked)).toBe('7 8 stop');
    await settle();
    expect(cluster.client.workers().map(({ worker }) => worker)).toEqual(['c']);
    expect(g.bus.services).toEqual([]);
  });

  test('time over: what still runs is ended, and another worker goes on with it', async () => {
    const { cluster, g, c, asked } = await pair();
    c.engine.answer = [7, 8];
    await settle();
    const text = read(await asked);
    const other = await cluster.worker('g2', 'generate', [7, 8]);
    const drained = g.node.drain(1000);
    await cluster.pass(1100);
    await drained;
    expect(await text).toBe('7 8 stop');
    expect(g.engine.types).toEqual(['generate', 'import', 'abort']);
    expect(other.engine.types.at(0)).toBe('generate');
    expect(g.node.jobCount()).toBe(0);
  });

  test('an idle worker is gone at once, and twice is no harm', async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate');
    await g.node.drain(30_000);
    await g.node.drain(30_000);
    await settle();
    expect(cluster.client.workers()).toEqual([]);
  });
});
