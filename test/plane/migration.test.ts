// An answer whose worker is lost after its first token: who goes on with it, from where, how often, how
// long it waits for somebody, and what is never moved.

import { describe, expect, test } from 'bun:test';
import type { EngineCommand } from '../../src/protocol/engine.ts';
import { neutralSampling } from '../../src/protocol/request.ts';
import { digest } from '../../src/std/hash.ts';
import { noMeter } from '../../src/telemetry/metric.ts';
import { Cluster, read, request, type TestWorker } from './cluster.ts';
import { card, chunk, settle } from './make.ts';

/** A cluster that counts its migrations. */
function counted(change: { migrationLimit?: number; migrationWaitMs?: number } = {}) {
  const counts: string[] = [];
  const meter = { ...noMeter, count: (name: string) => void counts.push(name) };
  return { cluster: new Cluster({ meter, ...change }), counts };
}

/** An answer that has begun at `g`: "7 8" is out. */
async function begun(change: Parameters<typeof counted>[0] = {}, from: Partial<typeof ask> = {}) {
  const { cluster, counts } = counted(change);
  const g = await cluster.worker('g', 'generate');
  const abort = new AbortController();
  const asked = cluster.ask(abort.signal, { ...ask, ...from });
  await settle();
  g.engine.tokens('req-1', 0, [7]);
  g.engine.tokens('req-1', 1, [8]);
  const generation = await asked;
  return {
    cluster,
    counts,
    g,
    abort,
    generation,
    /** Whoever takes it reads the answer. */
    get text() {
      return read(generation);
    },
  };
}
const ask = request();

function fault(worker: TestWorker, requestId: string, code: string): void {
  const tokens = { type: 'tokens', requestId, first: 2, ids: [], finish: null } as const;
  worker.engine.emit({ ...tokens, fault: { code, message: 'broken' } });
}

function begins(worker: TestWorker): readonly EngineCommand[] {
  return worker.engine.commands.filter(({ type }) => type === 'generate' || type === 'prefill');
}

describe('the generate worker', () => {
  test('dies: within the presence time another goes on behind what is out', async () => {
    const { cluster, counts, g, generation, text } = await begun();
    const other = await cluster.worker('g2', 'generate', [7, 8, 9, 10]);
    g.kill();
    await cluster.pass(3500);
    expect(await text).toBe('7 8 9 10 stop');
    expect(begins(other)).toMatchObject([
      { promptIds: [1, 2, 3], emittedIds: [7, 8], sampling: { maxTokens: 16 }, source: 'local' },
    ]);
    expect(counts).toEqual(['tdist_migrations_total']);
    const said = cluster.lines.filter((line) => line.includes('Answer '));
    expect(said).toEqual([
      expect.stringMatching(/Answer lost its worker .*request=req.* from=g code=no_worker reason=/),
      expect.stringMatching(/Answer goes on at another worker .*from=g to=g2 tokens=2/),
    ]);
    expect(generation.timing()).toMatchObject({ generateWorker: 'g2', migrations: 1 });
  });

  test('says goodbye, reports a fault or is silent: likewise', async () => {
    for (const how of ['goodbye', 'engine', 'draining', 'plane', 'internal', 'silence']) {
      const { cluster, g, text } = await begun();
      await cluster.worker('g2', 'generate', [7, 8, 9]);
      if (how === 'goodbye') await g.node.close();
      else if (how === 'silence') await cluster.pass(60_100);
      else fault(g, 'req-1', how);
      expect([how, await text]).toEqual([how, '7 8 9 stop']);
      await settle();
      // Whoever may still be at work is told to stop.
      expect([how, g.engine.types]).toEqual([
        how,
        how === 'silence' || how === 'goodbye' ? ['generate', 'abort'] : ['generate'],
      ]);
    }
  });

  test('dies, and a context worker prefills prompt and answer for its successor', async () => {
    const { cluster, g, text } = await begun();
    const c = await cluster.worker('c', 'context', [7, 8, 9, 10, 11]);
    const other = await cluster.worker('g2', 'generate', [7, 8, 9, 10, 11]);
    g.kill();
    await cluster.pass(3500);
    expect(await text).toBe('7 8 9 10 11 stop');
    expect(begins(c)).toMatchObject([{ type: 'prefill', emittedIds: [7, 8] }]);
    expect(begins(other)).toMatchObject([{ source: 'handover', emittedIds: [7, 8] }]);
    expect(other.engine.commands.at(-1)).toMatchObject({ type: 'import', firstToken: 9 });
  });

  test('dies, and the context worker before it has handed over: the successor prefills', async () => {
    const { cluster, g, text } = await begun();
    const c = await cluster.worker('c', 'context');
    const other = await cluster.worker('g2', 'generate', [7, 8, 9, 10]);
    g.kill();
    await cluster.pass(3500);
    c.engine.tokens('req-2', 2, [9]);
    c.kill();
    await cluster.pass(3500);
    expect(await text).toBe('7 8 9 10 stop');
    expect(other.engine.commands.at(-1)).toMatchObject({ firstToken: 9, ticket: null });
  });

  test('dies before the hand-over: the context worker is told to stop, a new pair goes on', async () => {
    const { cluster, counts } = counted();
    const c = await cluster.worker('c', 'context');
    const g = await cluster.worker('g', 'generate');
    const asked = cluster.ask();
    await settle();
    c.engine.tokens('req-1', 0, [7]);
    const text = read(await asked);
    const other = await cluster.worker('g2', 'generate', [7, 8, 9]);
    c.engine.answer = [7, 8, 9];
    g.kill();
    await cluster.pass(3500);
    expect(await text).toBe('7 8 9 stop');
    expect(c.engine.types.slice(0, 3)).toEqual(['prefill', 'abort', 'prefill']);
    expect(begins(c).at(-1)).toMatchObject({ emittedIds: [7] });
    expect(begins(other)).toMatchObject([{ source: 'handover', emittedIds: [7] }]);
    expect(counts).toHaveLength(1);
  });

  test('dies, and a baseline worker goes on', async () => {
    const { cluster, g, text } = await begun();
    await cluster.worker('b', 'baseline', [7, 8, 9]);
    g.kill();
    await cluster.pass(3500);
    expect(await text).toBe('7 8 9 stop');
  });

  test('was thought dead and speaks again: nobody listens', async () => {
    const { cluster, g, text } = await begun();
    const other = await cluster.worker('g2', 'generate');
    fault(g, 'req-1', 'timeout');
    await settle();
    const late = { ...chunk(2, [99], { worker: 'g' }), requestId: 'req-1' };
    cluster.bus.publish('tdist.tokens.gw.req-1', new TextEncoder().encode(JSON.stringify(late)));
    other.engine.tokens('req-2', 2, [9], true);
    expect(await text).toBe('7 8 9 stop');
  });

  test('dies with tokens that came too early: they are computed again', async () => {
    const { cluster, g, text } = await begun();
    const other = await cluster.worker('g2', 'generate', [7, 8, 9, 10]);
    g.engine.tokens('req-1', 3, [10]);
    g.kill();
    await cluster.pass(3500);
    expect(await text).toBe('7 8 9 10 stop');
    expect(begins(other)).toMatchObject([{ emittedIds: [7, 8] }]);
  });
});

