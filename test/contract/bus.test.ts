// The request plane's contract, held by every body of the port.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { Bus, Service } from '../../src/plane/bus.ts';
import { withClaims } from '../../src/plane/claim.ts';
import { MemoryHub } from '../../src/plane/memory.ts';
import { openNatsBus } from '../../src/plane/nats.ts';
import type { NatsServer } from '../../src/plane/server.ts';
import { realClock } from '../../src/std/clock.ts';
import { Fault } from '../../src/std/fault.ts';
import { realChance } from '../../src/std/prng.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { FakeObjects } from '../plane/fake-objects.ts';
import { connected, startTestNats, temporaryFolder } from '../plane/nats-world.ts';

type World = {
  readonly name: string;
  start(): Promise<void>;
  open(): Bus;
  /** Takes the server away, and brings it back. */
  cut(): Promise<void>;
  heal(): Promise<void>;
  end(): Promise<void>;
};

function memoryWorld(): World {
  const hub = new MemoryHub({ clock: realClock });
  return {
    name: 'memory',
    start: async () => undefined,
    open: () => hub.open(),
    cut: async () => {
      for (const bus of hub.buses) bus.disconnect();
    },
    heal: async () => {
      for (const bus of hub.buses) bus.reconnect();
    },
    end: async () => undefined,
  };
}

function natsWorld(): World {
  const folder = temporaryFolder();
  let server: NatsServer | null = null;
  let uri = 'nats://127.0.0.1:0';
  return {
    name: 'nats',
    start: async () => {
      server = await startTestNats(folder.path, uri);
      uri = server.uri;
    },
    open: () => openNatsBus({ uris: [uri], name: 'test', log: silentLog }),
    cut: async () => server?.stop(),
    heal: async () => {
      server = await startTestNats(folder.path, uri);
    },
    end: async () => {
      await server?.stop();
      folder.remove();
    },
  };
}

/** Another world behind claims; without an object store the limit is the bus's own. */
function claimWorld(inner: World): World {
  const store = new FakeObjects();
  store.down = 'JetStream is not enabled';
  store.refusal = store.down;
  const ports = { store, namespace: 'tdist', clock: realClock, chance: realChance, log: silentLog };
  return {
    ...inner,
    name: `${inner.name} with claims`,
    open: () => withClaims({ ...ports, bus: inner.open() }),
  };
}

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (payload: Uint8Array) => new TextDecoder().decode(payload);

async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const error = await work.then(
    () => 'no failure',
    (thrown: unknown) => thrown,
  );
  if (error instanceof Fault) return error;
  throw new Error(`wanted a Fault, found ${String(error)}`);
}

function serviceOf(subject: string, handle: (payload: Uint8Array) => Promise<Uint8Array>): Service {
  return {
    name: 'tdist-test',
    version: '1.2.3',
    description: 'a test',
    metadata: { role: 'test' },
    endpoints: [{ name: 'op', subject, handle }],
  };
}

/** Collects messages; `until(n)` resolves when n have come. */
function collector() {
  const got: string[] = [];
  let wanted = 0;
  let done: () => void = () => undefined;
  return {
    got,
    take: (payload: Uint8Array, subject: string) => {
      got.push(`${subject}=${text(payload)}`);
      if (got.length === wanted) done();
    },
    until: (count: number) =>
      new Promise<void>((resolve) => {
        wanted = count;
        done = resolve;
        if (got.length >= count) resolve();
      }),
  };
}

