// Workers that are alive and do not fit together, and what a plane tells of itself, over the in-memory
// bus with a JetStream played by the test.

import { describe, expect, test } from 'bun:test';
import { type AddressInfo, createServer } from 'node:net';
import { checkReach } from '../../src/doctor/plane-check.ts';
import { askPlane, connectionTrouble, watchWorkers } from '../../src/doctor/plane-probe.ts';
import { checkWorkers, type Heard } from '../../src/doctor/worker-check.ts';
import { encode } from '../../src/plane/codec.ts';
import { MemoryHub } from '../../src/plane/memory.ts';
import { openNatsBus } from '../../src/plane/nats.ts';
import type { Heartbeat } from '../../src/protocol/message.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';

type Change = Partial<Omit<Heartbeat, 'card'>> & { readonly card?: Partial<Heartbeat['card']> };

function beat(worker: string, role: Heartbeat['role'], change: Change = {}): Heartbeat {
  const { card, ...rest } = change;
  return {
    v: 1,
    type: 'heartbeat',
    worker,
    role,
    state: 'ready',
    host: 'h',
    pid: 7,
    build: '1.0.0+a',
    load: {
      running: 0,
      waiting: 0,
      slots: 8,
      freeTokens: 100,
      pendingTokens: 0,
      decoding: 0,
      prefixKeys: [],
    },
    ...rest,
    card: {
      model: 'llama',
      source: 'tdist/demo',
      modelDigest: 'aaaa',
      textDigest: 'bbbb',
      geometry: { layers: 8, kvHeads: 2, headDim: 32, blockTokens: 64 },
      kvDtype: 'float32',
      maxModelLen: 4096,
      vocabSize: 3072,
      eosIds: [2],
      ...card,
    },
  };
}

function heard(...beats: readonly Heartbeat[]): Heard {
  return { workers: beats.map((heartbeat) => ({ heartbeat, silentMs: 100 })), unreadable: [] };
}

const context = beat('context-1', 'context');
const generate = (change: Change): Heartbeat => beat('generate-1', 'generate', change);
const bad = (found: Heard) =>
  checkWorkers(found, null)
    .filter(({ status }) => status !== 'ok')
    .map(({ status, finding, mend }) => `${status}: ${finding}; ${mend}`);

describe('workers', () => {
  test('that fit together, and none', () => {
    expect(bad(heard(context, generate({})))).toEqual([]);
    expect(bad(heard())).toEqual([]);
  });

  test.each<[string, Change, string, RegExp]>([
    ['weights', { card: { modelDigest: 'cccc' } }, 'fail', /weights: aaaa.*cccc.*--worker-name/],
    ['tokenizers', { card: { textDigest: 'dddd' } }, 'fail', /tokenizers: bbbb.*dddd/],
    ['KV dtypes', { card: { kvDtype: 'fp8' } }, 'warn', /--kv-cache-dtype: float32.*fp8/],
    [
      'block sizes',
      { card: { geometry: { ...context.card.geometry, blockTokens: 32 } } },
      'fail',
      /--block-tokens: 64.*32/,
    ],
    [
      'geometries',
      { card: { geometry: { ...context.card.geometry, layers: 9 } } },
      'fail',
      /8×2×32.*9×2×32/,
    ],
    ['builds', { build: '1.0.1+b' }, 'warn', /1\.0\.0\+a .*1\.0\.1\+b/],
  ])('of several %s', (_name, change, status, line) => {
    const lines = bad(heard(context, generate(change)));
    expect(lines).toEqual([expect.stringMatching(line)]);
    expect(lines[0]).toStartWith(status);
  });

  test('with a pair that agrees among those that do not: a warning', () => {
    const other = beat('generate-2', 'generate', { card: { kvDtype: 'fp8' } });
    expect(bad(heard(context, generate({}), other))).toEqual([expect.stringMatching(/^warn: /)]);
  });

  test('of other models are no matter', () => {
    const card = { model: 'other', modelDigest: 'cccc', kvDtype: 'fp8' };
    expect(bad(heard(context, generate({ card })))).toEqual([]);
  });

  test('silent, and unreadable', () => {
    const found: Heard = {
      workers: [{ heartbeat: context, silentMs: 2400 }],
      unreadable: ['tdist.heartbeat.x: heartbeat: message version 2'],
    };
    expect(bad(found)).toEqual([
      expect.stringMatching(/^warn: context-1 \(pid 7\).*2400 ms/),
      expect.stringMatching(/^fail: .*version 2; run the same release/),
    ]);
  });

  test('with other files than ours', () => {
    const own = { servedName: 'llama', modelDigest: 'eeee', textDigest: 'bbbb' };
    const [, found] = checkWorkers(heard(context), own);
    expect(found).toMatchObject({ status: 'fail', finding: expect.stringContaining('eeee') });
  });
});

