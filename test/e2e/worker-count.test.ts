// Counts above 1 of a single role: a supervisor of its own kind, whose workers share the load.

import { describe, expect, test } from 'bun:test';
import { ask, question } from './chat.ts';
import { childOf, freePlane, startApi } from './deployment.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const timed = { headers: { 'x-tdist-timing': '1' } };

describe('--role context --context-worker-count 2', () => {
  test('both workers prefill, and all end with their supervisor', async () => {
    const plane = await freePlane();
    const context = world.start([
      '--role=context',
      '--context-worker-count=2',
      '--initialize-request-plane',
      `--request-plane-uri=${plane}`,
    ]);
    const generate = world.start(['--role=generate', `--request-plane-uri=${plane}`]);
    const api = await startApi(world, plane);
    expect(await childOf(context, '--role=context')).not.toBe(context.pid);
    const seen = new Set<string | null | undefined>();
    await until('an answer by each of two context workers', async () => {
      const { body } = await ask(api.url, question('What is the capital of Peru?'), timed);
      expect(body.choices[0]?.message.content).toBe('The capital of Peru is Lima.');
      if (body.usage.tdist?.route === 'disaggregated') seen.add(body.usage.tdist.context_worker);
      return seen.size === 2;
    });
    expect(world.arenas()).toHaveLength(3); // the generate worker has one too
    for (const program of [api.program, generate, context]) {
      expect((await program.stop()).code).toBe(0);
    }
    expect(world.leftovers()).toEqual([]);
  });
});

testNothingLeft(world);
