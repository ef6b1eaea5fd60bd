// What only the real body can show: the micro service, outages in words, a whole request over NATS.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { Bus } from '../../src/plane/bus.ts';
import { createClient } from '../../src/plane/client.ts';
import { openNatsBus } from '../../src/plane/nats.ts';
import type { NatsServer } from '../../src/plane/server.ts';
import type { WorkerRole } from '../../src/protocol/message.ts';
import { ManualClock, realClock } from '../../src/std/clock.ts';
import { seededChance } from '../../src/std/prng.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';
import { read, request } from './cluster.ts';
import { FakeEngine } from './fake-engine.ts';
import { plainWorker } from './make.ts';
import { connected, startTestNats, temporaryFolder } from './nats-world.ts';

const folder = temporaryFolder();
let server: NatsServer;
beforeAll(async () => {
  server = await startTestNats(folder.path);
});
afterAll(async () => {
  await server.stop();
  folder.remove();
});

const open = (): Bus => openNatsBus({ uris: [server.uri], name: 'test', log: silentLog });

function worker(bus: Bus, workerId: string, role: WorkerRole, answer: readonly number[]) {
  return plainWorker(bus, { workerId, role, engine: new FakeEngine(answer) });
}

describe('NATS', () => {
  test('a whole disaggregated request, whatever connects first', async () => {
    const [gateway, one, two] = [open(), open(), open()];
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
    const nodes = [worker(one, 'c', 'context', [7, 8, 9]), worker(two, 'g', 'generate', [7, 8, 9])];
    for (const node of nodes) node.setState('ready');
    await Promise.all([gateway, one, two].map((bus) => connected(bus)));
    // `who` has left, has come to the workers, their answers have left, and have come here.
    for (const bus of [gateway, one, two, one, two, gateway]) await bus.flush();
    const signal = AbortSignal.timeout(10_000);
    const generation = await client.generate(request(), { signal });
    expect(await read(generation)).toBe('7 8 9 stop');
    expect(generation.timing()).toMatchObject({ route: 'disaggregated', kvPath: 'shm' });
    const [model] = client.models();
    if (model === undefined) throw new Error('no model is served');
    expect(await client.textAssets(model)).toMatchObject({
      tokenizerConfig: { chat_template: 'x' },
    });
    for (const node of nodes) await node.drain(1000);
    await client.close();
    for (const bus of [one, two, gateway]) await bus.close();
  });

  test('a worker shows as a micro service, with its load of requests', async () => {
    const [one, two] = [open(), open()];
    await Promise.all([connected(one), connected(two)]);
    const node = worker(one, 'g', 'generate', [7]);
    await one.flush();
    const ask = async (subject: string) => {
      const reply = await two.request(subject, new Uint8Array(), { timeoutMs: 5000 });
      return JSON.parse(new TextDecoder().decode(reply));
    };
    expect(await ask('$SRV.INFO.tdist-generate')).toMatchObject({
      name: 'tdist-generate',
      version: '0.1.0',
      description: 'tdist generate worker of model llama',
      metadata: { worker: 'g', role: 'generate', model: 'llama', host: 'host-1', pid: '42' },
      endpoints: ['generate', 'announce', 'handover', 'abort', 'pause', 'asset', 'control'].map(
        (name) => ({
          name,
          subject: `tdist.worker.g.${name}`,
        }),
      ),
    });
    const abort = new TextEncoder().encode('{"v":1,"type":"abort","requestId":"r"}');
    await two.request('tdist.worker.g.abort', abort, { timeoutMs: 5000 });
    const stats = await ask('$SRV.STATS.tdist-generate');
    expect(stats.endpoints[3]).toMatchObject({ name: 'abort', num_requests: 1 });
    await node.close();
    await one.close();
    await two.close();
  });

  test('unreachable: says so once, then now and then; never gives up', async () => {
    const clock = new ManualClock();
    const lines: string[] = [];
    const log = createLog({ level: 1, sink: (line) => lines.push(line), name: '' });
    const other = await startTestNats(folder.path);
    await other.stop();
    const bus = openNatsBus({
      uris: [`me:s3cret@127.0.0.1:${other.port}`],
      name: 'test',
      log,
      clock,
    });
    let wake: () => void = () => undefined;
    clock.after = wrapAfter(clock, () => wake());
    const failures = async (count: number) => {
      for (let failure = 0; failure < count; failure++) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (clock.pendingCount > 0) resolve();
        });
        clock.advance(1000);
      }
    };
    await failures(1);
    expect(bus.trouble()).toContain('unreachable: connection refused; trying again');
    await failures(9);
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain('connection refused');
    expect(lines[0]).not.toContain('s3cret');
    await failures(12);
    expect(lines.length).toBeGreaterThanOrEqual(2);
    expect(lines.length).toBeLessThanOrEqual(3);
    await bus.close();
  });
});

/** Tells of each timer that the bus sets: its pause before the next try. */
function wrapAfter(clock: ManualClock, told: () => void): ManualClock['after'] {
  const after = clock.after.bind(clock);
  return (delayMs, fire) => {
    const timer = after(delayMs, fire);
    told();
    return timer;
  };
}
