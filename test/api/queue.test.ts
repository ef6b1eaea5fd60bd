import { describe, expect, test } from 'bun:test';
import { Gate } from '../../src/api/gate.ts';
import { AdmissionQueue } from '../../src/api/queue.ts';
import { limit } from '../../src/protocol/limit.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { Fault } from '../../src/std/fault.ts';
import { settle } from '../plane/make.ts';
import { tinyAssets } from '../text/tiny-tokenizer.ts';
import { fails, llama, says, stalls } from './fake-cluster.ts';
import { jsonOf, openWorld } from './world.ts';

const client = new AbortController().signal;

describe('AdmissionQueue', () => {
  test('gives up at the deadline, whatever the work does, and forgets the timer', async () => {
    const clock = new ManualClock();
    const queue = new AdmissionQueue({ countMax: 1, timeoutMs: 100, clock });
    const exchange = new Gate({ clock: new ManualClock(), limitMs: 0 }).enter(client);
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
    const queue = new AdmissionQueue({ countMax: 1, timeoutMs: 1000, clock });
    const gate = new Gate({ clock: new ManualClock(), limitMs: 0 });
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
    clock.advance(limit.queueGraceMs);
    await expect(second).rejects.toMatchObject({ code: 'queue_full' });
    clock.advance(1000);
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

describe('who counts as waiting', () => {
  test('from the beginning until taken on; again when that was in vain', async () => {
    const queue = new AdmissionQueue({ countMax: 2, timeoutMs: 100, clock: new ManualClock() });
    const seen: number[] = [];
    let late: (isPlaced: boolean) => void = () => undefined;
    const work = async (_: AbortSignal, onPlaced: (isPlaced: boolean) => void) => {
      late = onPlaced;
      for (const isPlaced of [false, true, true, false, false, true]) {
        onPlaced(isPlaced);
        seen.push(queue.waitingCount);
      }
      seen.push(queue.count);
    };
    await queue.admit(
      new Gate({ clock: new ManualClock(), limitMs: 0 }).enter(client),
      () => null,
      work,
    );
    expect(seen).toEqual([1, 0, 0, 1, 1, 0, 1]);
    late(false); // an attempt that ends after its request
    expect([queue.waitingCount, queue.count]).toEqual([0, 0]);
  });
});

describe('a full queue', () => {
  const never = new Promise<never>(() => undefined);
  type Work = Parameters<AdmissionQueue['admit']>[2];
  const full = () => {
    const clock = new ManualClock();
    const queue = new AdmissionQueue({ countMax: 2, timeoutMs: 1e6, clock });
    const gate = new Gate({ clock: new ManualClock(), limitMs: 0 });
    const place: (() => void)[] = [];
    const order: string[] = [];
    const enter = (name: string, missing: string | null = null, signal = client) => {
      const work: Work = (_, onPlaced) => {
        order.push(name);
        place.push(() => onPlaced(true));
        return never;
      };
      return queue.admit(gate.enter(signal), () => missing, work);
    };
    for (const name of ['a', 'b']) enter(name).catch(() => undefined);
    return { clock, queue, place, order, enter };
  };

  test('a burst that workers are about to take on gets in, in its order', async () => {
    const { queue, place, order, enter } = full();
    for (const name of ['c', 'd', 'e']) enter(name).catch(() => undefined);
    for (let turn = 0; turn < 3; turn++) {
      place[turn]?.();
      await settle();
    }
    expect(order).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect([queue.waitingCount, queue.count]).toEqual([2, 5]);
  });

  test('nobody could serve anyway: refused at once', async () => {
    const { enter } = full();
    await expect(enter('c', 'no worker is alive')).rejects.toMatchObject({ code: 'no_worker' });
  });

  test('a client that leaves meanwhile leaves nothing', async () => {
    const { clock, place, order, enter } = full();
    const left = new AbortController();
    const gone = enter('c', null, left.signal);
    const before = clock.pendingCount;
    left.abort();
    await expect(gone).rejects.toMatchObject({ code: 'cancelled' });
    expect(clock.pendingCount).toBe(before - 1);
    place[0]?.();
    await settle();
    expect(order).toEqual(['a', 'b']);
  });

  test('only so many are held', async () => {
    const { enter } = full();
    for (let count = 0; count < limit.queueGraceCountMax; count++) {
      enter('held').catch(() => undefined);
    }
    await expect(enter('c')).rejects.toMatchObject({ code: 'queue_full' });
  });
});

describe('Retry-After', () => {
  /** A queue whose entries leave when the test says so. */
  const world = () => {
    const clock = new ManualClock();
    const queue = new AdmissionQueue({ countMax: 1000, timeoutMs: 1e9, clock });
    const gate = new Gate({ clock: new ManualClock(), limitMs: 0 });
    const enter = () => {
      const first = Promise.withResolvers<void>();
      const done = queue.admit(
        gate.enter(client),
        () => null,
        () => first.promise,
      );
      return async () => {
        first.resolve();
        await done;
      };
    };
    return { clock, queue, enter };
  };

  test('one second while nothing is known', () => {
    const { queue, enter } = world();
    expect(queue.retryAfterS()).toBe(1);
    enter();
    expect(queue.retryAfterS()).toBe(1);
  });

  test('as long as those who wait will need, at the pace of the last ones; at most a minute', async () => {
    const { clock, queue, enter } = world();
    const leave = Array.from({ length: 6 }, enter);
    for (let at = 0; at < 3; at++) {
      clock.advance(1500);
      await leave[at]?.();
    }
    expect(queue.count).toBe(3);
    expect(queue.retryAfterS()).toBe(5); // 3 × 1.5 s
    for (let at = 0; at < 500; at++) enter();
    expect(queue.retryAfterS()).toBe(60);
  });

  test('idle time does not count as a slow pace', async () => {
    const { clock, queue, enter } = world();
    for (let at = 0; at < 3; at++) {
      const leave = enter();
      clock.advance(10);
      await leave();
      clock.advance(100_000);
    }
    enter();
    expect(queue.retryAfterS()).toBe(1);
  });

  test('is said with a full queue', async () => {
    await using world = openWorld(stalls(''), { queueLimit: 1 });
    const first = world.chat().catch(() => undefined);
    await world.cluster.asked.promise;
    const second = await world.chat();
    expect(second.status).toBe(429);
    expect(Number(second.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    void first;
  });
});

describe("the client's own time-out", () => {
  const after = async (headers: Readonly<Record<string, string>>) => {
    const clock = new ManualClock();
    await using world = openWorld(stalls(''), { clock });
    const response = world.chat({}, { headers });
    await world.cluster.asked.promise;
    clock.advance(1499);
    await world.fetch('/live');
    const early = world.server.inFlight();
    clock.advance(1);
    await world.fetch('/live');
    const late = world.server.inFlight();
    clock.advance(5000);
    const { error } = await jsonOf(await response);
    return { early, late, status: (await response).status, ...error };
  };

  test.each(['timeout', 'x-stainless-timeout', 'x-stainless-read-timeout'])('%s', async (name) => {
    const { early, late, status, code, message } = await after({ [name]: '1.5' });
    expect([early, late, status, code]).toEqual([1, 0, 503, 'timeout']);
    expect(message).toContain("1500 ms (the request's own time-out)");
  });

  test('as it was given, whatever is left; the workers are blamed only where others wait', async () => {
    const clock = new ManualClock();
    await using world = openWorld(stalls(''), { clock });
    const gone = async (headers: Readonly<Record<string, string>>, others: number) => {
      const before = world.cluster.requests.length;
      const response = world.chat({}, { headers });
      await world.cluster.askedTimes(before + 1);
      const waiting = Array.from({ length: others }, () => world.chat());
      await world.cluster.askedTimes(before + 1 + others);
      clock.advance(2);
      const { error } = await jsonOf(await response);
      clock.advance(5000);
      await Promise.all(waiting);
      return error.message;
    };
    const own = "(the request's own time-out)";
    const alone = `No answer began within 1 ms ${own}. Allow it more time.`;
    expect(await gone({ timeout: '0.001' }, 0)).toBe(alone);
    expect(await gone({ timeout: '0.0004' }, 0)).toContain('within 0.4 ms');
    expect(await gone({ timeout: '0.001' }, 1)).toContain(`1 ms ${own}: the workers are busy.`);
  });

  test("the queue's is shorter, or the library rounded its own down to 0: the queue's counts", async () => {
    for (const headers of [{ timeout: '600' }, { 'x-stainless-timeout': '0' }]) {
      const { early, late, message } = await after(headers);
      expect([early, late]).toEqual([1, 1]);
      expect(message).toContain('5000 ms (--queue-timeout-ms)');
    }
  });

  test('no number of seconds above 0: 400', async () => {
    await using world = openWorld();
    for (const timeout of ['0', '-1', 'soon', '1e3', '1,5', 'Infinity']) {
      const response = await world.chat({}, { headers: { timeout } });
      expect(response.status).toBe(400);
      expect((await jsonOf(response)).error.message).toContain('header timeout');
    }
    expect(world.cluster.requests).toEqual([]);
  });

  test('only until the first token: a long answer may take longer', async () => {
    await using world = openWorld();
    const response = await world.chat({}, { headers: { timeout: '5' } });
    expect(response.status).toBe(200);
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

  test('more than --queue-limit are refused', async () => {
    await using world = openWorld(stalls(''), { queueLimit: 1 });
    const first = world.chat().catch(() => undefined);
    await world.cluster.asked.promise;
    const second = await world.chat();
    expect(second.status).toBe(429);
    expect((await jsonOf(second)).error).toMatchObject({
      type: 'rate_limit_error',
      code: 'queue_full',
    });
    void first;
    world.cluster.reason = 'no generate worker is ready';
    const third = await world.chat();
    expect(third.status).toBe(503);
    expect(third.headers.get('retry-after')).not.toBeNull();
    const { error } = await jsonOf(third);
    expect(error.code).toBe('no_worker');
    expect(error.message).toContain('no generate worker is ready');
  });

  test('whom workers have taken on does not wait, however late its first token', async () => {
    await using world = openWorld(stalls(''), { queueLimit: 1 });
    world.cluster.places = true;
    const left = new AbortController();
    const running = [1, 2, 3].map(() => world.chat({}, { signal: left.signal }).catch(() => null));
    await world.cluster.askedTimes(3);
    expect(world.cluster.requests.length).toBe(3);
    world.cluster.script = says('hello');
    expect((await world.chat()).status).toBe(200);
    left.abort();
    await Promise.all(running);
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
