// What workers do for a gateway that is no more, and that they do not do it by mistake.

import { describe, expect, test } from 'bun:test';
import { limit } from '../../src/protocol/limit.ts';
import { Cluster, read, request, type TestWorker } from './cluster.ts';
import { settle } from './make.ts';

const never = new AbortController().signal;

/** One stream that decodes and one reservation that waits for its KV, of gateway `other`. */
async function world() {
  const cluster = new Cluster();
  const c = await cluster.worker('c', 'context');
  const g = await cluster.worker('g', 'generate');
  const bus = cluster.hub.open();
  const gateway = cluster.gateway('other', { bus });
  await settle();
  const running = gateway.generate(request({ requestId: 'runs' }), { signal: never });
  await settle();
  c.engine.tokens('runs-1', 0, [7]);
  const text = read(await running);
  const reserved = gateway.generate(request({ requestId: 'waits' }), { signal: never });
  reserved.catch(() => undefined);
  await settle();
  expect([c.node.jobCount(), g.node.jobCount()]).toEqual([2, 2]);
  /** As kill -9. */
  const kill = () => {
    bus.disconnect('killed');
    cluster.hub.buses.delete(bus);
  };
  return { cluster, c, g, bus, gateway, text, kill };
}

const aborted = ({ engine }: TestWorker) =>
  engine.commands.flatMap(({ type, requestId }) => (type === 'abort' ? [requestId] : [])).sort();

describe('a gateway', () => {
  test('killed: its work is given up everywhere, within its silence and a heartbeat', async () => {
    const { cluster, c, g, kill } = await world();
    await cluster.pass(3000);
    kill();
    await cluster.pass(limit.gatewaySilenceMs - limit.heartbeatMs);
    expect([aborted(c), aborted(g)]).toEqual([[], []]);
    await cluster.pass(2 * limit.heartbeatMs);
    expect([aborted(c), aborted(g)]).toEqual([
      ['runs-1', 'waits-1'],
      ['runs-1', 'waits-1'],
    ]);
    expect([c.node.jobCount(), g.node.jobCount()]).toEqual([0, 0]);
    expect(cluster.lines.join()).toContain('Gateway lost');
  });

  test('killed less than a heartbeat after its workers came: likewise', async () => {
    const cluster = new Cluster();
    const bus = cluster.hub.open();
    const gateway = cluster.gateway('other', { bus });
    await cluster.pass(100);
    const c = await cluster.worker('c', 'context');
    const g = await cluster.worker('g', 'generate');
    const waits = gateway.generate(request(), { signal: never });
    waits.catch(() => undefined);
    await settle();
    expect([c.node.jobCount(), g.node.jobCount()]).toEqual([1, 1]);
    bus.disconnect('killed');
    cluster.hub.buses.delete(bus);
    await cluster.pass(limit.gatewaySilenceMs + limit.heartbeatMs);
    expect([c.node.jobCount(), g.node.jobCount()]).toEqual([0, 0]);
  });

  test('that says goodbye: at once', async () => {
    const { c, g, gateway } = await world();
    await gateway.close();
    await settle();
    expect([c.node.jobCount(), g.node.jobCount()]).toEqual([0, 0]);
  });

  test('another one’s work goes on', async () => {
    const { cluster, g, kill } = await world();
    const asked = cluster.ask(never, { requestId: 'mine', route: 'local' });
    await settle();
    kill();
    await cluster.pass(2 * limit.gatewaySilenceMs);
    expect(g.node.jobCount()).toBe(1);
    g.engine.tokens('mine-1', 0, [7], true);
    expect(await read(await asked)).toBe('7 stop');
  });

  test('that is away for a while and comes back', async () => {
    const { cluster, g, bus } = await world();
    for (let turn = 0; turn < 3; turn++) {
      bus.disconnect();
      await cluster.pass(limit.gatewaySilenceMs - 2 * limit.heartbeatMs);
      bus.reconnect();
      await cluster.pass(limit.heartbeatMs);
    }
    // It has given up by itself what it had, and says so; nobody took it for dead.
    expect(aborted(g)).toContain('runs-1');
    expect(cluster.lines.join()).not.toContain('Gateway lost');
  });

  test('that only stood still is told to ask again, not that its client has left', async () => {
    const cluster = new Cluster();
    const { engine } = await cluster.worker('g', 'generate');
    engine.script = () => false; // no room for it yet
    const { sampling, promptIds, priority } = request();
    const encode = (message: object) => new TextEncoder().encode(JSON.stringify(message));
    cluster.bus.publish(
      'tdist.gateway.quiet',
      encode({ v: 1, type: 'gateway', gateway: 'quiet', state: 'alive' }),
    );
    const common = { v: 1, requestId: 'r', promptIds, sampling, priority };
    const message = {
      ...common,
      type: 'generate',
      source: 'handover',
      stream: 'tdist.tokens.quiet.r',
    };
    const reply = cluster.bus.request('tdist.worker.g.generate', encode(message), {
      timeoutMs: 60_000,
    });
    await cluster.pass(limit.gatewaySilenceMs + 2 * limit.heartbeatMs);
    expect(JSON.parse(new TextDecoder().decode(await reply))).toMatchObject({
      ok: false,
      code: 'plane',
    });
  });

  test('that only stood still goes on with its streams at once, elsewhere or there', async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate');
    const asked = cluster.ask();
    await settle();
    g.engine.tokens('req-1', 0, [7]);
    const text = read(await asked);
    await cluster.pass(2 * limit.heartbeatMs);
    const publish = cluster.bus.publish.bind(cluster.bus);
    cluster.bus.publish = (subject, payload) => {
      if (subject !== 'tdist.gateway.gw') publish(subject, payload);
    };
    await cluster.pass(limit.gatewaySilenceMs - limit.heartbeatMs);
    expect(g.node.jobCount()).toBe(1);
    g.engine.answer = [7, 8, 9];
    await cluster.pass(3 * limit.heartbeatMs);
    expect(await text).toBe('7 8 9 stop');
    expect(g.engine.commands.at(-1)).toMatchObject({ emittedIds: [7] });
  });

  test('that was never heard, as an older release: left alone', async () => {
    const cluster = new Cluster();
    const g = await cluster.worker('g', 'generate');
    const { sampling, promptIds, priority } = request();
    const stream = 'tdist.tokens.old.r';
    const common = { v: 1, requestId: 'r', promptIds, sampling, priority, stream };
    const message = { ...common, type: 'generate', source: 'local' };
    const payload = new TextEncoder().encode(JSON.stringify(message));
    await cluster.bus.request('tdist.worker.g.generate', payload, { timeoutMs: 1000 });
    await cluster.pass(5 * limit.gatewaySilenceMs);
    expect([g.node.jobCount(), aborted(g)]).toEqual([1, []]);
  });

  test('whose heartbeat is nonsense or of another version: ignored', async () => {
    const { cluster, g } = await world();
    const goodbye = { v: 1, type: 'gateway', gateway: 'other', state: 'gone' };
    for (const message of ['{', { ...goodbye, v: 2 }, { ...goodbye, gateway: 'a.b' }, {}]) {
      const text = typeof message === 'string' ? message : JSON.stringify(message);
      cluster.bus.publish('tdist.gateway.other', new TextEncoder().encode(text));
    }
    await settle();
    expect(g.node.jobCount()).toBe(2);
  });
});