const worlds = [memoryWorld(), natsWorld()];
for (const world of [...worlds, claimWorld(memoryWorld()), claimWorld(natsWorld())]) {
  describe(`bus contract: ${world.name}`, () => {
    let one: Bus;
    let two: Bus;

    beforeAll(async () => {
      await world.start();
      one = world.open();
      two = world.open();
      await Promise.all([connected(one), connected(two)]);
    });

    afterAll(async () => {
      await one.close();
      await two.close();
      await world.end();
    });

    test('delivers in order, by wildcard, to every subscriber, until stopped', async () => {
      const a = collector();
      const b = collector();
      const first = one.subscribe('order.*.x', a.take);
      const second = two.subscribe('order.>', b.take);
      await Promise.all([one.flush(), two.flush()]);
      for (let i = 0; i < 100; i++) two.publish('order.q.x', bytes(String(i)));
      two.publish('order.q', bytes('not for a'));
      await Promise.all([a.until(100), b.until(101)]);
      expect(a.got).toEqual(Array.from({ length: 100 }, (_, i) => `order.q.x=${i}`));
      expect(b.got.at(-1)).toBe('order.q=not for a');
      await first.stop();
      await first.stop();
      await one.flush();
      two.publish('order.q.x', bytes('late'));
      await b.until(102);
      await Promise.all([one.flush(), two.flush()]);
      expect(a.got.length).toBe(100);
      await second.stop();
    });

    test('delivery is never synchronous, and the payload is the receiver’s', async () => {
      const got = collector();
      const ending = one.subscribe('async.x', got.take);
      await one.flush();
      const payload = bytes('abc');
      one.publish('async.x', payload);
      expect(got.got).toEqual([]);
      await one.flush();
      payload.fill(0);
      await got.until(1);
      expect(got.got).toEqual(['async.x=abc']);
      await ending.stop();
    });

    test('request and reply, concurrently', async () => {
      const service = one.serve(
        serviceOf('svc.echo', async (payload) => bytes(`re:${text(payload)}`)),
      );
      await one.flush();
      const replies = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          two.request('svc.echo', bytes(String(i)), { timeoutMs: 5000 }),
        ),
      );
      expect(replies.map(text)).toEqual(Array.from({ length: 50 }, (_, i) => `re:${i}`));
      await service.stop();
      const fault = await faultOf(two.request('svc.echo', bytes('x'), { timeoutMs: 5000 }));
      expect(fault.code).toBe('no_worker');
    });

    test('nobody serves it', async () => {
      const fault = await faultOf(two.request('svc.none', bytes('x'), { timeoutMs: 5000 }));
      expect(fault.code).toBe('no_worker');
      expect(fault.message).toContain('svc.none');
    });

    test('a handler’s Fault arrives with code and text; any other error is internal', async () => {
      const service = one.serve(
        serviceOf('svc.bad', async (payload) => {
          if (text(payload) === 'fault') throw new Fault('overloaded', 'two\nlines “é”');
          throw new Error('boom');
        }),
      );
      await one.flush();
      const fault = await faultOf(two.request('svc.bad', bytes('fault'), { timeoutMs: 5000 }));
      expect([fault.code, fault.message]).toEqual(['overloaded', 'two lines “é”']);
      const other = await faultOf(two.request('svc.bad', bytes('x'), { timeoutMs: 5000 }));
      expect([other.code, other.message]).toEqual(['internal', 'boom']);
      await service.stop();
    });

    test('time-out and cancel', async () => {
      const never = new Promise<Uint8Array>(() => undefined);
      const service = one.serve(serviceOf('svc.slow', () => never));
      await one.flush();
      const late = await faultOf(two.request('svc.slow', bytes('x'), { timeoutMs: 20 }));
      expect(late.code).toBe('timeout');
      expect(late.message).toContain('20 ms');
      const { signal, abort } = controller();
      const waiting = two.request('svc.slow', bytes('x'), { timeoutMs: 5000, signal });
      abort();
      expect((await faultOf(waiting)).code).toBe('cancelled');
      const again = two.request('svc.slow', bytes('x'), { timeoutMs: 5000, signal });
      expect((await faultOf(again)).code).toBe('cancelled');
      await service.stop();
    });

    test('a message above the limit is refused with both numbers, also as a reply', async () => {
      const size = one.maxPayloadBytes + 1;
      const huge = new Uint8Array(size);
      const fault = await faultOf(one.request('svc.x', huge, { timeoutMs: 1000 }));
      expect(fault.code).toBe('too_large');
      expect(fault.message).toContain(String(size));
      expect(fault.message).toContain(String(one.maxPayloadBytes));
      expect(() => one.publish('x', huge)).toThrow(Fault);
      const service = one.serve(serviceOf('svc.huge', async () => huge));
      await one.flush();
      const reply = await faultOf(two.request('svc.huge', bytes('x'), { timeoutMs: 5000 }));
      expect(reply.code).toBe('too_large');
      await service.stop();
    });

    test('an outage: waiting requests fail, publishing fails, all comes back by itself', async () => {
      const got = collector();
      const ending = one.subscribe('back.*', got.take);
      const never = new Promise<Uint8Array>(() => undefined);
      const slow = one.serve(serviceOf('svc.never', () => never));
      await one.flush();
      const troubles: (string | null)[] = [];
      two.onTrouble((trouble) => troubles.push(trouble));
      const waiting = faultOf(two.request('svc.never', bytes('x'), { timeoutMs: 60_000 }));
      await world.cut();
      expect((await waiting).code).toBe('plane');
      await Promise.all([connected(one, false), connected(two, false)]);
      expect(() => two.publish('back.x', bytes('lost'))).toThrow('request plane');
      expect((await faultOf(two.request('a.b', bytes('x'), { timeoutMs: 100 }))).code).toBe(
        'plane',
      );
      // Made during the outage, at work after it.
      const service = one.serve(serviceOf('svc.born', async () => bytes('alive')));
      await world.heal();
      await Promise.all([connected(one), connected(two)]);
      await one.flush();
      two.publish('back.x', bytes('again'));
      await got.until(1);
      expect(got.got).toEqual(['back.x=again']);
      const reply = await two.request('svc.born', bytes('x'), { timeoutMs: 5000 });
      expect(text(reply)).toBe('alive');
      expect(troubles.at(-1)).toBeNull();
      expect(troubles[0]).toContain('request plane');
      await ending.stop();
      await service.stop();
      await slow.stop();
    });

    test('close is final and harmless to repeat', async () => {
      const bus = world.open();
      await connected(bus);
      const got = collector();
      const ending = one.subscribe('last.words', got.take);
      await one.flush();
      bus.publish('last.words', bytes('bye'));
      await bus.close();
      await bus.close();
      await got.until(1);
      expect(() => bus.publish('x', bytes('y'))).toThrow(Fault);
      await ending.stop();
    });
  });
}

function controller() {
  const made = new AbortController();
  return { signal: made.signal, abort: () => made.abort() };
}
