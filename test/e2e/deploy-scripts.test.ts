// The scripts of deploy/: the answer, one line for what is wrong, and that nothing outlives them, however
// they end. Each test has a run folder, ports and a namespace of its own.

import { expect, test } from 'bun:test';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { freePort } from '../../src/role/free-port.ts';
import type { Program } from './program.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const folder = resolve(import.meta.dir, '../../deploy');
const disaggregated = 'deploy_llama_8b_disaggregated.sh';
let count = 0;

type Env = Readonly<Record<string, string>>;

async function settings(more: Env = {}): Promise<Env> {
  const runFolder = world.path(`run-${count++}`);
  mkdirSync(runFolder, { mode: 0o700 });
  return {
    TDIST: world.executable,
    TDIST_RUN_DIR: runFolder,
    PLANE: `localhost:${await freePort('localhost')}`,
    API_PORT: String(await freePort('localhost')),
    ...more,
  };
}

function script(name: string, env: Env, args: readonly string[] = []): Program {
  return world.spawn([resolve(folder, name), ...args], { ...world.env, ...env });
}

async function serving(env: Env): Promise<Program> {
  const program = script(disaggregated, env);
  await program.line('Serving on http://');
  return program;
}

function textOf(lines: readonly string[]): string {
  return lines
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)).choices[0]?.delta.content ?? '')
    .join('');
}

const pidFiles = (env: Env): string[] => readdirSync(env['TDIST_RUN_DIR'] ?? '');

test.each([disaggregated, 'deploy_llama_8b_baseline.sh'])(
  '%s answers and, with ONCE, ends',
  async (name) => {
    const env = await settings({ ONCE: '1', NAMESPACE: 'mine', WORKER_NAME: 'named' });
    const { code, stdout } = await script(name, env).exit();
    expect([code, textOf(stdout)]).toEqual([0, 'The capital of France is Paris.']);
    expect(pidFiles(env)).toEqual([]);
    await world.nothingLeft();
  },
);

test('teardown.sh --help says what it does, and does nothing', async () => {
  const env = await settings();
  writeFileSync(`${env['TDIST_RUN_DIR']}/deploy-1-1-api.pid`, 'not read');
  const { code, stdout } = await script('teardown.sh', env, ['--help']).exit();
  expect([code, stdout[0]]).toEqual([0, expect.stringMatching(/^Usage: .*teardown\.sh$/)]);
  expect(stdout.join('\n')).toContain('TEARDOWN_S');
  expect(pidFiles(env).length).toBe(1);
});

test('Ctrl-C ends a deployment, and teardown finds nothing more', async () => {
  const env = await settings();
  const program = await serving(env);
  program.signal('SIGINT');
  expect((await program.exit()).code).toBe(0);
  const { code, stdout } = await script('teardown.sh', env).exit();
  expect([code, stdout]).toEqual([0, [expect.stringContaining('nothing runs')]]);
  await world.nothingLeft();
});

test('teardown.sh stops a deployment in order', async () => {
  const env = await settings({ GENERATE_WORKERS: '2' });
  const program = await serving(env);
  const { code, stdout, stderr } = await script('teardown.sh', env).exit();
  expect([code, stderr]).toEqual([0, []]);
  expect(stdout).toEqual([
    expect.stringMatching(/^stopped: script .*, api .*, generate .*, context /),
  ]);
  expect((await program.exit()).code).toBe(0);
  expect(pidFiles(env)).toEqual([]);
  await world.nothingLeft();
});

test('a script killed outright leaves nothing behind teardown.sh', async () => {
  const env = await settings();
  const program = script(disaggregated, env);
  await until('a process with a file of its own', () => pidFiles(env).length > 1);
  program.signal('SIGKILL');
  const { code } = await script('teardown.sh', env).exit();
  expect(code).toBe(0);
  expect(pidFiles(env)).toEqual([]);
  await world.nothingRuns();
});

test('what does not end in time is killed, with all below it', async () => {
  const env = await settings({ CONTEXT_WORKERS: '2' });
  const program = await serving(env);
  const workers = () =>
    world.processes().filter(({ command }) => command.includes('--role=context'));
  // One may still be on its way from fork to its own command line.
  await until('both context workers', async () => workers().length === 2);
  for (const { pid } of workers()) process.kill(pid, 'SIGSTOP');
  const { code, stdout } = await script('teardown.sh', { ...env, TEARDOWN_S: '1' }).exit();
  expect([code, stdout.join('\n')]).toEqual([
    0,
    expect.stringMatching(/killed after 1 s: .*context/),
  ]);
  await program.exit();
  await world.nothingRuns();
});

test('a process that only has the number of one of ours is left alone', async () => {
  const env = await settings();
  await using other = world.spawn(['/usr/bin/sleep', '600'], world.env);
  const file = `${env['TDIST_RUN_DIR']}/deploy-1-001-api.pid`;
  writeFileSync(file, `${other.pid} 1 free\n`);
  const { code, stdout } = await script('teardown.sh', env).exit();
  expect([code, stdout]).toEqual([0, [expect.stringContaining('nothing runs')]]);
  expect(pidFiles(env)).toEqual([]);
  expect(world.processes().map(({ pid }) => pid)).toContain(other.pid);
});

test('a missing executable, and a taken port, are one line before anything starts', async () => {
  const env = await settings();
  const missing = await script(disaggregated, { ...env, TDIST: world.path('none') }).exit();
  expect([missing.code, missing.stdout]).toEqual([1, []]);
  expect(missing.stderr).toEqual([expect.stringContaining('npm run build')]);
  const server = createServer().listen(Number(env['API_PORT']), '127.0.0.1');
  const taken = await script(disaggregated, env).exit();
  server.close();
  expect([taken.code, taken.stdout]).toEqual([1, []]);
  expect(taken.stderr).toEqual([expect.stringMatching(/port \d+ on 127.0.0.1.*API_PORT/)]);
});

test('a node whose head is not there says so, and gives up', async () => {
  const env = await settings({ READY_S: '1' });
  const args = ['generate', '--head-url', `nats://127.0.0.1:${await freePort('localhost')}`];
  const { code, stderr } = await script(disaggregated, env, args).exit();
  expect([code, stderr.at(-1)]).toEqual([1, expect.stringContaining('start the head node')]);
  await world.nothingLeft();
});

testNothingLeft(world);