describe('a worker', () => {
  test('that was away itself, however long: everybody begins anew', async () => {
    const { cluster, g } = await world();
    g.bus.disconnect();
    await cluster.pass(3 * limit.gatewaySilenceMs);
    expect(aborted(g)).toEqual([]);
    g.bus.reconnect();
    await cluster.pass(3 * limit.gatewaySilenceMs);
    // Its gateway gave it up meanwhile and may say so; it never gave the gateway up.
    expect(cluster.lines.join()).not.toContain('Gateway lost');
  });

  test('that was away while the gateway died: the silence counts from its return', async () => {
    const { cluster, g, kill } = await world();
    g.bus.disconnect();
    kill();
    await cluster.pass(3 * limit.gatewaySilenceMs);
    g.bus.reconnect();
    await cluster.pass(limit.gatewaySilenceMs - limit.heartbeatMs);
    expect(g.node.jobCount()).toBe(2);
    await cluster.pass(2 * limit.heartbeatMs);
    expect(g.node.jobCount()).toBe(0);
  });

  test('that stood still reads what lies unread before it judges', async () => {
    const { cluster, g } = await world();
    cluster.clock.advance(100);
    const stalled = cluster.clock.nowMs() + 2 * limit.gatewaySilenceMs;
    // Time jumps while no callback runs, as in a process that was stopped.
    const late = cluster.clock.nowMs.bind(cluster.clock);
    Object.defineProperty(cluster.clock, 'nowMs', { value: () => Math.max(late(), stalled) });
    cluster.clock.advance(limit.heartbeatMs);
    expect(aborted(g)).toEqual([]);
  });

  test('that has nothing of a gateway that leaves: no line in the log', async () => {
    const cluster = new Cluster();
    await cluster.worker('g', 'generate');
    const idle = cluster.gateway('idle');
    await settle();
    await idle.close();
    await settle();
    expect(cluster.lines.join()).not.toContain('Gateway lost');
  });
});
