// The table of metrics and the meter's body.

import { describe, expect, test } from 'bun:test';
import { metrics, noMeter } from '../../src/telemetry/metric.ts';
import { prometheusMeter } from '../../src/telemetry/prometheus.ts';
import { samplesOf } from './samples.ts';

const read = async (meter: ReturnType<typeof prometheusMeter>) => samplesOf(await meter.read());

describe('the table', () => {
  test('has the names that dashboards are built on', () => {
    const names = [
      'requests_total running_requests waiting_requests queue_seconds prefill_seconds',
      'time_to_first_token_seconds inter_token_latency_seconds e2e_request_latency_seconds',
      'prompt_tokens_total generation_tokens_total cached_tokens_total kv_transfer_bytes_total',
      'kv_transfer_seconds kv_transfer_failures_total kv_blocks preemptions_total',
      'migrations_total recomputes_total cancellations_total rejections_total worker_up',
      'process_resident_bytes slot_moves_total kv_transfer_saved_bytes_total paused_requests',
      'key_requests_total key_tokens_total',
    ];
    const wanted = names.flatMap((line) => line.split(' ')).map((name) => `tdist_${name}`);
    expect(Object.keys(metrics).sort()).toEqual(wanted.sort());
  });

  test('units are in the names, and every metric is somebody’s', () => {
    for (const [name, row] of Object.entries(metrics)) {
      expect(name).toMatch(/^tdist_[a-z0-9_]+$/);
      expect(name.endsWith('_total')).toBe(row.kind === 'counter');
      expect(name.endsWith('_seconds')).toBe(row.kind === 'histogram');
      expect(row.on.length).toBeGreaterThan(0);
      expect(row.buckets).toEqual([...row.buckets].sort((a, b) => a - b));
    }
  });

  test.each(['api', 'worker'] as const)('%s has its own metrics and no others', async (process) => {
    const text = await prometheusMeter(process).read();
    for (const [name, row] of Object.entries(metrics)) {
      expect(text.includes(`# TYPE ${name} ${row.kind}\n`)).toBe(
        row.on.some((other) => other === process),
      );
    }
  });
});

describe('the meter', () => {
  test('counts, sets and observes', async () => {
    const meter = prometheusMeter('worker');
    meter.count('tdist_generation_tokens_total', {}, 3);
    meter.count('tdist_generation_tokens_total', {});
    meter.count('tdist_kv_transfer_failures_total', { path: 'shm', reason: 'a"b\\c\nd' });
    meter.set('tdist_kv_blocks', { state: 'free' }, 7);
    meter.observe('tdist_prefill_seconds', {}, 0.3);
    const samples = await read(meter);
    expect(samples.get('tdist_generation_tokens_total')).toBe(4);
    const odd = 'tdist_kv_transfer_failures_total{path="shm",reason="a\\"b\\\\c\\nd"}';
    expect(samples.get(odd)).toBe(1);
    expect(samples.get('tdist_kv_blocks{state="free"}')).toBe(7);
    expect(samples.get('tdist_prefill_seconds_bucket{le="0.25"}')).toBe(0);
    expect(samples.get('tdist_prefill_seconds_bucket{le="0.5"}')).toBe(1);
    expect(samples.get('tdist_prefill_seconds_sum')).toBe(0.3);
  });

  test('a sum kept elsewhere never falls', async () => {
    const meter = prometheusMeter('worker');
    for (const total of [2, 5, 5, 1]) meter.countTo('tdist_preemptions_total', {}, total);
    expect((await read(meter)).get('tdist_preemptions_total')).toBe(5);
  });

  test('what another process has is not shown here', async () => {
    const meter = prometheusMeter('api');
    meter.observe('tdist_prefill_seconds', {}, 1);
    expect((await read(meter)).has('tdist_prefill_seconds_sum')).toBeFalse();
  });

  test('refreshes before it is read, and forgets what was cleared', async () => {
    const meter = prometheusMeter('api');
    const alive = ['a', 'b'];
    meter.onRead(() => {
      meter.clear('tdist_worker_up');
      for (const worker of alive) {
        meter.set('tdist_worker_up', { role: 'generate', worker, model: 'llama' }, 1);
      }
    });
    const shown = async () => [...(await read(meter)).keys()].filter((key) => key.includes('_up'));
    expect(await shown()).toHaveLength(2);
    alive.pop();
    expect(await shown()).toEqual(['tdist_worker_up{role="generate",worker="a",model="llama"}']);
  });

  test('label sets are bounded: the rest is counted together', async () => {
    const meter = prometheusMeter('api');
    for (let at = 0; at < 1500; at++) {
      const model = `m${at}`;
      meter.count('tdist_requests_total', { model, route: 'local', code: '200' });
    }
    const samples = [...(await read(meter))].filter(([key]) => key.includes('requests_total'));
    expect(samples).toHaveLength(1001);
    const rest = 'tdist_requests_total{model="other",route="other",code="other"}';
    expect(new Map(samples).get(rest)).toBe(500);
  });

  test('the empty body says nothing', async () => {
    noMeter.count('tdist_preemptions_total', {});
    expect(await noMeter.read()).toBe('');
  });
});
