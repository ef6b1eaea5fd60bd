// Taking a worker out of service and back, through a gateway's client, over the memory bus.

import { describe, expect, test } from 'bun:test';
import { createClient } from '../../src/plane/client.ts';
import { isSafeToStop } from '../../src/protocol/member.ts';
import { neutralSampling } from '../../src/protocol/request.ts';
import { seededChance } from '../../src/std/prng.ts';
import { Cluster, faultOf, read } from './cluster.ts';
import { card, heartbeat, settle } from './make.ts';

async function pair() {
  const cluster = new Cluster();
  const c = await cluster.worker('c', 'context', [7, 8]);
  const g = await cluster.worker('g', 'generate', [7, 8]);
  const member = (worker: string) => {
    const found = cluster.client.members().find((one) => one.heartbeat.worker === worker);
    if (found === undefined) throw new Error(`no member ${worker}`);
    return found;
  };
  const isSafe = (worker: string) => isSafeToStop(member(worker).heartbeat);
  return { cluster, c, g, member, isSafe };
}

test('a gateway that comes later hears how long a worker has been there; an older one does not say', async () => {
  const { cluster } = await pair();
  await cluster.pass(7000);
  const { bus } = cluster;
  const later = cluster.gateway('late');
  await settle();
  const old: Partial<ReturnType<typeof heartbeat>> = heartbeat('old', 'baseline');
  bus.publish('tdist.heartbeat.old', new TextEncoder().encode(JSON.stringify(old)));
  await settle();
  const ages = later.members().map(({ heartbeat: { worker, upMs } }) => [worker, upMs]);
  expect(Object.fromEntries(ages)).toEqual({ c: 7000, g: 7000, old: undefined });
});

describe('drain', () => {
  test('of all that generate: what is missing says how to take one back', async () => {
    const { cluster } = await pair();
    await cluster.client.control('c', 'drain');
    expect(cluster.client.unready()).toBeNull();
    await cluster.client.control('g', 'drain');
    expect(cluster.client.unready()).toContain('tdist workers resume ID');
    await cluster.client.control('g', 'resume');
    expect(cluster.client.unready()).toBeNull();
    const { cluster: other, g } = await pair();
    await g.node.close();
    await settle();
    expect(other.client.unready()).not.toContain('resume');
  });

  test('an idle worker is safe to stop at once, again and again, and stays', async () => {
    const { cluster, isSafe, g } = await pair();
    for (let round = 0; round < 2; round++) {
      const { heartbeat } = await cluster.client.control('g', 'drain');
      expect(heartbeat).toMatchObject({ worker: 'g', state: 'draining', jobs: 0 });
      expect(isSafeToStop(heartbeat)).toBeTrue();
    }
    await cluster.pass(10_000);
    expect(isSafe('g')).toBeTrue();
    expect(isSafe('c')).toBeFalse();
    await g.node.drain(30_000); // what SIGTERM does: nothing to wait for
    await settle();
    expect(cluster.client.members()).toHaveLength(1);
  });

  test('a request that insists on its route is refused at once, by name; one that waits as well', async () => {
    const { cluster } = await pair();
    const late = new AbortController();
    await cluster.worker('b', 'baseline', null, { card: card({ model: 'other' }) });
    const b = await cluster.worker('b2', 'baseline');
    b.node.setState('draining');
    await settle();
    const fault = await faultOf(cluster.ask(late.signal, { route: 'aggregated' }));
    expect(fault.code).toBe('no_worker');
    expect(fault.message).toContain('baseline worker b2');
    expect(cluster.client.missing('llama', 'aggregated')).toBe(fault.message);
    expect(cluster.client.missing('llama', 'local')).toBeNull();
    expect(cluster.client.missing('nobody has it', 'local')).toBeNull();
    b.engine.script = ({ type, requestId }) => {
      if (type !== 'generate') return true;
      b.engine.emit({ type: 'refused', requestId, code: 'overloaded', message: 'full' });
      return false;
    };
    b.node.setState('ready');
    await settle();
    const waits = faultOf(cluster.ask(late.signal, { route: 'aggregated' }));
    await settle();
    b.node.setState('draining');
    expect((await waits).message).toContain('baseline worker b2');
  });

  test('what runs is finished, and only then is it safe', async () => {
    const { cluster, g, isSafe } = await pair();
    g.engine.answer = null;
    g.engine.script = ({ type, requestId }) => {
      if (type === 'import')
        g.engine.emit({ type: 'imported', requestId, path: 'shm', refusal: null });
      return true;
    };
    const asked = cluster.ask();
    await settle();
    await cluster.client.control('g', 'drain');
    expect(isSafe('g')).toBeFalse();
    await cluster.pass(5000);
    expect(isSafe('g')).toBeFalse();
    g.engine.tokens('req-1', 1, [8], true);
    expect(await read(await asked)).toBe('7 8 stop');
    await settle(); // no heartbeat is due: it says so by itself
    expect(isSafe('g')).toBeTrue();
  });

  test('a context worker is not safe while its KV is being fetched', async () => {
    const { cluster, g, c, isSafe } = await pair();
    g.engine.script = ({ type }) => type !== 'import';
    const asked = cluster.ask();
    await settle();
    await cluster.client.control('c', 'drain');
    expect(c.node.jobCount()).toBe(1);
    expect(isSafe('c')).toBeFalse();
    g.engine.emit({ type: 'imported', requestId: 'req-1', path: 'shm', refusal: null });
    g.engine.tokens('req-1', 1, [8], true);
    expect(await read(await asked)).toBe('7 8 stop');
    await settle();
    expect(isSafe('c')).toBeTrue();
  });

  test('requests go to others; what was on its way is refused and moved', async () => {
    const { cluster, g } = await pair();
    const other = await cluster.worker('g2', 'generate', [7, 8]);
    await cluster.client.control('g', 'drain');
    for (let count = 0; count < 4; count++) {
      const change = { requestId: `r${count}` };
      expect(await read(await cluster.ask(undefined, change))).toBe('7 8 stop');
    }
    expect(g.engine.commands).toEqual([]);
    expect(other.engine.types.filter((type) => type === 'generate')).toHaveLength(4);
    // A gateway that has not heard of it yet asks all the same.
    const message = {
      v: 1,
      type: 'generate',
      requestId: 'late',
      promptIds: [1],
      sampling: { ...neutralSampling, temperature: 0, seed: 1, maxTokens: 1, ignoreEos: false },
      priority: 0,
      stream: 'x',
      source: 'local',
    };
    expect(await ask(cluster, 'g.generate', message)).toMatchObject({
      ok: false,
      code: 'draining',
    });
  });

  test('another gateway learns of it at once', async () => {
    const { cluster, g } = await pair();
    const other = createClient({
      bus: cluster.hub.open(),
      clock: cluster.clock,
      chance: seededChance(2),
      log: cluster.log,
      namespace: 'tdist',
      gatewayId: 'gw2',
      localPrefillTokens: 0,
      migrationLimit: 3,
      migrationWaitMs: 30_000,
    });
    await settle();
    expect(other.unready()).toBeNull();
    await cluster.client.control(g.id, 'drain');
    await settle();
    expect(other.unready()).toContain('generate draining');
    await other.control(g.id, 'resume');
    await settle();
    expect(cluster.client.unready()).toBeNull();
    await other.close();
  });

  test('resume: takes work again', async () => {
    const { cluster, g } = await pair();
    await cluster.client.control('g', 'drain');
    const asked = cluster.ask();
    await cluster.pass(500);
    expect(g.engine.commands).toEqual([]);
    const { heartbeat } = await cluster.client.control('g', 'resume');
    expect(heartbeat.state).toBe('ready');
    expect(await read(await asked)).toBe('7 8 stop');
    expect((await cluster.client.control('g', 'resume')).heartbeat.state).toBe('ready');
  });
});

