// Messages above the bus's limit: whole, in order, in time, and nothing left behind.

import { describe, expect, test } from 'bun:test';
import type { Bus } from '../../src/plane/bus.ts';
import { type ClaimOptions, messageBucket, withClaims } from '../../src/plane/claim.ts';
import { isNote, readNote, writeNote } from '../../src/plane/claim-note.ts';
import { Lanes } from '../../src/plane/lanes.ts';
import { MemoryHub } from '../../src/plane/memory.ts';
import { limit } from '../../src/protocol/limit.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { Fault } from '../../src/std/fault.ts';
import { seededChance } from '../../src/std/prng.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { Cluster, faultOf, read, request } from './cluster.ts';
import { FakeObjects } from './fake-objects.ts';
import { card, settle } from './make.ts';

const maxPayloadBytes = 2048;
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (payload: Uint8Array) => new TextDecoder().decode(payload);
const large = 'x'.repeat(5000);

class World {
  readonly clock = new ManualClock();
  readonly hub = new MemoryHub({ clock: this.clock, maxPayloadBytes });
  readonly store = new FakeObjects();
  readonly lines: string[] = [];
  readonly log = createLog({ level: 2, sink: (line) => this.lines.push(line), name: '' });
  #seed = 1;

  readonly plain = this.hub.open();
  readonly one = this.open();
  readonly two = this.open();

