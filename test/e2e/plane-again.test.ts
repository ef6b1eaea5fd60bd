// The request plane dies under a whole deployment: its nats-server comes back, nobody else is restarted,
// answers under way end well or by name; and what cannot live is given up by name.

import { describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { openNatsBus } from '../../src/plane/nats.ts';
import { realClock } from '../../src/std/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { startNatsProcess } from '../plane/nats-process.ts';
import { ask, question, type Streamed, stream } from './chat.ts';
import { freePlane, planeAddress, planeOf, startAll, startApi, untilReady } from './deployment.ts';
import { procText, storesIn } from './leftover.ts';
import type { Exit, Program } from './program.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const temporary = world.path('tmp');
const timed = { headers: { 'x-tdist-timing': '1' } };
const counting = question('Count from 1 to 60.', { max_tokens: 300 });
const counted = Array.from({ length: 60 }, (_, i) => i + 1).join(', ');
const peru = question('What is the capital of Peru?');
/** An outage of a second, the gateway's patience after it, and a slow machine. */
const answerMs = 60_000;

type Child = { readonly pid: number; readonly command: string };

function childrenOf({ pid }: Program): Child[] {
  const pids = procText(String(pid), `task/${pid}/children`).trim().split(/\s+/).filter(Boolean);
  return pids.map((child) => ({
    pid: Number(child),
    command: procText(child, 'cmdline').replaceAll('\0', ' '),
  }));
}

const isNats = ({ command }: Child): boolean => command.includes('/nats.conf');
const workersAndApi = (owner: Program): Child[] =>
  childrenOf(owner).filter((child) => !isNats(child));

async function natsOf(owner: Program): Promise<number> {
  const found = await until('a nats-server', () => childrenOf(owner).find(isNats) ?? null);
  return found.pid;
}

/** Well, or broken off with a name and the end that a stream must have. */
function endOf({ error, text, finish, data }: Streamed): string {
  expect(data.at(-1)).toBe('[DONE]');
  if (error === null) {
    expect([finish, text]).toEqual(['stop', counted]);
    return 'well';
  }
  expect(error.message.length).toBeGreaterThan(10);
  return `${error.type} ${error.code}`;
}

/** Four clients that ask again and again, and how each answer ended. */
function startLoad(url: string) {
  const ends: string[] = [];
  let isOver = false;
  const client = async (): Promise<void> => {
    while (!isOver) {
      const beganMs = realClock.nowMs();
      ends.push(
        await stream(url, counting).then(endOf, (error: Error) => {
          // Refused before it began: a status with OpenAI's error in it, never a connection cut short.
          const refusal = /^status (\d+): (\{.*\})/s.exec(error.message);
          if (refusal === null) throw error;
          return `${refusal[1]} ${JSON.parse(refusal[2] ?? '').error.code}`;
        }),
      );
      expect(realClock.nowMs() - beganMs).toBeLessThan(answerMs);
    }
  };
  const clients = Promise.all([client(), client(), client(), client()]);
  return {
    ends,
    async stop(): Promise<void> {
      isOver = true;
      await clients;
    },
  };
}

async function isOverObjects(url: string): Promise<boolean> {
  const { response, body } = await ask(url, peru, timed);
  if (response.status !== 200) return false;
  expect(body.choices[0]?.message.content).toBe('The capital of Peru is Lima.');
  return body.usage.tdist?.kv_path === 'object';
}

describe('nats-server is killed under load', () => {
  test('and again with its store gone: no other process ends, answers end well or by name', async () => {
    await using all = await startAll(world, ['--kv-path=object']);
    const { program, url } = all;
    const before = workersAndApi(program);
    expect(before).toHaveLength(3);
    const load = startLoad(url);
    const { ends } = load;
    await until('an answer over the object store', () => isOverObjects(url));
    for (const emptied of [false, true]) {
      const answered = ends.length;
      await until('answers under way', () => ends.length > answered + 4);
      const nats = await natsOf(program);
      const from = program.lines().length;
      if (emptied) for (const store of storesIn(temporary)) rmSync(store, { recursive: true });
      process.kill(nats, 'SIGKILL');
      await program.line('nats-server died, starting it again', from);
      await program.line('is back', from);
      await untilReady(url);
      await until('an answer over the object store', () => isOverObjects(url));
    }
    await load.stop();
    expect(ends.filter((end) => end === 'well').length).toBeGreaterThan(8);
    expect(workersAndApi(program)).toEqual(before);
    const lines = program.lines().join('\n');
    expect(lines).not.toMatch(/(context|generate|api)\S* died|^\s+at /m);
    expect((await program.stop()).code).toBe(0);
    expect(world.leftovers()).toEqual([]);
  });

  test('a foreign one, for so long that nobody is ready, and it forgets everything', async () => {
    const config = (name: string): string => `jetstream { store_dir: "${world.path(name)}" }`;
    const first = await startNatsProcess(world.folder, config('store-1'));
    const flags = ['--no-initialize-request-plane', `--request-plane-uri=localhost:${first.port}`];
    await using all = await startAll(world, ['--kv-path=object', ...flags]);
    const { program, url } = all;
    const before = workersAndApi(program);
    const load = startLoad(url);
    await until('an answer over the object store', () => isOverObjects(url));
    const from = program.lines().length;
    await first.kill();
    await until('503', async () => (await fetch(`${url}/health`)).status === 503);
    for (const role of ['api', 'context', 'generate']) {
      await program.line(new RegExp(`\\[${role}\\S*\\] request plane .* unreachable`), from);
    }
    const second = await startNatsProcess(world.folder, config('store-2'), first.port);
    try {
      await untilReady(url);
      await until('an answer over the object store', () => isOverObjects(url));
      const answered = load.ends.length;
      await until('answers under load', () => load.ends.length > answered + 4);
      await load.stop();
      expect(load.ends.filter((end) => end === 'well').length).toBeGreaterThan(4);
      expect(workersAndApi(program)).toEqual(before);
      expect((await program.stop()).code).toBe(0);
    } finally {
      await second.kill();
    }
  });

  test('started by a worker, without credentials: the same for all who came by hand', async () => {
    const plane = await freePlane();
    const flag = `--request-plane-uri=${plane}`;
    await using context = world.start(['--role=context', '--initialize-request-plane', flag]);
    await using generate = world.start(['--role=generate', flag]);
    await using api = await startApi(world, plane);
    await untilReady(api.url);
    const broken = stream(api.url, counting).then(endOf);
    await generate.line('Worker started...');
    process.kill(await natsOf(context), 'SIGKILL');
    await context.line('is back');
    expect(await broken).toBeString();
    await until('an answer', async () => (await ask(api.url, peru)).response.status === 200);
    const bus = openNatsBus({ uris: [plane], name: 'test', log: silentLog });
    await until('anybody to be let in', () => bus.trouble() === null);
    await bus.close();
  });
});

describe('what dies each time it is started', () => {
  /** Kills such a child as soon as there is one, until the supervisor has ended. */
  async function killEach(program: Program, fits: (child: Child) => boolean): Promise<Exit> {
    await until(
      'the supervisor to give up',
      () => {
        for (const { pid } of childrenOf(program).filter(fits)) process.kill(pid, 'SIGKILL');
        return !existsSync(`/proc/${program.pid}`);
      },
      150_000, // half a minute of pauses, and a machine with other things to do
    );
    return await program.exit();
  }

  test('is given up by name, and all end in order', async () => {
    const one = await startAll(world);
    const two = await startAll(world);
    const [nats, worker] = await Promise.all([
      killEach(one.program, isNats),
      killEach(two.program, ({ command }) => command.includes('--role=generate')),
    ]);
    expect([nats.code, worker.code]).toEqual([1, 1]);
    const errorsOf = ({ stdout }: Exit): string[] =>
      stdout.filter((line) => line.includes('ERROR [all]'));
    expect(errorsOf(nats)).toHaveLength(1);
    expect(errorsOf(nats)[0]).toMatch(
      /nats-server at nats:\/\/\S+ ended 8 times within \d+ s; the last time: .*SIGKILL.*; giving up: .*--no-initialize-request-plane/,
    );
    expect(errorsOf(worker)).toHaveLength(1);
    expect(errorsOf(worker)[0]).toMatch(
      /generate-1 ended 8 times within \d+ s, the last time with SIGKILL; .*; giving up: .*--role generate/,
    );
    await world.nothingLeft();
  });
});

describe('the nats-server of --role all', () => {
  test('lets nobody in who does not know its token, which is nowhere to be read', async () => {
    await using all = await startAll(world, ['--log-level=debug']);
    const { program } = all;
    const token = new URL(await planeOf(program)).username;
    expect(token).toMatch(/^[0-9a-f]{64}$/);
    const address = await planeAddress(program);
    const bus = openNatsBus({ uris: [address], name: 'test', log: silentLog });
    await until('the refusal', () => bus.trouble()?.includes('authorization violation') === true);
    await bus.close();
    for (const { command } of world.processes()) expect(command).not.toContain(token);
    expect(program.lines().join('\n')).not.toContain(token);
    const [store = ''] = storesIn(temporary);
    for (const name of readdirSync(store)) {
      const mode = Bun.spawnSync(['stat', '-c', '%a', join(store, name)])
        .stdout.toString()
        .trim();
      if (name !== 'jetstream') expect([name, mode]).toEqual([name, '600']);
    }
    const loopback = readFileSync(join(store, 'nats.conf'), 'utf8');
    expect(loopback).toContain('host: "127.0.0.1"');
    expect((await program.stop()).code).toBe(0);
  });

  test('with credentials in its address asks for these', async () => {
    const uri = '--request-plane-uri=nats://me:geheim@localhost:0';
    await using program = world.start(['--role=all', '--api-server-port=0', uri]);
    await program.line('Ready: http://');
    const plane = await planeOf(program);
    expect(plane).toContain('//me:geheim@');
    const bus = openNatsBus({ uris: [plane], name: 'test', log: silentLog });
    await until('to be let in', () => bus.trouble() === null);
    await bus.close();
    expect(program.lines().join('\n')).not.toContain('geheim');
    expect((await program.stop()).code).toBe(0);
  });
});

testNothingLeft(world);