describe('refusals', () => {
  test('nobody of that id', async () => {
    const { cluster } = await pair();
    const fault = await faultOf(cluster.client.control('nobody', 'drain'));
    expect(fault.code).toBe('not_found');
    expect((await faultOf(cluster.client.control('*', 'drain'))).code).toBe('not_found');
  });

  test('a worker that is stopping does not come back', async () => {
    const { cluster, g } = await pair();
    g.engine.answer = null;
    const asked = cluster.ask();
    asked.catch(() => undefined);
    await settle();
    const drained = g.node.drain(1000);
    await settle();
    const fault = await faultOf(cluster.client.control('g', 'resume'));
    expect([fault.code, fault.message]).toEqual(['no_worker', 'worker g is stopping']);
    expect((await cluster.client.control('g', 'drain')).heartbeat.state).toBe('draining');
    await cluster.pass(1100);
    await drained;
  });

  test('a message of another version', async () => {
    const { cluster } = await pair();
    const message = { v: 2, type: 'control', action: 'drain' };
    expect(await ask(cluster, 'g.control', message)).toMatchObject({ ok: false });
    expect((await ask(cluster, 'g.control', { v: 1, type: 'control', action: 'stop' })).ok).toBe(
      false,
    );
  });
});

test('safe to stop only where everything says so', () => {
  const idle = heartbeat('c', 'context', { state: 'draining', jobs: 0 });
  const { load } = idle;
  const kvBlocks = { free: 1, held: 0, leased: 0, cached: 3 };
  const counters = { moves: 0, preemptions: 0, recomputes: {}, kvBlocks };
  const safe = { ...idle, load: { ...load, counters } };
  expect(isSafeToStop(idle)).toBeTrue();
  expect(isSafeToStop(safe)).toBeTrue();
  const leased = { ...counters, kvBlocks: { ...kvBlocks, leased: 1 } };
  for (const unsafe of [
    { ...safe, state: 'ready' as const },
    { ...safe, jobs: 1 },
    { ...safe, jobs: undefined },
    { ...safe, load: { ...load, running: 1 } },
    { ...safe, load: { ...load, waiting: 1 } },
    { ...safe, load: { ...load, counters: leased } },
  ]) {
    expect(isSafeToStop(unsafe)).toBeFalse();
  }
});

async function ask(cluster: Cluster, op: string, message: object) {
  const payload = new TextEncoder().encode(JSON.stringify(message));
  const reply = cluster.bus.request(`tdist.worker.${op}`, payload, { timeoutMs: 1000 });
  return JSON.parse(new TextDecoder().decode(await reply));
}
