// `tdist doctor` of the executable: before anything runs, beside a deployment, with a plane that is not
// there, with a port that is taken.

import { expect, test } from 'bun:test';
import { createServer } from 'node:net';
import type { Finding } from '../../src/doctor/finding.ts';
import { freePort } from '../../src/role/free-port.ts';
import { freePlane, planeAddress, startAll } from './deployment.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();

async function doctor(...flags: readonly string[]) {
  const { code, stdout, stderr } = await world.run(['doctor', '--json', ...flags]);
  expect(stderr).toEqual([]);
  const { ok, checks }: { ok: boolean; checks: Finding[] } = JSON.parse(stdout.join('\n'));
  expect(code).toBe(ok ? 0 : 1);
  for (const { status, mend } of checks) expect(mend === null).toBe(status === 'ok');
  const of = (status: Finding['status']): string[] =>
    checks.filter((check) => check.status === status).map(({ name }) => name);
  const find = (name: string) => checks.find((check) => check.name === name);
  return { ok, failed: of('fail'), warned: of('warn'), good: of('ok'), find };
}

const apiPort = async () => `--api-server-port=${await freePort('127.0.0.1')}`;

test('before anything runs all is well, and NATS is said to be ours to start', async () => {
  const plane = `--request-plane-uri=${await freePlane()}`;
  const found = await doctor('--role=all', plane, await apiPort());
  expect(found.failed).toEqual([]);
  expect(found.warned).toContain('nats');
  for (const name of ['api port', 'shm', 'memory', 'onnxruntime', 'model', 'cache']) {
    expect(found.good).toContain(name);
  }
});

test('a plane that is named and not there fails', async () => {
  const plane = `--request-plane-uri=${await freePlane()}`;
  const found = await doctor(plane, await apiPort());
  expect(found.failed).toEqual(['nats']);
  expect(found.find('nats')?.finding).toContain('connection refused');
});

test('beside a deployment: its plane, JetStream, clock and workers; then its plane is stopped', async () => {
  const all = await startAll(world);
  const plane = `--request-plane-uri=${await planeAddress(all.program)}`;
  const found = await doctor(plane, await apiPort());
  expect(found.failed).toEqual([]);
  for (const name of ['nats', 'rights', 'max_payload', 'jetstream', 'clock', 'workers']) {
    expect(found.good).toContain(name);
  }
  expect(found.find('workers')?.finding).toMatch(/^2 alive/);
  const other = await doctor(plane, await apiPort(), '--quantization=int8');
  expect(other.failed).toEqual(['models']);
  const taken = await doctor('--role=all', plane, `--api-server-port=${new URL(all.url).port}`);
  expect(taken.find('api port')).toMatchObject({
    status: 'warn',
    finding: expect.stringMatching(/tdist gateway .*\(pid \d+\)/),
  });
  expect(taken.find('nats')?.status).toBe('warn');
  await all.program.stop();
  expect((await doctor(plane, await apiPort())).failed).toEqual(['nats']);
});

test('a port that another program has, and a model that is not there', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const plane = `--request-plane-uri=${await freePlane()}`;
  const flags = ['--role=all', plane, `--api-server-port=${port}`];
  const found = await doctor(...flags, '--model-name=/no/such/folder');
  server.close();
  expect(found.failed).toEqual(['api port', 'model']);
  expect(found.find('api port')?.finding).toContain(`(pid ${process.pid})`);
});

test('as a table; a wrong flag is a usage fault', async () => {
  const plane = `--request-plane-uri=${await freePlane()}`;
  // Whoever serves on the usual port here would be a warning more.
  const flags = ['doctor', '--role=api', plane, await apiPort()];
  const { code, stdout } = await world.run(flags);
  expect([code, stdout.at(-1)]).toEqual([1, expect.stringMatching(/\d ok, 0 warn, \d fail/)]);
  expect((await world.run(['doctor', '--bogus'])).code).toBe(2);
});

testNothingLeft(world);
