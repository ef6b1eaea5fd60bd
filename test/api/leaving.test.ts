// Clients that leave, and the server that does.

import { describe, expect, test } from 'bun:test';
import { createServer } from '../../src/api/server.ts';
import { realClock } from '../../src/std/clock.ts';
import { Fault } from '../../src/std/fault.ts';
import { seededChance } from '../../src/std/prng.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { bytesOf } from '../text/tiny-tokenizer.ts';
import { FakeCluster, says, stalls } from './fake-cluster.ts';
import { eventsOf, jsonOf, openWorld, type World } from './world.ts';

/** Waits, one round trip at a time, until nothing is in flight. */
async function emptied(world: World): Promise<void> {
  while (world.server.inFlight() > 0) await world.fetch('/live');
}

describe('a client that leaves', () => {
  test.each([true, false])('while waiting for the first token (stream: %p)', async (stream) => {
    await using world = openWorld(stalls(''));
    const controller = new AbortController();
    const response = world.chat({ stream }, { signal: controller.signal });
    await world.cluster.asked.promise;
    controller.abort();
    await expect(response).rejects.toThrow();
    expect(await world.cluster.cancelled.promise).toBe('signal');
    await emptied(world);
  });

  test('in the middle of a stream', async () => {
    await using world = openWorld(stalls('abc'));
    const controller = new AbortController();
    const response = await world.chat({ stream: true }, { signal: controller.signal });
    const reader = response.body?.getReader();
    await reader?.read();
    expect(world.server.inFlight()).toBe(1);
    controller.abort();
    expect(await world.cluster.cancelled.promise).toBe('signal');
    await emptied(world);
  });

  test('in the middle of a plain answer', async () => {
    await using world = openWorld(stalls('abc'));
    const controller = new AbortController();
    const response = world.chat({}, { signal: controller.signal });
    await world.cluster.asked.promise;
    controller.abort();
    await expect(response).rejects.toThrow();
    expect(await world.cluster.cancelled.promise).toBe('signal');
    await emptied(world);
  });
});

test('a client that leaves during its upload is no failure of ours', async () => {
  const lines: string[] = [];
  const log = createLog({ level: 1, name: '', sink: (line) => lines.push(line) });
  await using world = openWorld(says('x'), { log });
  const head = 'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n';
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port: world.server.port,
    socket: { data: () => undefined },
  });
  socket.write(`${head}Content-Type: application/json\r\n\r\n{"messages"`);
  while (world.server.inFlight() === 0) await world.fetch('/live');
  socket.terminate();
  await emptied(world);
  expect(lines.filter((line) => line.includes('ERROR'))).toEqual([]);
});

describe('a server that stops', () => {
  test('finishes what runs, refuses what is new, closes', async () => {
    const goOn = Promise.withResolvers<void>();
    const world = openWorld(async function* () {
      yield { ids: bytesOf('a'), finish: null };
      await goOn.promise;
      yield { ids: bytesOf('b'), finish: 'length' };
    });
    const running = await world.chat({ stream: true });
    const stopped = world.server.stop();
    const refused = await world.chat();
    expect(refused.status).toBe(503);
    expect((await jsonOf(refused)).error.code).toBe('draining');
    // Or a client that keeps its connection would be refused again and again.
    expect(refused.headers.get('connection')).toBe('close');
    expect((await world.fetch('/health')).status).toBe(503);
    expect((await world.fetch('/live')).status).toBe(200);
    goOn.resolve();
    expect(await eventsOf(running)).toHaveLength(2);
    await stopped;
    await expect(world.fetch('/live')).rejects.toThrow();
  });

  test('breaks off, with an error event, what does not end in time', async () => {
    const world = openWorld(stalls('ab'));
    const running = await world.chat({ stream: true });
    const stopped = world.server.stop({ limitMs: 1 });
    const events = await eventsOf(running);
    expect(events.at(-1)).toMatchObject({ error: { code: 'draining' } });
    await stopped;
    expect(world.server.inFlight()).toBe(0);
  });
});

describe('a server that starts', () => {
  const options = {
    cluster: new FakeCluster(),
    clock: realClock,
    chance: seededChance(1),
    host: '127.0.0.1',
    corsOrigins: ['http://localhost'],
    queueLimit: 1,
    queueTimeoutMs: 1,
    version: '0',
  };

  test('says so in its log, and what it answers without any text', async () => {
    const lines: string[] = [];
    const log = createLog({ level: 2, name: '', sink: (line) => lines.push(line) });
    await using world = openWorld(says('secret answer'), { log });
    const messages = [{ role: 'user', content: 'secret question' }];
    await (await world.chat({ messages })).text();
    const text = lines.join('\n');
    expect(text).toContain("Adding CORS for the following origins: ['http://localhost']");
    expect(text).not.toContain('WARN'); // nothing is wrong with the default
    expect(text).toContain('Application startup complete.');
    expect(text).toContain(`Listening on http://127.0.0.1:${world.server.port}`);
    expect(text).toContain('chat answered');
    expect(text).not.toContain('secret');
  });

  test('a port in use is a config fault with the mend', async () => {
    await using world = openWorld();
    const log = createLog({ level: 0, name: '', sink: () => undefined });
    const start = (): unknown => createServer({ ...options, log, port: world.server.port });
    expect(start).toThrow(Fault);
    expect(start).toThrow(/ in use\? Stop what uses the port, or .*--api-server-port/);
  });
});
