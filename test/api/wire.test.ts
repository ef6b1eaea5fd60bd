// The bytes on the socket: load generators take each write for one event.

import { expect, test } from 'bun:test';
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
