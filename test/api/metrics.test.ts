// GET /metrics of a gateway after requests of every fate.

import { describe, expect, test } from 'bun:test';
import { Fault } from '../../src/std/fault.ts';
import { prometheusMeter } from '../../src/telemetry/prometheus.ts';
import { heartbeat } from '../plane/make.ts';
import { samplesOf } from '../telemetry/samples.ts';
import { fails, says, stalls } from './fake-cluster.ts';
import { eventsOf, openWorld, type World } from './world.ts';

const open = (script = says('hello'), options: Parameters<typeof openWorld>[1] = {}) =>
  openWorld(script, { meter: prometheusMeter('api'), ...options });

async function samples(world: World) {
  const response = await world.fetch('/metrics');
  expect(response.headers.get('content-type')).toStartWith('text/plain; version=0.0.4');
  return samplesOf(await response.text());
}

const requests = (code: number, route = 'disaggregated', model = 'llama') =>
  `tdist_requests_total{model="${model}",route="${route}",code="${code}"}`;

describe('/metrics', () => {
  test('answers, streamed and not, with their tokens and times', async () => {
    await using world = open();
    expect((await world.chat()).status).toBe(200);
    await eventsOf(await world.chat({ stream: true }));
    const found = await samples(world);
    expect(found.get(requests(200))).toBe(2);
    expect(found.get('tdist_generation_tokens_total')).toBe(2 * 'hello'.length);
    const promptIds = world.cluster.requests[0]?.promptIds.length ?? 0;
    expect(found.get('tdist_prompt_tokens_total')).toBe(2 * promptIds);
    expect(found.get('tdist_cached_tokens_total')).toBe(2 * 3);
    for (const name of ['queue', 'time_to_first_token', 'e2e_request_latency']) {
      expect(found.get(`tdist_${name}_seconds_count`)).toBe(2);
    }
    expect(found.get('tdist_queue_seconds_sum')).toBeCloseTo(0.002);
    expect(found.get('tdist_inter_token_latency_seconds_count')).toBe(2 * ('hello'.length - 1));
    expect(found.get('tdist_running_requests')).toBe(0);
    expect(found.get('tdist_waiting_requests')).toBe(0);
    expect(found.get('tdist_process_resident_bytes')).toBeGreaterThan(1e6);
  });

  test('refusals by reason; a name that nobody serves becomes no label', async () => {
    await using world = open(fails('', new Fault('no_worker', 'gone')));
    await world.chat({ model: 'no such model' });
    await world.chat({ temperature: 9 });
    await world.chat();
    await world.chat({}, { headers: { timeout: 'x' } });
    const found = await samples(world);
    expect(found.get(requests(404, 'none', ''))).toBe(1);
    expect(found.get(requests(400, 'none', ''))).toBe(2);
    expect(found.get(requests(503, 'none'))).toBe(1);
    expect(found.get('tdist_rejections_total{reason="model_not_found"}')).toBe(1);
    expect(found.get('tdist_rejections_total{reason="invalid_request"}')).toBe(2);
    expect(found.get('tdist_rejections_total{reason="no_worker"}')).toBe(1);
    expect([...found.keys()].join()).not.toContain('no such model');
  });

  test('a full queue refuses in the name of the model, also of one that is not named', async () => {
    await using world = open(stalls(''), { queueLimit: 1 });
    const left = new AbortController();
    const waiting = world.chat({}, { signal: left.signal }).catch(() => undefined);
    await world.cluster.asked.promise;
    for (const model of ['llama', '', 'no such model']) {
      expect((await world.chat({ model })).status).toBe(429);
    }
    const found = await samples(world);
    expect(found.get(requests(429, 'none'))).toBe(2);
    expect(found.get(requests(429, 'none', ''))).toBe(1);
    expect(found.get('tdist_rejections_total{reason="queue_full"}')).toBe(3);
    left.abort();
    await waiting;
  });

  test('an answer that breaks off, streamed and not', async () => {
    await using world = open(fails('he', new Fault('engine', 'broken')));
    await world.chat();
    await eventsOf(await world.chat({ stream: true }));
    const found = await samples(world);
    expect(found.get(requests(500))).toBe(2);
    expect(found.has('tdist_rejections_total{reason="engine"}')).toBeFalse();
    expect(found.get('tdist_e2e_request_latency_seconds_count')).toBe(0);
  });

  test('what waits, what runs, and whose client left when', async () => {
    await using world = open(stalls(''));
    const left = new AbortController();
    const waiting = world.chat({}, { signal: left.signal }).catch(() => undefined);
    await world.cluster.asked.promise;
    expect((await samples(world)).get('tdist_waiting_requests')).toBe(1);
    left.abort();
    await waiting;
    await world.cluster.cancelled.promise;

    world.cluster.script = stalls('hi');
    const leaving = new AbortController();
    const response = await world.chat({ stream: true }, { signal: leaving.signal });
    const running = await samples(world);
    expect(running.get('tdist_running_requests')).toBe(1);
    expect(running.get('tdist_cancellations_total{phase="queue"}')).toBe(1);
    leaving.abort();
    await response.text().catch(() => undefined);
    let found = await samples(world);
    while (found.get('tdist_running_requests') !== 0) found = await samples(world);
    expect(found.get('tdist_cancellations_total{phase="stream"}')).toBe(1);
    expect(found.get(requests(499))).toBe(1);
    expect(found.get(requests(499, 'none'))).toBe(1);
  });

  test('workers that are up; who has gone is shown no more', async () => {
    await using world = open();
    const up = async () =>
      [...(await samples(world))].filter(([key]) => key.startsWith('tdist_worker_up'));
    const at = { sinceMs: 0, heardMs: 0 };
    const g = { ...at, heartbeat: heartbeat('g', 'generate') };
    const c = { ...at, heartbeat: heartbeat('c', 'context', { state: 'draining' }) };
    world.cluster.workers = [g, c];
    const name = (role: string, worker: string) =>
      `tdist_worker_up{role="${role}",worker="${worker}",model="llama"}`;
    expect(await up()).toEqual([
      [name('generate', 'g'), 1],
      [name('context', 'c'), 0],
    ]);
    world.cluster.workers = [c];
    expect(await up()).toEqual([[name('context', 'c'), 0]]);
  });

  test('a server that shuts down counts what it refuses', async () => {
    await using world = open(stalls('h'));
    const response = await world.chat({ stream: true });
    const stopped = world.server.stop({ limitMs: 2000 });
    expect((await world.chat()).status).toBe(503);
    const found = await samples(world);
    expect(found.get('tdist_rejections_total{reason="draining"}')).toBe(1);
    await response.body?.cancel();
    await stopped;
  });
});
