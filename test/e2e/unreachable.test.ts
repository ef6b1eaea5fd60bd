// No request plane: everyone keeps trying and says so, the gateway says why it cannot serve, nobody
// waits for ever, and all is well once it appears.

import { describe, expect, test } from 'bun:test';
import { ask, question } from './chat.ts';
import { freePlane, startApi, untilReady } from './deployment.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const hello = question('What is the capital of Japan?');
const answer = 'The capital of Japan is Tokyo.';

describe('a gateway alone', () => {
  test('lives, is not ready, refuses in time, and ends on SIGTERM', async () => {
    const plane = await freePlane();
    const { program, url } = await startApi(world, plane, ['--queue-timeout-ms=200']);
    await program.line(/WARN .*request plane .*unreachable: .*trying again/);
    expect((await fetch(`${url}/live`)).status).toBe(200);
    for (const path of ['/health', '/health/ready']) {
      const health = await fetch(`${url}${path}`);
      expect(health.status).toBe(503);
      expect(await health.text()).toContain(plane);
    }
    const { response, body } = await ask(url, hello);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).not.toBeNull();
    expect(body.error?.type).toBe('server_error');
    expect(body.error?.message).toContain('--queue-timeout-ms');
    const { code, stderr } = await program.stop();
    expect([code, stderr]).toEqual([0, []]);
  });
});

describe('a worker that is first', () => {
  test('keeps trying and serves once the plane appears', async () => {
    const plane = await freePlane();
    const early = world.start(['--role=generate', `--request-plane-uri=${plane}`]);
    await early.line('unreachable');
    await early.line('Worker started...');
    await early.line('Waiting to be registered: request plane');
    const registered = 'Workers started ... press Ctrl-C to Exit';
    expect(early.lines().join('\n')).not.toContain(registered);
    const context = world.start([
      '--role=context',
      '--initialize-request-plane',
      `--request-plane-uri=${plane}`,
    ]);
    const api = await startApi(world, plane);
    await untilReady(api.url);
    await early.line(registered);
    await context.line(registered);
    const { body } = await ask(api.url, hello);
    expect(body.choices[0]?.message.content).toBe(answer);
    for (const program of [api.program, early, context]) {
      expect((await program.stop()).code).toBe(0);
    }
  });

  test('ends on SIGTERM without ever having seen one', async () => {
    const worker = world.start(['--role=context', `--request-plane-uri=${await freePlane()}`]);
    await worker.line('Worker started...');
    expect(world.arenas()).toHaveLength(1);
    expect((await worker.stop()).code).toBe(0);
    expect(world.leftovers()).toEqual([]);
  });
});

describe('a request plane that goes away and comes back', () => {
  test('is found again by gateway and workers', async () => {
    const plane = await freePlane();
    const flags = [`--request-plane-uri=${plane}`];
    const first = world.start(['--role=context', '--initialize-request-plane', ...flags]);
    const generate = world.start(['--role=generate', ...flags]);
    const api = await startApi(world, plane);
    await untilReady(api.url);
    expect((await ask(api.url, hello)).response.status).toBe(200);
    const before = api.program.lines().length;
    first.signal('SIGKILL');
    await api.program.line('unreachable', before);
    expect((await fetch(`${api.url}/health`)).status).toBe(503);
    const waiting = ask(api.url, hello);
    const second = world.start(['--role=context', '--initialize-request-plane', ...flags]);
    const { response, body } = await waiting;
    expect([response.status, body.error?.message]).toEqual([200, undefined]);
    expect(body.choices[0]?.message.content).toBe(answer);
    for (const program of [api.program, generate, second]) {
      expect((await program.stop()).code).toBe(0);
    }
  });
});

testNothingLeft(world);
