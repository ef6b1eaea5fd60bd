// Prompts above the max_payload of a real nats-server, through gateway and workers.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { Bus } from '../../src/plane/bus.ts';
import { withClaims } from '../../src/plane/claim.ts';
import { createClient } from '../../src/plane/client.ts';
import { openNatsBus } from '../../src/plane/nats.ts';
import type { WorkerRole } from '../../src/protocol/message.ts';
import { realClock } from '../../src/std/clock.ts';
import { realChance, seededChance } from '../../src/std/prng.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { faultOf, read, request } from './cluster.ts';
import { FakeEngine } from './fake-engine.ts';
import { FakeObjects } from './fake-objects.ts';
import { plainWorker, promptOf } from './make.ts';
import { type NatsProcess, startNatsProcess } from './nats-process.ts';
import { connected, temporaryFolder } from './nats-world.ts';

const maxPayload = 16 * 1024;
const folder = temporaryFolder();
const store = new FakeObjects();
const buses: Bus[] = [];
let server: NatsProcess;

beforeAll(async () => {
  server = await startNatsProcess(folder.path, `max_payload: ${maxPayload}`);
});
afterEach(async () => {
  for (const bus of buses.splice(0)) await bus.close();
});
afterAll(async () => {
  await server.kill();
  folder.remove();
});

async function open(): Promise<Bus> {
  const uris = [`127.0.0.1:${server.port}`];
  const bus = withClaims({
    bus: openNatsBus({ uris, name: 'test', log: silentLog }),
    store,
    namespace: 'tdist',
    clock: realClock,
    chance: realChance,
    log: silentLog,
  });
  buses.push(bus);
  await connected(bus);
  return bus;
}

async function worker(workerId: string, role: WorkerRole, engine: FakeEngine): Promise<Bus> {
  const bus = await open();
  plainWorker(bus, { workerId, role, engine }).setState('ready');
  return bus;
}

describe('a nats-server with max_payload 16 KiB', () => {
  test('prompts below and above it give the same answer', async () => {
    const gateway = await open();
    expect(gateway.maxPayloadBytes).toBe(maxPayload);
    const client = createClient({
      bus: gateway,
      clock: realClock,
      chance: seededChance(3),
      log: silentLog,
      namespace: 'tdist',
      localPrefillTokens: 0,
      migrationLimit: 3,
      migrationWaitMs: 30_000,
    });
    const engines = { c: new FakeEngine([7, 8, 9]), g: new FakeEngine([7, 8, 9]) };
    const one = await worker('c', 'context', engines.c);
    const two = await worker('g', 'generate', engines.g);
    for (const bus of [gateway, one, two, one, two, gateway]) await bus.flush();
    const signal = AbortSignal.timeout(10_000);
    for (const [tokens, putCount] of [
      [100, 0],
      [20_000, 2],
    ] as const) {
      const promptIds = promptOf(tokens);
      const generation = await client.generate(request({ promptIds }), { signal });
      expect(await read(generation)).toBe('7 8 9 stop');
      expect(generation.timing().route).toBe('disaggregated');
      expect(store.puts).toHaveLength(putCount);
      const given = engines.c.commands.findLast(({ type }) => type === 'prefill');
      expect(given).toMatchObject({ promptIds });
    }
    await client.close();
    expect(store.puts.every((size) => size > 4 * maxPayload)).toBeTrue();
    expect(store.objects.size).toBe(0);
  });

  test('1,000 messages to one subject, some of them large, arrive as they were sent', async () => {
    const [from, to] = [await open(), await open()];
    const sizes = Array.from({ length: 1000 }, (_, at) => (at % 100 === 7 ? 30_000 + at : at));
    const got: number[] = [];
    const all = Promise.withResolvers<void>();
    to.subscribe('many', (payload) => {
      got.push(payload.byteLength);
      if (got.length === sizes.length) all.resolve();
    });
    await to.flush();
    for (const size of sizes) from.publish('many', new Uint8Array(size).fill(1));
    await from.flush();
    await all.promise;
    expect(got).toEqual(sizes);
  });

  test('without an object store: what the limit is, and what would help', async () => {
    const bus = await open();
    store.down = 'JetStream is not enabled';
    const fault = await faultOf(
      bus.request('svc', new Uint8Array(maxPayload + 1), { timeoutMs: 1000 }),
    );
    store.down = null;
    expect(fault.code).toBe('too_large');
    expect(fault.message).toContain('NATS carries at most 16384 in one');
    expect(fault.message).toContain('raise max_payload');
  });
});
