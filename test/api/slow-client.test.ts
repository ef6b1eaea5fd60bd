// Clients that take their time, on raw sockets: bodies that trickle, never come, are too large or packed.

import { describe, expect, test } from 'bun:test';
import { bytesOf } from '../text/tiny-tokenizer.ts';
import { says, stalls } from './fake-cluster.ts';
import { eventsOf, jsonOf, openWorld } from './world.ts';

/** Sends `head` and then a byte now and then; resolves with all that came when the server closes. */
async function trickle(port: number, head: readonly string[], everyMs: number | null) {
  const closed = Promise.withResolvers<void>();
  let answer = '';
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port,
    socket: {
      data: (_, bytes) => {
        answer += bytes.toString();
      },
      close: () => closed.resolve(),
      error: () => closed.resolve(),
    },
  });
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  const timer = everyMs === null ? null : setInterval(() => socket.write(' '), everyMs);
  await closed.promise;
  if (timer !== null) clearInterval(timer);
  return answer;
}

const post = (length: number) => [
  'POST /v1/chat/completions HTTP/1.1',
  'Host: x',
  'Content-Type: application/json',
  `Content-Length: ${length}`,
];

describe('a body that does not arrive in time', () => {
  test.each([
    ['trickles', 10],
    ['never comes', null],
  ])('%s: 408 in the envelope, and the connection ends', async (_name, everyMs) => {
    await using world = openWorld(undefined, { bodyTimeoutMs: 80 });
    const answer = await trickle(world.server.port, post(1000), everyMs);
    expect(answer).toStartWith('HTTP/1.1 408 ');
    expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)).error).toEqual({
      message: 'The request body did not arrive within 80 ms.',
      type: 'invalid_request_error',
      param: null,
      code: 'request_timeout',
    });
    expect(world.server.inFlight()).toBe(0);
    expect((await world.chat()).status).toBe(200);
  });
});

describe('a body that is not taken', () => {
  test('more bytes than --max-body-bytes, announced or not', async () => {
    await using world = openWorld(undefined, { bodyBytesMax: 2048 });
    const messages = [{ role: 'user', content: 'x'.repeat(2048) }];
    for (const body of [
      JSON.stringify({ messages }),
      new Response(JSON.stringify({ messages })).body,
    ]) {
      const response = await world.chat({}, { body });
      expect(response.status).toBe(413);
      expect((await jsonOf(response)).error).toMatchObject({
        code: 'request_too_large',
        message: 'The request body is larger than 2048 bytes.',
      });
    }
    expect((await world.chat()).status).toBe(200);
  });

  test('of a length that is told twice: no way around the limits', async () => {
    await using world = openWorld(undefined, { bodyBytesMax: 2048, bodyTimeoutMs: 200 });
    const head = [...post(4096), 'Content-Length: 4096', 'Connection: close'];
    const answer = await trickle(world.server.port, head, null);
    expect(answer).toStartWith('HTTP/1.1 400 ');
    expect(answer).toContain("Content-Length is '4096, 4096'; send it once");
    expect((await world.chat()).status).toBe(200);
  });

  test('gzip', async () => {
    await using world = openWorld();
    const headers = { 'content-encoding': 'gzip' };
    const response = await world.chat({}, { headers, body: Bun.gzipSync('{}') });
    expect(response.status).toBe(415);
    expect((await jsonOf(response)).error.message).toContain("Content-Encoding is 'gzip'");
  });
});

test('an idle connection is closed; one whose answer is not there yet is not', async () => {
  const go = Promise.withResolvers<void>();
  const script = async function* () {
    await go.promise;
    yield { ids: bytesOf('b'), finish: 'stop' as const };
  };
  await using world = openWorld(script, { idleConnectionS: 1 });
  const waiting = world.chat();
  await world.cluster.asked.promise;
  // Resolves when the server closes; the head of a request that never comes takes Bun 12 s, so it has one.
  const answer = await trickle(world.server.port, ['GET /live HTTP/1.1', 'Host: x'], null);
  expect(answer).toStartWith('HTTP/1.1 200 ');
  go.resolve();
  expect((await waiting).status).toBe(200);
}, 20_000);

describe('--request-timeout-ms', () => {
  test('before the answer: a status; in a stream: an error event, and [DONE]', async () => {
    await using world = openWorld(stalls('a'), { requestTimeoutMs: 60 });
    const whole = await world.chat();
    expect(whole.status).toBe(503);
    const why = 'The answer took longer than 60 ms (--request-timeout-ms).';
    expect((await jsonOf(whole)).error).toMatchObject({ code: 'timeout', message: why });
    const events = await eventsOf(await world.chat({ stream: true }));
    expect(events.at(-1)).toMatchObject({ error: { code: 'timeout', message: why } });
    expect(world.server.inFlight()).toBe(0);
    world.cluster.script = says('b');
    expect((await world.chat()).status).toBe(200);
  });
});