describe('nobody can go on', () => {
  test('waits for a successor, then goes on', async () => {
    const { cluster, g, text } = await begun();
    g.kill();
    await cluster.pass(20_000);
    await cluster.worker('g2', 'generate', [7, 8, 9]);
    expect(await text).toBe('7 8 9 stop');
  });

  test('waits as long as for a first token, then says why', async () => {
    const { cluster, counts, g, generation } = await begun({ migrationWaitMs: 5000 });
    const { seen, text } = watched(generation);
    g.kill();
    await cluster.pass(8400);
    expect(seen.end).toBeFalse();
    await cluster.pass(200);
    await settle();
    expect(seen.end).toBeTrue();
    expect(await text).toContain('no other worker went on within 5000 ms');
    expect(counts).toEqual([]);
  });

  test('waits for room on a full one', async () => {
    const { cluster, g, text } = await begun();
    const other = await cluster.worker('g2', 'generate');
    other.engine.script = ({ type, requestId }) => {
      if (type !== 'generate') return true;
      other.engine.emit({ type: 'refused', requestId, code: 'overloaded', message: 'full' });
      return false;
    };
    fault(g, 'req-1', 'engine');
    await cluster.pass(3000);
    other.engine.script = () => true;
    other.engine.answer = [7, 8, 9];
    await cluster.pass(1100);
    expect(await text).toBe('7 8 9 stop');
  });

  test('only workers with the same model can', async () => {
    const { cluster, g, text } = await begun();
    const foreign = await cluster.worker('x', 'generate', [1, 1, 1], {
      card: card({ modelDigest: digest('another') }),
    });
    g.kill();
    await cluster.pass(10_000);
    expect(foreign.engine.types).toEqual([]);
    await cluster.worker('g2', 'generate', [7, 8, 9]);
    expect(await text).toBe('7 8 9 stop');
  });

  test('a client that leaves meanwhile is not served any more', async () => {
    const { cluster, abort, g, text } = await begun();
    g.kill();
    await cluster.pass(5000);
    abort.abort();
    expect((await text).startsWith('7 8 !cancelled')).toBeTrue();
    const other = await cluster.worker('g2', 'generate', [7, 8, 9]);
    await cluster.pass(5000);
    expect(other.engine.types).toEqual([]);
  });

  test('a client that leaves while another is asked: that one is told', async () => {
    const { cluster, abort, g, text } = await begun();
    const other = await cluster.worker('g2', 'generate');
    fault(g, 'req-1', 'draining');
    await settle();
    expect(other.engine.types).toEqual(['generate']);
    abort.abort();
    expect(await text).toBe('7 8 !cancelled');
    await settle();
    expect(other.engine.types).toEqual(['generate', 'abort']);
  });
});

