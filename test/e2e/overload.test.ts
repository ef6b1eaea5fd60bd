// More requests than workers may hold, and work whose gateway is dead: both end well, and soon.

import { describe, expect, test } from 'bun:test';
import { ask, post, question } from './chat.ts';
import { freePlane, startAll, startApi, untilReady } from './deployment.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const peru = question('What is the capital of Peru?');
const answer = 'The capital of Peru is Lima.';

async function jobsOf(url: string): Promise<Record<string, number>> {
  const { data } = JSON.parse(await (await fetch(`${url}/workers`)).text());
  return Object.fromEntries(
    data.map((worker: { role: string; load: { jobs: number } }) => [worker.role, worker.load.jobs]),
  );
}

describe('a worker that may hold one request', () => {
  test('serves twenty at once, one after the other; a full queue says 429', async () => {
    const plane = await freePlane();
    const flags = [`--request-plane-uri=${plane}`];
    await using _ = world.start([
      '--role=baseline',
      '--initialize-request-plane',
      '--max-num-seqs=1',
      '--max-batch-size=1',
      ...flags,
    ]);
    await using api = await startApi(world, plane, ['--queue-limit=20']);
    await untilReady(api.url);
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(api.url, peru)));
    for (const { response, body } of answers) {
      expect([response.status, body.choices[0]?.message.content]).toEqual([200, answer]);
    }

    const left = new AbortController();
    const endless = question('Tell me a story.', { ignore_eos: true, max_tokens: 4000 });
    const { signal } = left;
    const kept = await post(api.url, { ...endless, stream: true }, { signal });
    const waiting = Array.from({ length: 40 }, () => post(api.url, endless, { signal }));
    for (const one of waiting) one.catch(() => undefined);
    const refused = await Promise.any(
      waiting.map(async (one) => ((await one).status === 429 ? one : Promise.reject())),
    );
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(JSON.parse(await refused.text()).error).toMatchObject({
      type: 'rate_limit_error',
      code: 'queue_full',
    });
    left.abort();
    await kept.body?.cancel().catch(() => undefined);
    expect((await ask(api.url, peru)).body.choices[0]?.message.content).toBe(answer);
  });
});

describe('idle workers', () => {
  test('take a burst of twice the queue’s length', async () => {
    await using all = await startAll(world, ['--queue-limit=4']);
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(all.url, peru)));
    expect(answers.map(({ response }) => response.status)).toEqual(new Array(8).fill(200));
  });
});

describe('a gateway killed with -9', () => {
  test('its reservation is given back long before it would end by itself', async () => {
    const plane = await freePlane();
    const flags = [`--request-plane-uri=${plane}`];
    await using generate = world.start(['--role=generate', '--initialize-request-plane', ...flags]);
    await using context = world.start(['--role=context', ...flags]);
    await using dying = await startApi(world, plane);
    await using other = await startApi(world, plane);
    const isPair = async (url: string) =>
      (await post(url, peru)).headers.get('x-tdist-route') === 'disaggregated';
    await until('a disaggregated answer', () => isPair(dying.url));
    await until('the other gateway to know both', async () => {
      return Object.keys(await jobsOf(other.url)).length === 2;
    });
    context.signal('SIGSTOP');
    post(dying.url, peru).catch(() => undefined);
    await until('a reservation', async () => (await jobsOf(other.url))['generate'] === 1);
    dying.program.signal('SIGKILL');
    await generate.line(/WARN .*Gateway lost, its requests are given up .*aborted=1/);
    await until('no work left', async () => (await jobsOf(other.url))['generate'] === 0);
    context.signal('SIGCONT');
    await until('a disaggregated answer by the other', () => isPair(other.url));
  });
});

testNothingLeft(world);