describe('the probe', () => {
  function world() {
    const clock = new ManualClock();
    const hub = new MemoryHub({ clock });
    const [bus, server] = [hub.open(), hub.open()];
    const ports = { bus, clock, epochMs: () => 10_000, namespace: 'tdist', id: 'x1' };
    const asked: string[] = [];
    const serve = (answers: Readonly<Record<string, object>>) =>
      server.serve({
        name: 'jetstream',
        version: '1.0.0',
        description: '',
        metadata: {},
        endpoints: Object.entries(answers).map(([subject, answer]) => ({
          name: 'api',
          subject,
          handle: async () => {
            asked.push(subject);
            return encode(answer);
          },
        })),
      });
    return { clock, ports, server, serve, asked };
  }
  const account = { memory: 10, storage: 30, limits: { max_memory: -1, max_storage: 100 } };

  test('reads account and time, and removes the stream it has made', async () => {
    const { ports, serve, asked } = world();
    serve({
      '$JS.API.INFO': account,
      '$JS.API.STREAM.CREATE.tdist-doctor-x1': { created: '1970-01-01T00:00:13Z' },
      '$JS.API.STREAM.DELETE.tdist-doctor-x1': { success: true },
    });
    const answers = await askPlane(ports);
    expect(answers).toMatchObject({
      jetStream: { state: 'on', memoryLeft: null, storageLeft: 70, denied: null },
      skew: { ms: 3000, uncertainMs: 0 },
    });
    expect(answers.roundTripMs).not.toBeNull();
    expect(asked.at(-1)).toContain('DELETE');
  });

  test('a server that is mute, as behind a firewall or not of NATS', async () => {
    const mute = createServer();
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as AddressInfo; // listening on TCP
    const bus = openNatsBus({ uris: [`nats://127.0.0.1:${port}`], name: 'test', log: silentLog });
    const { ports, clock } = world();
    const trouble = connectionTrouble({ ...ports, bus }, 5000);
    clock.advance(5000);
    const address = `nats://127.0.0.1:${port}`;
    expect(await trouble).toBe(`request plane ${address}: no answer within 5 s`);
    const found = checkReach({ address, trouble: await trouble, version: null });
    expect(found).toMatchObject({ status: 'fail', mend: expect.stringContaining('firewall') });
    await bus.close();
    mute.close();
  });

  test('a newer server tells its time without a stream', async () => {
    const { ports, serve } = world();
    serve({
      '$SYS.REQ.USER.INFO': { server: { time: '1970-01-01T00:00:09Z' } },
      '$JS.API.INFO': account,
      '$JS.API.STREAM.CREATE.tdist-doctor-x1': { error: { description: 'no rights' } },
    });
    expect(await askPlane(ports)).toMatchObject({
      jetStream: { denied: 'no rights' },
      skew: { ms: -1000 },
    });
  });

  test('JetStream off for all, and for the account', async () => {
    const { ports, serve } = world();
    const off = await askPlane(ports);
    expect(off).toMatchObject({ jetStream: { state: 'off', why: 'not enabled' }, skew: null });
    serve({ '$JS.API.INFO': { error: { description: 'not enabled for account' } } });
    const { jetStream } = await askPlane(ports);
    expect(jetStream).toEqual({ state: 'off', why: 'not enabled for account' });
  });

  test('hears workers, how long they have been silent, and what it cannot read', async () => {
    const { ports, clock, server } = world();
    server.subscribe('tdist.who', () => {
      server.publish('tdist.heartbeat.context-1', encode(context));
      server.publish('tdist.heartbeat.generate-1', encode({ ...generate({}), state: 'gone' }));
      server.publish('tdist.heartbeat.new', encode({ v: 2 }));
    });
    const watching = watchWorkers(ports);
    while (clock.pendingCount === 0) await Promise.resolve();
    await Promise.resolve();
    await Promise.resolve();
    clock.advance(2500);
    const { workers, unreadable } = await watching;
    expect(workers).toEqual([{ heartbeat: context, silentMs: 2500 }]);
    expect(unreadable).toEqual([expect.stringContaining('message version 2')]);
  });
});
