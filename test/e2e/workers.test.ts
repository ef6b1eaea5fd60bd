// A cluster that changes while it runs: two workers of each kind, one that joins, one that is drained
// and leaves, and what metrics and lists say of it.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { WorkerEntry } from '../../src/cli/workers-api.ts';
import { freePort } from '../../src/role/free-port.ts';
import { samplesOf } from '../telemetry/samples.ts';
import { ask, jsonOf, question, stream } from './chat.ts';
import {
  type Deployment,
  freePlane,
  planeAddress,
  startAll,
  startApi,
  untilReady,
} from './deployment.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const timed = { headers: { 'x-tdist-timing': '1' } };
const peru = question('What is the capital of Peru?');
const counting = question('Count from 1 to 20.');
const counted = '1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20';

async function workersOf(url: string): Promise<readonly WorkerEntry[]> {
  const list = await jsonOf<{ data: WorkerEntry[] }>(await fetch(`${url}/workers`));
  return list.data;
}

async function control(url: string, id: string, action: 'drain' | 'resume'): Promise<WorkerEntry> {
  const response = await fetch(`${url}/workers/${id}/${action}`, { method: 'POST' });
  expect(response.status).toBe(200);
  return await jsonOf<WorkerEntry>(response);
}

async function metricsOf(address: string): Promise<ReadonlyMap<string, number>> {
  return samplesOf(await (await fetch(`${address}/metrics`)).text());
}

const idOf = (line: string): string => /worker=(\S+)/.exec(line)?.[1] ?? 'none';

describe('--role all with two workers of each kind', () => {
  let all: Deployment;
  let metricsPorts: readonly number[];

  beforeAll(async () => {
    const first = await freePorts(4);
    metricsPorts = [first, first + 1, first + 2, first + 3];
    all = await startAll(world, [
      '--context-worker-count=2',
      '--generate-worker-count=2',
      `--starting-metrics-port=${first}`,
    ]);
  });
  afterAll(async () => {
    expect((await all.program.stop()).code).toBe(0);
  });

  test('all four are listed and ready, and all serve', async () => {
    const workers = await workersOf(all.url);
    expect(workers.map(({ role, state }) => `${role} ${state}`).sort()).toEqual([
      'context ready',
      'context ready',
      'generate ready',
      'generate ready',
    ]);
    expect(new Set(workers.map(({ pid }) => pid)).size).toBe(4);
    const seen = new Set<string | null | undefined>();
    await until('an answer by each of the four', async () => {
      const answers = await Promise.all(
        [peru, peru, peru, peru].map((body) => ask(all.url, body, timed)),
      );
      for (const { body } of answers) {
        expect(body.choices[0]?.message.content).toBe('The capital of Peru is Lima.');
        seen.add(body.usage.tdist?.context_worker).add(body.usage.tdist?.generate_worker);
      }
      return seen.size === 4;
    });
    expect([...seen].sort()).toEqual(workers.map(({ id }) => id).sort());
  });

  test('a drained worker gets nothing new, is safe to stop, and takes work again', async () => {
    const generates = (await workersOf(all.url)).filter(({ role }) => role === 'generate');
    const [drained, other] = generates.map(({ id }) => id);
    if (drained === undefined || other === undefined) throw new Error('two are there');
    expect((await control(all.url, drained, 'drain')).state).toBe('draining');
    const generateWorker = async () =>
      (await ask(all.url, peru, timed)).body.usage.tdist?.generate_worker;
    for (let count = 0; count < 4; count++) expect(await generateWorker()).toBe(other);
    await until('it to be safe to stop', async () => {
      const found = (await workersOf(all.url)).find(({ id }) => id === drained);
      return found?.safe_to_stop ?? false;
    });
    const down = `tdist_worker_up{role="generate",worker="${drained}",model="llama"}`;
    expect((await metricsOf(all.url)).get(down)).toBe(0);
    expect((await control(all.url, drained, 'resume')).state).toBe('ready');
    await until('the resumed worker to serve', async () => (await generateWorker()) === drained);
  });

  test('the tool does the same', async () => {
    const tool = async (...words: string[]) =>
      await world.run(['workers', ...words], { env: { TDIST_API_URL: all.url } });
    const list = await tool();
    expect([list.code, list.stdout.length]).toEqual([0, 5]);
    const id = (await workersOf(all.url)).find(({ role }) => role === 'context')?.id ?? 'none';
    const drained = await tool('drain', id.slice(0, 14), '--wait');
    expect([drained.code, drained.stdout[1]]).toEqual([
      0,
      expect.stringContaining('drained, safe to stop'),
    ]);
    const resumed = await tool('resume', id, '--json');
    expect(JSON.parse(resumed.stdout.join('\n'))).toMatchObject([{ id, state: 'ready' }]);
    const unknown = await tool('drain', 'nobody');
    expect([unknown.code, unknown.stdout, unknown.stderr.length]).toEqual([1, [], 1]);
    expect((await tool('drain')).code).toBe(2);
  });

  test('metrics of gateway and workers agree with what was done', async () => {
    const { usage, pieces } = await stream(
      all.url,
      { ...counting, stream_options: { include_usage: true } },
      timed,
    );
    const api = await metricsOf(all.url);
    const done = api.get('tdist_requests_total{model="llama",route="disaggregated",code="200"}');
    expect(done).toBeGreaterThanOrEqual(9);
    expect(api.get('tdist_time_to_first_token_seconds_count')).toBe(done ?? 0);
    expect(api.get('tdist_e2e_request_latency_seconds_count')).toBe(done ?? 0);
    expect(api.get('tdist_generation_tokens_total')).toBeGreaterThan(pieces.length);
    expect(api.get('tdist_running_requests')).toBe(0);
    expect([...api.keys()].filter((key) => key.startsWith('tdist_worker_up'))).toHaveLength(4);

    const workers = await Promise.all(
      metricsPorts.map((port) => metricsOf(`http://127.0.0.1:${port}`)),
    );
    const sum = (name: string) =>
      workers.reduce((total, samples) => total + (samples.get(name) ?? 0), 0);
    expect(sum('tdist_prefill_seconds_count')).toBe(done ?? 0);
    expect(sum('tdist_kv_transfer_seconds_count{path="shm"}')).toBe(done ?? 0);
    expect(sum('tdist_kv_transfer_bytes_total{path="shm"}')).toBeGreaterThan(
      usage?.tdist?.kv_bytes ?? Number.NaN,
    );
    expect(sum('tdist_generation_tokens_total')).toBe(
      api.get('tdist_generation_tokens_total') ?? 0,
    );
    for (const samples of workers) {
      expect(samples.get('tdist_process_resident_bytes')).toBeGreaterThan(10e6);
      expect(samples.get('tdist_preemptions_total')).toBe(0);
    }
    // Idle: every block of the two arenas is free again, once the engines have said so.
    await until('all blocks to be free', async () => {
      const now = await Promise.all(
        metricsPorts.map((port) => metricsOf(`http://127.0.0.1:${port}`)),
      );
      const of = (state: string) =>
        now.reduce((total, one) => total + (one.get(`tdist_kv_blocks{state="${state}"}`) ?? 0), 0);
      return of('free') > 0 && of('held') + of('leased') === 0;
    });
  });

  test('a worker of this user, started by hand, joins the same cluster', async () => {
    const plane = await planeAddress(all.program);
    const program = world.start(['--role=generate', `--request-plane-uri=${plane}`]);
    const id = idOf(await program.line('Worker started... worker='));
    await until('it to be listed', async () =>
      (await workersOf(all.url)).some((worker) => worker.id === id && worker.state === 'ready'),
    );
    expect((await program.stop()).code).toBe(0);
    await until('it to be gone', async () =>
      (await workersOf(all.url)).every((worker) => worker.id !== id),
    );
  });
});

