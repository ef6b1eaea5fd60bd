// The nats-server dies under load and comes back, with its store or with an empty one: no process starts
// anew, who was streaming gets the whole answer or a named error, and KV travels as objects again.

import { beforeAll, describe, expect, test } from 'bun:test';
import { type ChatBody, question, type Streamed, stream, type Timing } from './chat.ts';
import { Cluster, untilIdle, untilWorkers } from './cluster.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const timed = { headers: { 'x-tdist-timing': '1' } };
const clientCount = 6;
const stories: readonly ChatBody[] = Array.from({ length: clientCount }, (_, seed) =>
  question('Tell me a story.', { temperature: 1, seed, ignore_eos: true, max_tokens: 250 }),
);
/** A block of it and more: what the bucket had of it is known to its writer. */
const long = question(`${'The old river was quiet at noon. '.repeat(60)} What is 2 + 2?`, {
  max_tokens: 8,
  stream_options: { include_usage: true },
});
const overObjects = ['--kv-path=object', '--block-tokens=16', '--no-enable-prefix-caching'];
let wanted: readonly string[];

async function open(cluster: Cluster) {
  const workers = [
    cluster.worker('context', ...overObjects),
    cluster.worker('generate', ...overObjects),
  ];
  const gateway = await cluster.gateway();
  await untilWorkers(gateway.url, 2);
  return { url: gateway.url, programs: [...workers, gateway.program] };
}

beforeAll(async () => {
  await using cluster = await Cluster.open(world);
  const { url } = await open(cluster);
  const all = await Promise.all(stories.map((body) => stream(url, body)));
  expect(all.map(({ error }) => error)).toEqual(stories.map(() => null));
  wanted = all.map(({ text }) => text);
});

async function untilOverObjects(url: string): Promise<void> {
  await until('KV as objects', async () => {
    const { usage, error } = await stream(url, long, timed);
    expect(error).toBeNull();
    const timing: Partial<Timing> = usage?.tdist ?? {};
    return timing.kv_path === 'object';
  });
}

/** The whole answer, or the beginning of it and an error with a code. */
function expectNamed({ text, error, finish, data }: Streamed, index: number): void {
  const whole = wanted[index] ?? '';
  expect(data.at(-1)).toBe('[DONE]');
  if (error === null) return expect([text, finish]).toEqual([whole, 'length']);
  expect(whole).toStartWith(text);
  expect(error).toMatchObject({ type: 'server_error', code: expect.stringMatching(/^[a-z_]+$/) });
}

describe.concurrent('a nats-server that is killed under load', () => {
  for (const store of ['kept', 'empty'] as const) {
    test(`and comes back with its store ${store}`, async () => {
      await using cluster = await Cluster.open(world);
      const { url, programs } = await open(cluster);
      await untilOverObjects(url);
      const streaming = new Set<number>();
      const all = Promise.withResolvers<void>();
      let isOver = false;
      const client = async (body: ChatBody, index: number): Promise<Streamed[]> => {
        const found: Streamed[] = [];
        const onChunk = (): void => {
          if (streaming.add(index).size === clientCount) all.resolve();
        };
        while (!isOver) found.push(await stream(url, body, { onChunk }));
        return found;
      };
      const clients = Promise.all(stories.map(client));
      await all.promise;
      const before = programs.map((program) => program.lines().length);
      await cluster.killServer();
      await Promise.all(programs.map((one, i) => one.line(/unreachable/, before[i])));
      await cluster.startServer(store);
      const workers = await untilWorkers(url, 2);
      expect(workers.map(({ pid }) => pid).sort()).toEqual(
        programs
          .slice(0, 2)
          .map(({ pid }) => pid)
          .sort(),
      );
      await untilOverObjects(url);
      isOver = true;
      for (const [index, found] of (await clients).entries()) {
        for (const one of found) expectNamed(one, index);
        expect(found.length).toBeGreaterThan(0);
      }
      await untilIdle(url);
      // Nobody's supervisor: who had died would be gone.
      for (const program of programs) expect(program.lines().join('\n')).not.toContain('ERROR');
      for (const program of programs) expect((await program.stop()).code).toBe(0);
    });
  }
});

testNothingLeft(world);
