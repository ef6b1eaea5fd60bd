// What a worker's metrics say after commands and events have passed, and the port they are read from.

import { describe, expect, test } from 'bun:test';
import { shmReceive, shmSend } from '../../src/kv/shm-path.ts';
import type { EngineEvent, Load } from '../../src/protocol/engine.ts';
import { serveMetrics } from '../../src/role/metrics-server.ts';
import { countSaved, meteredEngine } from '../../src/role/worker-metrics.ts';
import { metricsContentType, noMeter } from '../../src/telemetry/metric.ts';
import { prometheusMeter } from '../../src/telemetry/prometheus.ts';
import { request } from '../plane/cluster.ts';
import { FakeEngine, ticket } from '../plane/fake-engine.ts';
import { samplesOf } from '../telemetry/samples.ts';

function world() {
  const inner = new FakeEngine();
  const meter = prometheusMeter('worker');
  const engine = meteredEngine(inner, meter);
  const heard: EngineEvent[] = [];
  engine.listen((event) => heard.push(event));
  const value = async (name: string) => samplesOf(await meter.read()).get(name);
  return { inner, engine, meter, heard, value };
}

describe('meteredEngine', () => {
  test('passes everything on', () => {
    const { inner, engine, heard } = world();
    engine.submit({ type: 'abort', requestId: 'r' });
    inner.tokens('r', 0, [1]);
    expect(inner.types).toEqual(['abort']);
    expect(heard.map(({ type }) => type)).toEqual(['tokens']);
    expect(engine.load()).toEqual(inner.load());
  });

  test('tokens, prefill and hand-over', async () => {
    const { inner, value } = world();
    const tokens = { type: 'tokens', requestId: 'r', finish: null } as const;
    inner.emit({ ...tokens, first: 0, ids: [1, 2], timing: { queueMs: 1, prefillMs: 30 } });
    const timing = { kvPath: 'shm', kvBytes: 4096, transferMs: 2 } as const;
    inner.emit({ ...tokens, first: 2, ids: [3], timing });
    expect(await value('tdist_generation_tokens_total')).toBe(3);
    expect(await value('tdist_prefill_seconds_sum')).toBe(0.03);
    expect(await value('tdist_prefill_seconds_count')).toBe(1);
    expect(await value('tdist_kv_transfer_bytes_total{path="shm"}')).toBe(4096);
    expect(await value('tdist_kv_transfer_seconds_sum{path="shm"}')).toBe(0.002);
  });

  test('KV that could not be used is a failure by its reason, a cancelled request is none', async () => {
    const { inner, engine, value } = world();
    const fail = (code: string) => {
      engine.submit({ type: 'import', requestId: code, firstToken: 1, ticket });
      const refusal = { v: 1, ok: false, code, message: '' } as const;
      inner.emit({ type: 'imported', requestId: code, path: 'shm', refusal });
    };
    fail('transfer');
    fail('mismatch');
    fail('cancelled');
    const failures = 'tdist_kv_transfer_failures_total';
    expect(await value(`${failures}{path="shm",reason="transfer"}`)).toBe(1);
    expect(await value(`${failures}{path="shm",reason="mismatch"}`)).toBe(1);
    expect(await value(`${failures}{path="shm",reason="cancelled"}`)).toBeUndefined();
    // The engine counts what it computes again; counted here as well, it would count twice.
    expect(await value('tdist_recomputes_total{reason="transfer"}')).toBeUndefined();
    inner.emit({ type: 'prefilled', requestId: 'r', firstToken: 1, ticket: null });
    expect(await value(`${failures}{path="none",reason="no_room"}`)).toBe(1);
    const fault = { code: 'transfer', message: 'a bug' };
    inner.emit({ type: 'prefilled', requestId: 'r', firstToken: 1, ticket: null, fault });
    expect(await value(`${failures}{path="shm",reason="export"}`)).toBe(1);
    expect(await value(`${failures}{path="none",reason="no_room"}`)).toBe(1);
  });

  test('through the object store: bytes, what did not travel and why, failures by their reason', async () => {
    const { inner, meter, value } = world();
    let stored = 0;
    const send = { ...shmSend, savedBytes: () => stored };
    const receive = { shm: shmReceive, object: shmReceive };
    countSaved(meter, { send: { shm: shmSend, object: send }, receive });
    const saved = (reason: string) =>
      value(`tdist_kv_transfer_saved_bytes_total{reason="${reason}"}`);
    expect(await saved('stored')).toBeUndefined();
    const tokens = { type: 'tokens', requestId: 'r', finish: null, first: 1, ids: [1] } as const;
    const timing = { kvPath: 'object', kvBytes: 4096, kvSavedBytes: 512, transferMs: 20 } as const;
    inner.emit({ ...tokens, timing });
    inner.emit({ ...tokens, timing: { ...timing, kvSavedBytes: 0 } });
    stored = 777;
    expect(await value('tdist_kv_transfer_bytes_total{path="object"}')).toBe(8192);
    expect(await value('tdist_kv_transfer_bytes_total{path="shm"}')).toBeUndefined();
    expect(await value('tdist_kv_transfer_seconds_sum{path="object"}')).toBe(0.04);
    expect(await saved('held')).toBe(512);
    expect(await saved('stored')).toBe(777);
    expect(await saved('stored')).toBe(777); // read twice is not saved twice
    const reasons = ['full', 'missing', 'corrupt', 'truncated', 'digest', 'expired', 'timeout'];
    for (const reason of [...reasons, 'unreachable', 'missing']) {
      const refusal = { v: 1, ok: false, code: 'transfer', message: '', reason } as const;
      inner.emit({ type: 'imported', requestId: 'r', path: 'object', refusal });
    }
    const cancelled = { v: 1, ok: false, code: 'cancelled', message: '' } as const;
    inner.emit({ type: 'imported', requestId: 'r', path: 'object', refusal: cancelled });
    // Prefilled here: nothing has come, whatever was to come.
    inner.emit({ ...tokens, timing: { kvPath: 'none', kvBytes: 0 } });
    const failures = (reason: string) =>
      value(`tdist_kv_transfer_failures_total{path="object",reason="${reason}"}`);
    for (const reason of [...reasons, 'unreachable']) {
      expect([reason, await failures(reason)]).toEqual([reason, reason === 'missing' ? 2 : 1]);
    }
    expect(await failures('cancelled')).toBeUndefined();
    expect(await value('tdist_kv_transfer_bytes_total{path="none"}')).toBeUndefined();
  });

  test('answers taken over from others, once they have a slot', async () => {
    const { inner, engine, value } = world();
    const take = (requestId: string, emittedIds: readonly number[]) => {
      const { sampling } = request();
      const source = 'local' as const;
      const what = { requestId, promptIds: [1], sampling, priority: 0, emittedIds, source };
      engine.submit({ type: 'generate', ...what });
    };
    inner.script = () => false;
    take('moved', [7]);
    take('fresh', []);
    take('refused', [7]);
    take('left', [7]);
    expect(await value('tdist_migrations_total')).toBe(0);
    engine.submit({ type: 'abort', requestId: 'left' });
    inner.emit({ type: 'refused', requestId: 'refused', code: 'overloaded', message: '' });
    for (const requestId of ['moved', 'moved', 'fresh', 'refused', 'left']) {
      inner.emit({ type: 'admitted', requestId });
    }
    expect(await value('tdist_migrations_total')).toBe(1);
  });

  test('the load is looked at when it is read', async () => {
    const { inner, value } = world();
    let load: Load = { ...inner.load(), running: 2, waiting: 3, paused: 1 };
    inner.load = () => load;
    expect(await value('tdist_running_requests')).toBe(2);
    expect(await value('tdist_waiting_requests')).toBe(3);
    expect(await value('tdist_paused_requests')).toBe(1);
    expect(await value('tdist_process_resident_bytes')).toBeGreaterThan(1e6);
    const kvBlocks = { free: 5, held: 1, leased: 2, cached: 4 };
    const counters = { moves: 1, preemptions: 6, recomputes: { preempted: 7 }, kvBlocks };
    load = { ...load, counters };
    expect(await value('tdist_preemptions_total')).toBe(6);
    expect(await value('tdist_slot_moves_total')).toBe(1);
    expect(await value('tdist_recomputes_total{reason="preempted"}')).toBe(7);
    for (const [state, count] of Object.entries(kvBlocks)) {
      expect(await value(`tdist_kv_blocks{state="${state}"}`)).toBe(count);
    }
    expect(await value('tdist_migrations_total')).toBe(0);
  });
});

describe('the port', () => {
  test('serves /metrics and nothing else', async () => {
    const meter = prometheusMeter('worker');
    const server = serveMetrics({ meter, host: '127.0.0.1', port: 0 });
    try {
      const response = await fetch(server.url);
      expect(response.headers.get('content-type')).toBe(metricsContentType);
      expect(samplesOf(await response.text()).has('tdist_preemptions_total')).toBeTrue();
      expect((await fetch(server.url, { method: 'POST' })).status).toBe(405);
      expect((await fetch(new URL('/', server.url))).status).toBe(404);
    } finally {
      await server.stop();
    }
  });

  test('taken: says so and how to mend it', async () => {
    const host = '127.0.0.1';
    const server = serveMetrics({ meter: noMeter, host, port: 0 });
    try {
      const port = Number(new URL(server.url).port);
      expect(() => serveMetrics({ meter: noMeter, host, port })).toThrow('--starting-metrics-port');
    } finally {
      await server.stop();
    }
  });
});
