// A port that somebody else has: at the start one line with its mend (start-fault.test.ts has the gateway's
// and the request plane's), later no end of the deployment: it serves again once the port is free.

import { expect, test } from 'bun:test';
import { createServer, type Server } from 'node:net';
import { freePort } from '../../src/role/free-port.ts';
import { ask, question } from './chat.ts';
import { childOf, startAll, untilReady } from './deployment.ts';
import type { Program } from './program.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();

async function workersOf(program: Program): Promise<readonly number[]> {
  return await Promise.all(
    ['--role=context', '--role=generate'].map((role) => childOf(program, role)),
  );
}

async function occupy(port: number): Promise<Server & AsyncDisposable> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}

function portOf(server: Server): number {
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return address.port;
}

test('a worker’s port for metrics, at the start', async () => {
  await using server = await occupy(0);
  const port = portOf(server);
  const flags = ['--request-plane-uri=localhost:1', `--starting-metrics-port=${port}`];
  const { code, stderr } = await world.run(['--role=generate', ...flags]);
  expect([code, stderr]).toEqual([1, [expect.stringMatching(/^tdist: /)]]);
  for (const text of [`${port}`, '--starting-metrics-port']) expect(stderr[0]).toContain(text);
});

test('the gateway’s, while the supervisor starts it again', async () => {
  const port = await freePort('127.0.0.1');
  await using all = await startAll(world, [`--api-server-port=${port}`]);
  const { program, url } = all;
  const workers = await workersOf(program);
  const before = program.lines().length;
  program.signal('SIGSTOP');
  process.kill(await childOf(program, '--role=api'), 'SIGKILL');
  const thief = await until('the dead one’s port', () => occupy(port).catch(() => null));
  program.signal('SIGCONT');
  const line = await program.line(/^tdist: cannot listen on /, before);
  for (const text of [`${port}`, '--api-server-port']) expect(line).toContain(text);
  await new Promise((resolve) => thief.close(resolve));
  await untilReady(url);
  const { body } = await ask(url, question('What is the capital of Peru?'));
  expect(body.choices[0]?.message.content).toBe('The capital of Peru is Lima.');
  expect(await workersOf(program)).toEqual(workers);
  expect((await program.stop()).code).toBe(0);
});

testNothingLeft(world);