  open(inner: Bus = this.hub.open(), change: Partial<ClaimOptions> = {}): Bus {
    const { clock, log, store } = this;
    const chance = seededChance(this.#seed++);
    return withClaims({ bus: inner, store, namespace: 'tdist', clock, chance, log, ...change });
  }

  /** What `two` gets of `subject`. */
  collect(subject: string): string[] {
    const got: string[] = [];
    this.two.subscribe(subject, (payload, found) => got.push(`${found} ${text(payload)}`));
    return got;
  }

  serve(subject: string, handle: (payload: Uint8Array) => Promise<Uint8Array>) {
    return this.two.serve({
      name: 'tdist-test',
      version: '1.0.0',
      description: 'a test',
      metadata: {},
      endpoints: [{ name: 'op', subject, handle }],
    });
  }
}

describe('published', () => {
  test('whole, to every subscriber; the bucket is the namespace’s', async () => {
    const world = new World();
    const first = world.collect('a.*');
    const second = world.collect('a.b');
    const payload = bytes(large);
    world.one.publish('a.b', payload);
    payload.fill(0);
    await world.one.flush();
    await settle();
    expect(first).toEqual([`a.b ${large}`]);
    expect(second).toEqual(first);
    expect(world.store.puts).toEqual([5000]);
    expect(world.store.objects.size).toBe(1); // several may want it: left to its time to live
    expect(world.store.opened).toMatchObject({
      name: 'tdist-tdist-messages',
      ttlMs: limit.claimKeepMs,
      storage: 'memory',
    });
  });

  test('what fits goes as before: at once, and without the store', async () => {
    const world = new World();
    const got = world.collect('a');
    world.store.refusal = 'no JetStream';
    world.one.publish('a', bytes('y'.repeat(maxPayloadBytes)));
    await Promise.resolve();
    await Promise.resolve();
    expect(got).toHaveLength(1);
    expect(world.store.puts).toEqual([]);
  });

  test('nothing overtakes a large one: not where it is put, not where it is fetched', async () => {
    const world = new World();
    const got = world.collect('*');
    const held: (() => void)[] = [];
    world.store.beforeGet = () => new Promise((resolve) => held.push(resolve));
    for (const part of ['1', `2${large}`, '3', `4${large}`, '5'])
      world.one.publish('a', bytes(part));
    world.one.publish('b', bytes('other'));
    await settle();
    // Other subjects do not wait, and fetching goes on side by side.
    expect(got.map((line) => line.slice(0, 7))).toEqual(['a 1', 'b other']);
    expect(held).toHaveLength(2);
    held[1]?.();
    await settle();
    expect(got).toHaveLength(2);
    held[0]?.();
    await settle();
    expect(got.map((line) => line.slice(0, 3))).toEqual(['a 1', 'b o', 'a 2', 'a 3', 'a 4', 'a 5']);
    world.one.publish('a', bytes('6'));
    await Promise.resolve();
    await Promise.resolve();
    expect(got.at(-1)).toBe('a 6'); // the lane is gone
  });

  test('one that is lost holds nobody up, and a handler’s failure neither', async () => {
    const world = new World();
    const got: string[] = [];
    world.two.subscribe('a', (payload) => {
      if (payload.byteLength > 6000) throw new Error('boom');
      got.push(text(payload).slice(0, 4));
    });
    world.store.beforeGet = async ({ name, bytes: size }) => {
      if (size === 5000) world.store.objects.delete(name);
    };
    for (const part of [large, 'x'.repeat(7000), 'last']) world.one.publish('a', bytes(part));
    await settle();
    expect(got).toEqual(['last']);
    expect(world.lines.join('\n')).toMatch(/Large message lost.*missing/);
    expect(world.lines.join('\n')).toMatch(/message handler failed.*boom/);
    world.store.isFull = true;
    world.one.publish('a', bytes(large));
    world.one.publish('a', bytes('more'));
    await settle();
    expect(got).toEqual(['last', 'more']);
    expect(world.lines.join('\n')).toMatch(/Message lost.*no room for a message of 5000 bytes/);
  });

  test('after its end a subscription gets nothing, whatever was on its way', async () => {
    const world = new World();
    const got: string[] = [];
    const ending = world.two.subscribe('a', (payload) => got.push(text(payload)));
    const held = Promise.withResolvers<void>();
    world.store.beforeGet = () => held.promise;
    world.one.publish('a', bytes(large));
    await settle();
    await ending.stop();
    held.resolve();
    await settle();
    expect(got).toEqual([]);
  });

  test('without an object store: refused, with what would help, until there is one', async () => {
    const world = new World();
    const got = world.collect('a');
    world.store.down = 'JetStream is not enabled';
    world.store.refusal = world.store.down;
    const send = () => world.one.publish('a', bytes(large));
    expect(send).toThrow(
      /message of 5000 bytes, NATS carries at most 2048 .*\(JetStream is not enabled\); raise max_payload .* or enable JetStream/,
    );
    expect(send).toThrow(Fault);
    await settle();
    expect(world.store.probeCount).toBe(1); // one question at a time
    world.store.down = null;
    expect(send).toThrow('raise max_payload');
    await settle();
    send();
    await settle();
    expect(got).toHaveLength(1);
  });

  test('an object store that has gone will be back: no fault of the message’s', async () => {
    const world = new World();
    world.one.publish('a', bytes(large));
    await settle();
    world.store.refusal = 'no answer';
    expect(() => world.one.publish('a', bytes(large))).toThrow(
      'the object store is away (no answer)',
    );
    world.store.down = 'no answer';
    const fault = await faultOf(world.one.request('svc', bytes(large), { timeoutMs: 100 }));
    expect([fault.code, fault.message.includes('is away (no answer)')]).toEqual(['plane', true]);
  });

  test('unconnected: as ever', () => {
    const world = new World();
    for (const bus of world.hub.buses) bus.disconnect('cut');
    expect(() => world.one.publish('a', bytes(large))).toThrow('cut');
    expect(world.store.puts).toEqual([]);
  });

  test('there is an end to size', () => {
    const world = new World();
    const huge = new Uint8Array(limit.messageBytesMax + 1);
    expect(() => world.one.publish('a', huge)).toThrow(String(limit.messageBytesMax));
  });
});

describe('asked', () => {
  test('large question, large answer; both are removed', async () => {
    const world = new World();
    world.serve('svc', async (payload) => bytes(`${text(payload)}!${'z'.repeat(3000)}`));
    const reply = await world.one.request('svc', bytes(large), { timeoutMs: 1000 });
    expect(text(reply)).toBe(`${large}!${'z'.repeat(3000)}`);
    expect(world.store.puts).toEqual([5000, 8001]);
    await settle();
    expect(world.store.objects.size).toBe(0);
  });

  test('no more time than the asker has', async () => {
    const world = new World();
    world.serve('svc', async () => bytes(large));
    await world.one.request('svc', bytes(large), { timeoutMs: 700 });
    expect(world.store.waits.slice(0, 2)).toEqual([700, 700]); // put by us, fetched there
    expect(world.store.waits[2]).toBe(limit.claimMs); // the answer, put there
    expect(world.store.waits[3]).toBe(700); // fetched by us
  });

  test('nobody serves it: nothing is left', async () => {
    const world = new World();
    const fault = await faultOf(world.one.request('none', bytes(large), { timeoutMs: 100 }));
    expect(fault.code).toBe('no_worker');
    await settle();
    expect(world.store.puts).toEqual([5000]);
    expect(world.store.objects.size).toBe(0);
  });

  test('expired before it was fetched: a Fault that says so, and no call', async () => {
    const world = new World();
    let calls = 0;
    world.serve('svc', async (payload) => {
      calls += 1;
      return payload;
    });
    world.store.beforeGet = async ({ name }) => {
      world.store.objects.delete(name);
    };
    const fault = await faultOf(world.one.request('svc', bytes(large), { timeoutMs: 100 }));
    expect([fault.code, calls]).toEqual(['transfer', 0]);
    expect(fault.message).toContain('missing');
  });

  test('cancelled while it is fetched', async () => {
    const world = new World();
    world.serve('svc', async () => bytes(large));
    world.store.beforeGet = () => new Promise(() => undefined);
    const going = new AbortController();
    const { signal } = going;
    const asked = faultOf(world.one.request('svc', bytes('?'), { timeoutMs: 1000, signal }));
    await settle();
    going.abort();
    expect((await asked).code).toBe('cancelled');
  });

  test('begun in the order in which they came; long work holds nobody up', async () => {
    const world = new World();
    const begun: string[] = [];
    const never = new Promise<Uint8Array>(() => undefined);
    world.serve('svc', async (payload) => {
      begun.push(text(payload).slice(0, 5));
      return payload.byteLength > 1000 ? await never : payload;
    });
    const held = Promise.withResolvers<void>();
    world.store.beforeGet = () => held.promise;
    void world.one.request('svc', bytes(large), { timeoutMs: 1000 }).catch(() => undefined);
    await settle();
    const abort = world.one.request('svc', bytes('abort'), { timeoutMs: 1000 });
    await settle();
    expect(begun).toEqual([]);
    held.resolve();
    expect(text(await abort)).toBe('abort');
    expect(begun).toEqual(['xxxxx', 'abort']);
  });

  test('a full bucket is a full queue; no store is a size', async () => {
    const world = new World();
    world.serve('svc', async (payload) => payload);
    world.store.isFull = true;
    const full = await faultOf(world.one.request('svc', bytes(large), { timeoutMs: 100 }));
    expect(full.code).toBe('overloaded');
    const other = new World();
    other.store.down = 'no JetStream';
    const none = await faultOf(other.one.request('svc', bytes(large), { timeoutMs: 100 }));
    expect(none.code).toBe('too_large');
    expect(none.message).toContain('raise max_payload');
  });

  test('a handler’s Fault stays what it is', async () => {
    const world = new World();
    world.serve('svc', async () => {
      throw new Fault('draining', 'not now');
    });
    const fault = await faultOf(world.one.request('svc', bytes(large), { timeoutMs: 100 }));
    expect([fault.code, fault.message]).toEqual(['draining', 'not now']);
  });
});

describe('notes', () => {
  const info = { name: 'n', nuid: 'u', bytes: 5, chunkCount: 1, digest: 'd' };
  const claim = { bucket: 'b', info, once: true, waitMs: 3 };

  test('are known, and read back', () => {
    const note = writeNote(claim);
    expect(isNote(note)).toBeTrue();
    expect(readNote(note, 'b')).toEqual(claim);
    for (const other of ['', '{"v":1}', '\0', '\0tdist-clai'])
      expect(isNote(bytes(other))).toBeFalse();
  });

  test('of another bucket, of another form, or of any size are refused', () => {
    expect(() => readNote(writeNote(claim), 'c')).toThrow('in bucket b, wanted c');
    const odd = { ...claim, info: { ...info, bytes: limit.messageBytesMax + 1 } };
    expect(() => readNote(writeNote(odd), 'b')).toThrow('claim.info.bytes');
    expect(() => readNote(bytes('\0tdist-claim\0{'), 'b')).toThrow('no JSON');
  });

  test('namespaces never share a bucket', () => {
    expect(messageBucket('a-b_C')).toBe('tdist-a-b_C-messages');
    expect(() => messageBucket('a.b')).toThrow('namespace a.b');
  });
});

test('a lane has an end', async () => {
  const lanes = new Lanes(2);
  const got: number[] = [];
  const held = Promise.withResolvers<number>();
  const take = (value: number) => got.push(value);
  expect(lanes.add('a', held.promise, take)).toBeTrue();
  expect(lanes.add('a', Promise.resolve(2), take)).toBeTrue();
  expect(lanes.add('a', Promise.resolve(3), take)).toBeFalse();
  expect(lanes.add('b', Promise.resolve(4), take)).toBeTrue();
  await settle();
  held.resolve(1);
  await lanes.idle();
  expect(got).toEqual([4, 1, 2]);
  expect([lanes.isBusy('a'), lanes.isBusy('b')]).toEqual([false, false]);
});

describe('a cluster with a small limit', () => {
  const promptIds = Array.from({ length: 1000 }, (_, at) => at % 300);

  async function claimed(role: 'context' | 'generate', id: string, cluster: Cluster, world: World) {
    const bus = world.open(cluster.hub.open(), { clock: cluster.clock });
    return await cluster.worker(id, role, [7, 8, 9], { bus, card: card() });
  }

  test('a prompt above it: generated by two workers, nothing left', async () => {
    const world = new World();
    const cluster = new Cluster({ maxPayloadBytes });
    const bus = world.open(cluster.hub.open(), { clock: cluster.clock });
    const client = cluster.gateway('large', { bus });
    const context = await claimed('context', 'c', cluster, world);
    const generate = await claimed('generate', 'g', cluster, world);
    await settle();
    const signal = new AbortController().signal;
    const asked = client.generate(request({ promptIds }), { signal });
    for (let round = 0; round < 3; round++) await settle();
    expect(await read(await asked)).toBe('7 8 9 stop');
    for (const { engine } of [context, generate]) {
      expect(
        engine.commands.find(({ type }) => type === 'prefill' || type === 'generate'),
      ).toMatchObject({
        promptIds,
      });
    }
    expect(world.store.puts).toHaveLength(2);
    await settle();
    expect(world.store.objects.size).toBe(0);
    // Without the wrapper, the same is refused.
    expect(await faultOf(cluster.ask(undefined, { promptIds }))).toMatchObject({
      code: 'too_large',
    });
  });
});
