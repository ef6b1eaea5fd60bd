// A context worker that dies between its first token and its ticket: the answer has begun, the KV will
// never come. The gateway has the generate worker prefill by itself, and the client sees nothing of
// it. The moment is too short to be hit by kill -9, so the test plays the context worker.

import { expect, test } from 'bun:test';
import { connect } from 'nats';
import { question, stream } from './chat.ts';
import { freePlane, startApi, untilReady } from './deployment.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const impostor = 'context-impostor';
const timed = { headers: { 'x-tdist-timing': '1' } };
const counting = question('Count from 1 to 25.');

type Chunk = { readonly requestId: string; readonly ids: readonly number[] };
type Prefill = { readonly requestId: string; readonly stream: string };

test('the rest of the answer is the same as if nothing had happened', async () => {
  const plane = await freePlane();
  await using generate = world.start([
    '--role=generate',
    '--initialize-request-plane',
    `--request-plane-uri=${plane}`,
  ]);
  await using api = await startApi(world, plane);
  await untilReady(api.url);

  const connection = await connect({ servers: plane });
  await using _closing = { [Symbol.asyncDispose]: () => connection.close() };
  const said: { heartbeat: object | null; firstId: number | null } = {
    heartbeat: null,
    firstId: null,
  };
  connection.subscribe('tdist.heartbeat.*', {
    callback: (_error, message) => {
      said.heartbeat ??= message.json<object>();
    },
  });
  connection.subscribe('tdist.tokens.>', {
    callback: (_error, message) => {
      said.firstId ??= message.json<Chunk>().ids[0] ?? null;
    },
  });
  const wanted = await stream(api.url, counting, timed);
  expect(wanted.response.headers.get('x-tdist-route')).toBe('local');
  const heartbeat = await until('a heartbeat', () => said.heartbeat);

  /** Says what a context worker of the same model on the same host would say. */
  const beat = (state: 'ready' | 'gone'): void => {
    const text = JSON.stringify({ ...heartbeat, worker: impostor, role: 'context', state });
    connection.publish(`tdist.heartbeat.${impostor}`, text);
  };
  connection.subscribe(`tdist.worker.${impostor}.prefill`, {
    callback: (_error, message) => {
      const { requestId, stream: subject } = message.json<Prefill>();
      message.respond(JSON.stringify({ v: 1, ok: true }));
      const ids = [said.firstId];
      const chunk = { v: 1, type: 'tokens', requestId, worker: impostor, first: 0, ids };
      connection.publish(subject, JSON.stringify({ ...chunk, finish: null }));
      beat('gone');
    },
  });
  beat('ready');
  await connection.flush();
  const found = await until('an answer by the impostor', async () => {
    const answer = await stream(api.url, counting, timed);
    expect(answer.error).toBeNull();
    return answer.response.headers.get('x-tdist-route') === 'disaggregated' ? answer : null;
  });
  expect(found.pieces).toEqual([...wanted.pieces]);
  expect(found.finish).toBe('stop');
  expect(await api.program.line('Hand-over lost, prefilling again')).toContain(impostor);
  expect(generate.lines().join('\n')).not.toContain('ERROR');
});

testNothingLeft(world);
