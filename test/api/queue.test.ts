import { describe, expect, test } from 'bun:test';
import { Gate } from '../../src/api/gate.ts';
import { AdmissionQueue } from '../../src/api/queue.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { Fault } from '../../src/std/fault.ts';
import { tinyAssets } from '../text/tiny-tokenizer.ts';
import { fails, llama, stalls } from './fake-cluster.ts';
import { jsonOf, openWorld } from './world.ts';

const client = new AbortController().signal;

describe('AdmissionQueue', () => {
  test('gives up at the deadline, whatever the work does, and forgets the timer', async () => {
    const clock = new ManualClock();
    const queue = new AdmissionQueue({ countMax: 1, timeoutMs: 100, clock });
    const exchange = new Gate().enter(client);
    const waiting = queue.admit(
      exchange,
      () => 'no generate worker',
      () => new Promise<never>(() => undefined),
    );
    expect(queue.count).toBe(1);
    clock.advance(100);
    await expect(waiting).rejects.toMatchObject({ code: 'no_worker' });
    expect(exchange.signal.aborted).toBe(true);
    expect(queue.count).toBe(0);
    expect(clock.pendingCount).toBe(0);
  });

  test('refuses whoever comes when it is full', async () => {
    const clock = new ManualClock();
    const queue = new AdmissionQueue({ countMax: 1, timeoutMs: 100, clock });
    const gate = new Gate();
    const never = new Promise<never>(() => undefined);
    const first = queue.admit(
      gate.enter(client),
      () => null,
      () => never,
    );
    const second = queue.admit(
      gate.enter(client),
      () => null,
      async () => 1,
    );
    await expect(second).rejects.toMatchObject({ code: 'overloaded' });
    clock.advance(100);
    await expect(first).rejects.toMatchObject({ code: 'timeout' });
    expect(
      await queue.admit(
        gate.enter(client),
        () => null,
        async () => 2,
      ),
    ).toBe(2);
    expect(clock.pendingCount).toBe(0);
  });
});

describe('waiting for workers', () => {
  test('nobody comes: 503 with what was missing', async () => {
    const clock = new ManualClock();
    await using world = openWorld(stalls(''), { clock });
    const response = world.chat();
    await world.cluster.asked.promise;
    world.cluster.reason = 'no context worker is ready';
    clock.advance(5000);
    const { status, headers } = await response;
    expect(status).toBe(503);
    expect(headers.get('retry-after')).toBe('1');
    const { error } = await jsonOf(await response);
    expect(error.code).toBe('no_worker');
    expect(error.message).toContain('no context worker is ready');
    expect(await world.cluster.cancelled.promise).toBe('signal');
    expect(world.server.inFlight()).toBe(0);
  });

  test('workers that are only busy: 503 timeout', async () => {
    await using world = openWorld(stalls(''), { queueTimeoutMs: 20 });
    const response = await world.chat({ stream: true });
    expect(response.status).toBe(503);
    expect((await jsonOf(response)).error.code).toBe('timeout');
  });

  test('no model yet: waits for it, and is served when a worker announces it', async () => {
    await using world = openWorld();
    world.cluster.served = [];
    world.cluster.reason = 'no worker is there';
    const response = world.chat();
    await world.fetch('/live');
    expect(world.server.inFlight()).toBe(1);
    world.cluster.served = [llama];
    world.cluster.reason = null;
    expect((await response).status).toBe(200);
  });

  test('no model ever: 503, not 404', async () => {
    await using world = openWorld(undefined, { queueTimeoutMs: 20 });
    world.cluster.served = [];
    world.cluster.reason = 'no worker is there';
    const response = await world.chat();
    expect(response.status).toBe(503);
    expect((await jsonOf(response)).error.message).toContain('no worker is there');
  });

  test('text files that do not come are bounded too, and asked for again', async () => {
    await using world = openWorld(undefined, { queueTimeoutMs: 20 });
    world.cluster.served = [{ ...llama, textDigest: 'not fetched at the start' }];
    world.cluster.assets = () => Promise.reject(new Fault('plane', 'no reply'));
    expect((await world.chat()).status).toBe(503);
    world.cluster.assets = async () => tinyAssets();
    expect((await world.chat()).status).toBe(200);
  });

  test('more than --queue-limit are refused at once', async () => {
    await using world = openWorld(stalls(''), { queueLimit: 1 });
    const first = world.chat().catch(() => undefined);
    await world.cluster.asked.promise;
    const second = await world.chat();
    expect(second.status).toBe(503);
    expect((await jsonOf(second)).error.code).toBe('overloaded');
    void first;
  });

  test("the cluster's own refusal passes", async () => {
    await using world = openWorld(fails('', new Fault('overloaded', 'all workers are full')));
    const response = await world.chat();
    expect(response.status).toBe(503);
    expect((await jsonOf(response)).error).toMatchObject({
      message: 'all workers are full',
      code: 'overloaded',
    });
  });
});
