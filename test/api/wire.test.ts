// The bytes on the socket: load generators take each write for one event.

import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { bytesOf } from '../text/tiny-tokenizer.ts';
import { deltas } from './fake-cluster.ts';
import { openWorld } from './world.ts';

async function writesOf(port: number, request: string): Promise<string[]> {
  const writes: string[] = [];
  const closed = Promise.withResolvers<void>();
  await Bun.connect({
    hostname: '127.0.0.1',
    port,
    socket: {
      open: (socket) => {
        socket.write(request);
      },
      data: (_socket, bytes) => {
        writes.push(bytes.toString());
      },
      close: () => closed.resolve(),
    },
  });
  await closed.promise;
  return writes;
}

test('tokens that arrive all at once still leave one event to a write', async () => {
  await using world = openWorld(deltas({ ids: bytesOf('abcdefgh'), finish: 'stop' }));
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], stream: true });
  const head = [
    'POST /v1/chat/completions HTTP/1.1',
    'Host: x',
    'Connection: close',
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
  ].join('\r\n');
  const writes = await writesOf(world.server.port, `${head}\r\n\r\n${body}`);
  const eventCounts = writes.map((write) => write.split('data: ').length - 1);
  expect(Math.max(...eventCounts)).toBe(1);
  expect(eventCounts.filter((count) => count === 1)).toHaveLength(9);
  expect(writes.some((write) => write.includes('data: [DONE]') && write.length < 40)).toBe(true);
});

/** A stream that is asked for and not read; a process of its own, because it must not read while we look. */
function idleClient(port: number) {
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], stream: true });
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
  return Bun.spawn([process.execPath, join(import.meta.dir, 'idle-client.ts')], {
    env: { ...process.env, PORT: String(port) },
    stdin: new Blob([`${head}\r\n\r\n${body}`]),
    stdout: 'ignore',
    stderr: 'inherit',
  });
}

/** Until the buffers between the two are full: nothing is made for a long time. */
async function unchanged(count: () => number): Promise<void> {
  let changedMs = performance.now();
  for (let last = count(); performance.now() - changedMs < 500; last = count()) {
    await new Promise<void>((resolve) => setTimeout(resolve));
    if (count() !== last) changedMs = performance.now();
  }
}

test('a client that stops reading stops the making of events, and nothing piles up here', async () => {
  let made = 0;
  await using world = openWorld(async function* () {
    for (;;) {
      made++;
      yield { ids: bytesOf('x'), finish: null };
    }
  });
  const idle = idleClient(world.server.port);
  await world.cluster.asked.promise;
  await unchanged(() => made);
  expect(world.server.inFlight()).toBe(1);
  expect(made).toBeGreaterThan(100);
  expect(made).toBeLessThan(100_000);
  idle.kill();
  await world.cluster.cancelled.promise;
  await idle.exited;
}, 30_000);

test('a server that stops does not wait for a client that has stopped reading', async () => {
  let made = 0;
  const world = openWorld(async function* () {
    for (;;) {
      made++;
      yield { ids: bytesOf('x'), finish: null };
    }
  });
  const idle = idleClient(world.server.port);
  await world.cluster.asked.promise;
  await unchanged(() => made);
  await world.server.stop({ limitMs: 50 });
  await world.cluster.cancelled.promise;
  idle.kill();
  await idle.exited;
}, 30_000);
