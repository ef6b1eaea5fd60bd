// `tdist verify` as a user runs it: on a deployment of its own, and against one that runs.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { jsonOf, post, question } from './chat.ts';
import { type Deployment, startAll } from './deployment.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();

describe('by itself', () => {
  test('starts one worker of each kind and proves the answers identical', async () => {
    const { code, stdout } = await world.run(['verify']);
    const sum = JSON.parse(stdout.at(-1) ?? '');
    expect(sum.differences).toEqual([]);
    expect(sum).toMatchObject({ ok: true, skipped: [] });
    expect(sum.identical).toBeGreaterThanOrEqual(40);
    expect(code).toBe(0);
    await world.nothingRuns();
  });
});

describe('against a deployment without a baseline worker', () => {
  let all: Deployment;
  beforeAll(async () => {
    all = await startAll(world);
  });
  afterAll(async () => {
    await all.program.stop();
  });

  test('says what is missing and exits 1', async () => {
    const { code, stderr } = await world.run(['verify', '--api-url', all.url]);
    expect(code).toBe(1);
    expect(stderr.join('\n')).toContain('no baseline worker is alive');
  });

  test('a forced route is taken, or refused at once', async () => {
    const ask = (route: string): Promise<Response> =>
      post(all.url, question('Hello', { max_tokens: 4 }), {
        headers: { 'x-tdist-force-route': route },
      });
    expect((await ask('local')).headers.get('x-tdist-route')).toBe('local');
    expect((await ask('disaggregated')).headers.get('x-tdist-route')).toBe('disaggregated');
    const refused = await ask('aggregated');
    expect(refused.status).toBe(503);
    const { error } = await jsonOf<{ error: { code: string; message: string } }>(refused);
    expect(error.code).toBe('no_worker');
    expect(error.message).toContain('the route aggregated was asked for');
    expect((await ask('nowhere')).status).toBe(400);
  });
});

testNothingLeft(world);