describe('workers come and go while requests stream', () => {
  test('no request fails when they are drained before they are stopped', async () => {
    const plane = await freePlane();
    const flag = `--request-plane-uri=${plane}`;
    const context = world.start(['--role=context', '--initialize-request-plane', flag]);
    let generate = world.start(['--role=generate', flag]);
    const api = await startApi(world, plane);
    await untilReady(api.url);
    let isOver = false;
    let answers = 0;
    const client = async (): Promise<void> => {
      while (!isOver) {
        const { text, finish, error } = await stream(api.url, counting);
        expect([error, finish, text]).toEqual([null, 'stop', counted]);
        answers++;
      }
    };
    const clients = Promise.all([client(), client(), client()]);
    for (let round = 0; round < 2; round++) {
      const next = world.start(['--role=generate', flag]);
      const nextId = idOf(await next.line('Worker started... worker='));
      const oldId = idOf(await generate.line('Worker started... worker='));
      await until('the new one to be ready', async () =>
        (await workersOf(api.url)).some(({ id, state }) => id === nextId && state === 'ready'),
      );
      if (round === 0) {
        const tool = ['workers', 'drain', oldId, '--wait', '--api-url', api.url];
        expect((await world.run(tool)).code).toBe(0);
      }
      // Drained or not: SIGTERM itself lets what runs finish.
      expect((await generate.stop()).code).toBe(0);
      generate = next;
    }
    const before = answers;
    await until('answers by the last one', () => answers > before + 3);
    isOver = true;
    await clients;
    // The two that left are not shown any longer.
    const up = [...(await metricsOf(api.url)).keys()].filter((key) => key.includes('worker_up'));
    expect(up).toHaveLength(2);
    for (const program of [api.program, generate, context]) {
      expect((await program.stop()).code).toBe(0);
    }
  });
});

/** The first of `count` ports in a row that nobody uses at this moment. */
async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = await freePort('127.0.0.1');
    if (first + count > 65_535) continue;
    const servers = [];
    try {
      for (let at = 0; at < count; at++) {
        const fetch = (): Response => new Response();
        servers.push(Bun.serve({ hostname: '127.0.0.1', port: first + at, fetch }));
      }
      return first;
    } catch {
      // one of them is taken: try elsewhere
    } finally {
      for (const server of servers) await server.stop(true);
    }
  }
}

testNothingLeft(world);
