// kill -9 of each kind of process: what dies is replaced, what it held is swept, and no request is
// left hanging.

import { describe, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { ask, type ChatBody, question, type Streamed, stream } from './chat.ts';
import { childOf, freePlane, startAll, startApi, untilReady } from './deployment.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft, type World } from './world.ts';

const world: World = openWorld();
const timed = { headers: { 'x-tdist-timing': '1' } };
const peru = question('What is the capital of Peru?');
const answer = 'The capital of Peru is Lima.';
const endless: ChatBody = question('Tell me a story.', { ignore_eos: true, max_tokens: 4000 });
const longPrompt = (code: string): ChatBody =>
  question(
    `${'The old river crossed the quiet village at noon. '.repeat(200)} The code word is ${code}. What is the code word?`,
  );

/** Each role by itself: the generate worker holds the plane, so that the context worker may die. */
async function separate() {
  const plane = await freePlane();
  const flags = [`--request-plane-uri=${plane}`];
  const generate = world.start(['--role=generate', '--initialize-request-plane', ...flags]);
  const api = await startApi(world, plane);
  return {
    url: api.url,
    context: () => world.start(['--role=context', ...flags]),
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]();
      await generate[Symbol.asyncDispose]();
    },
  };
}

async function untilDisaggregated(url: string): Promise<void> {
  await until('a disaggregated answer', async () => {
    const { response, body } = await ask(url, peru, timed);
    expect(body.choices[0]?.message.content).toBe(answer);
    return response.headers.get('x-tdist-route') === 'disaggregated';
  });
}

/** Runs `act` at the `count`th call. */
function once(act: () => void, count = 1): () => void {
  let seen = 0;
  return () => {
    if (++seen === count) act();
  };
}

/** An answer that broke off says so inside the stream, and still ends with [DONE]. */
function expectBrokenOff({ error, data, finish }: Streamed): void {
  expect(error).toMatchObject({ type: 'server_error', message: expect.any(String) });
  expect(data.at(-1)).toBe('[DONE]');
  expect(data.filter((event) => event.includes('"error"'))).toHaveLength(1);
  expect(finish).toBeNull();
}

describe('a context worker without a supervisor', () => {
  test('leaves an arena that the next start of any worker removes', async () => {
    await using parts = await separate();
    const first = parts.context();
    await first.line('Worker started...');
    const arena = world.arenas().find((path) => path.includes('context')) ?? '';
    expect(existsSync(arena)).toBeTrue();
    first.signal('SIGKILL');
    await first.exit();
    await using other = world.start(['--role=baseline', '--request-plane-uri=localhost:1']);
    await other.line('Worker started...');
    expect(world.arenas()).not.toContain(arena);
    await using _second = parts.context();
    await untilDisaggregated(parts.url);
  });

  test('in the middle of prefills: every request is answered all the same', async () => {
    await using parts = await separate();
    const doomed = parts.context();
    await untilDisaggregated(parts.url);
    const bodies = ['harbour', 'lantern', 'meadow', 'anchor'].map(longPrompt);
    const wanted: Streamed[] = [];
    for (const body of bodies) wanted.push(await stream(parts.url, body));
    // The first one's first token comes while the others wait or are being encoded.
    const kill = once(() => doomed.signal('SIGKILL'));
    const found = await Promise.all(
      bodies.map((body) => stream(parts.url, body, { onChunk: kill })),
    );
    for (const [i, { pieces, error, finish }] of found.entries()) {
      expect({ pieces, error, finish }).toEqual({
        pieces: wanted[i]?.pieces ?? [],
        error: null,
        finish: 'stop',
      });
    }
    await using _next = parts.context();
    await untilDisaggregated(parts.url);
  });
});

describe('a generate worker', () => {
  test('in the middle of a stream, and none comes: the stream says so and ends', async () => {
    const plane = await freePlane();
    const flags = [`--request-plane-uri=${plane}`];
    await using context = world.start(['--role=context', '--initialize-request-plane', ...flags]);
    const doomed = world.start(['--role=generate', ...flags]);
    await using api = await startApi(world, plane, ['--queue-timeout-ms=5000']);
    const { url } = api;
    await untilReady(url);
    const onChunk = once(() => doomed.signal('SIGKILL'), 5);
    expectBrokenOff(await stream(url, endless, { onChunk }));
    await until('503', async () => (await fetch(`${url}/health`)).status === 503);
    await using _next = world.start(['--role=generate', ...flags]);
    await untilDisaggregated(url);
    expect(context.lines().join('\n')).not.toContain('ERROR');
  });
});

describe('under --role all', () => {
  test('each kind of child is started again and serves again', async () => {
    await using all = await startAll(world);
    const { program, url } = all;
    for (const role of ['context', 'generate', 'api']) {
      const before = program.lines().length;
      process.kill(await childOf(program, `--role=${role}`), 'SIGKILL');
      await program.line(new RegExp(`${role}\\S* died, starting it again`), before);
      await program.line(role === 'api' ? 'Listening on' : 'Worker started...', before);
      await untilReady(url);
      await untilDisaggregated(url);
    }
    expect(world.arenas()).toHaveLength(2);
    expect((await program.stop()).code).toBe(0);
    expect(world.leftovers()).toEqual([]);
  });

  test('the supervisor in the middle of a stream: all go, the next start sweeps', async () => {
    await using all = await startAll(world);
    const onChunk = once(() => all.program.signal('SIGKILL'), 3);
    const broken = stream(all.url, endless, { onChunk }).catch(() => null);
    await all.program.exit();
    await world.nobodyRuns();
    const cut = await broken;
    if (cut !== null) expectBrokenOff(cut);
    await using next = await startAll(world);
    await untilDisaggregated(next.url);
    expect(world.arenas()).toHaveLength(2);
    expect((await next.program.stop()).code).toBe(0);
    expect(world.leftovers()).toEqual([]);
  });
});

testNothingLeft(world);