describe('--migration-limit', () => {
  test('so many workers may be lost, then it says so', async () => {
    const { cluster, counts, g, text } = await begun({ migrationLimit: 2 });
    const others: TestWorker[] = [];
    for (const id of ['g2', 'g3', 'g4']) others.push(await cluster.worker(id, 'generate'));
    fault(g, 'req-1', 'draining');
    for (let turn = 2; turn <= 3; turn++) {
      await settle();
      const taker = others.find(({ engine }) => engine.lastId() === `req-${turn}`);
      taker?.engine.tokens(`req-${turn}`, turn, [7 + turn]);
      await settle();
      if (taker !== undefined) fault(taker, `req-${turn}`, 'draining');
    }
    expect(await text).toBe('7 8 9 10 !draining');
    expect(counts).toHaveLength(2);
  });

  test('those that fail before its next token count, those that refuse it do not', async () => {
    const { cluster, counts, g, generation } = await begun({ migrationLimit: 1 });
    const { text } = watched(generation);
    const drained = await cluster.worker('d', 'generate');
    drained.engine.script = ({ requestId }) => {
      drained.engine.emit({ type: 'refused', requestId, code: 'draining', message: 'not now' });
      return false;
    };
    fault(g, 'req-1', 'draining');
    await g.node.close();
    await settle();
    expect(drained.engine.types).toEqual(['generate']);
    const other = await cluster.worker('g2', 'generate');
    expect(other.engine.types).toEqual(['generate']);
    fault(other, other.engine.lastId(), 'engine');
    expect(await text).toContain('--migration-limit 1');
    expect(counts).toEqual([]);
  });

  test('one that was not there when it was asked does not count, whoever had taken the rest on', async () => {
    const { cluster, g, text } = await begun({ migrationLimit: 1 });
    const context = await cluster.worker('c', 'context');
    const other = await cluster.worker('g2', 'generate');
    context.bus.disconnect();
    other.engine.answer = [7, 8, 9];
    fault(g, 'req-1', 'draining');
    await g.node.close();
    await cluster.pass(1000);
    expect(begins(other)).toMatchObject([{ source: 'handover' }, { source: 'local' }]);
    expect(await text).toBe('7 8 9 stop');
  });

  test('0: never', async () => {
    const { cluster, g, text } = await begun({ migrationLimit: 0 });
    const other = await cluster.worker('g2', 'generate', [7, 8, 9]);
    g.kill();
    await cluster.pass(4000);
    expect(await text).toBe('7 8 !no_worker');
    expect(other.engine.types).toEqual([]);
  });
});

test('the queue hears nothing of it: it has its place since its first token', async () => {
  const { cluster } = counted();
  const g = await cluster.worker('g', 'generate');
  const placed: boolean[] = [];
  const { signal } = new AbortController();
  const onPlaced = (isPlaced: boolean) => void placed.push(isPlaced);
  const asked = cluster.client.generate(request(), { signal, onPlaced });
  await settle();
  g.engine.tokens('req-1', 0, [7]);
  const text = read(await asked);
  expect(placed).toEqual([true]);
  const failing = await cluster.worker('g2', 'generate');
  fault(g, 'req-1', 'draining');
  await settle();
  const other = await cluster.worker('g3', 'generate', [7, 8]);
  fault(failing, 'req-2', 'draining');
  expect(await text).toBe('7 8 stop');
  expect(other.engine.types).toEqual(['generate']);
  expect(placed).toEqual([true]);
});

test('what another worker would say as well is not moved', async () => {
  for (const code of ['invalid_request', 'context_length', 'too_large', 'overloaded']) {
    const { cluster, g, text } = await begun();
    const other = await cluster.worker('g2', 'generate', [7, 8, 9]);
    fault(g, 'req-1', code);
    expect(await text).toBe(`7 8 !${code}`);
    await cluster.pass(2000);
    expect(other.engine.types).toEqual([]);
  }
});

test('logprobs of the prompt are out: what is left may be handed over', async () => {
  const sampling = {
    ...neutralSampling,
    temperature: 0,
    seed: 1,
    maxTokens: 16,
    promptLogprobs: 1,
  };
  const { cluster, g, text } = await begun({}, { sampling });
  const c = await cluster.worker('c', 'context', [7, 8, 9, 10]);
  await cluster.worker('g2', 'generate', [7, 8, 9, 10]);
  g.kill();
  await cluster.pass(3500);
  expect(await text).toBe('7 8 9 10 stop');
  expect(begins(c)).toHaveLength(1);
});

/** Reads a generation whose fault's words matter. */
function watched(generation: Awaited<ReturnType<Cluster['ask']>>) {
  const seen = { end: false };
  const text = (async () => {
    try {
      for await (const _ of generation.deltas);
      return 'no fault';
    } catch (error) {
      return String(error);
    } finally {
      seen.end = true;
    }
  })();
  return { seen, text };
}
