// KV through the object store of NATS, with the executable: the same tokens as an aggregated worker's, nothing
// left in the bucket when a worker is killed in the middle, and without JetStream everything locally.

import { beforeAll, describe, expect, test } from 'bun:test';
import { connect, type JetStreamManager } from 'nats';
import { startNatsProcess } from '../plane/nats-process.ts';
import { question, stream } from './chat.ts';
import {
  childOf,
  type Deployment,
  libraryOptions,
  planeOf,
  startAll,
  startApi,
  untilReady,
} from './deployment.ts';
import { type Prompt, prompts } from './prompts.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const timed = { headers: { 'x-tdist-timing': '1' } };

/** Name → text of each token's chunk, and how it ended. */
type Answers = Readonly<Record<string, string>>;

type Run = {
  readonly answers: Answers;
  /** "route path reason" of each answer. */
  readonly ways: ReadonlySet<string>;
  readonly workers: ReadonlySet<string | null | undefined>;
};

async function run(url: string, list: readonly Prompt[], lanes: number): Promise<Run> {
  const answers: Record<string, string> = {};
  const ways = new Set<string>();
  const workers = new Set<string | null | undefined>();
  const queue = [...list];
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const body = { max_tokens: 60, ...next.body, stream_options: { include_usage: true } };
      const { error, pieces, finish, usage } = await stream(url, body, timed);
      if (error !== null) throw new Error(`${next.name}: ${error.message}`);
      answers[next.name] = JSON.stringify([pieces, finish]);
      // An answer of one token is over before anybody hands over.
      if ((usage?.completion_tokens ?? 0) > 1) ways.add(wayOf(usage?.tdist));
      workers.add(usage?.tdist?.context_worker).add(usage?.tdist?.generate_worker);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { answers, ways, workers };
}

function wayOf(timing: object | undefined): string {
  const of = (name: string): string => {
    const value: unknown = Object.entries(timing ?? {}).find(([key]) => key === name)?.[1];
    return String(value);
  };
  return [of('route'), of('kv_path'), of('kv_path_reason')].join(' ');
}

const overObjects = 'disaggregated object flag';

/** Everything that lies in KV buckets, asked of the server itself. */
async function bucketsAt(plane: string) {
  const connection = await connect(libraryOptions(plane));
  try {
    const manager = await connection.jetstreamManager();
    const streams = await manager.streams.list().next();
    const found = streams.filter(({ config }) => config.name.startsWith('OBJ_'));
    return await Promise.all(found.map((one) => factsOf(manager, one.config.name)));
  } finally {
    await connection.close();
  }
}

async function factsOf(manager: JetStreamManager, name: string) {
  const { config, state } = await manager.streams.info(name);
  const consumers = await manager.consumers.list(name).next();
  return {
    name,
    bytes: state.bytes,
    bytesMax: config.max_bytes,
    consumers: consumers.map((consumer) => consumer.name),
  };
}

let wanted: Run;
beforeAll(async () => {
  const whole = await startAll(world, ['--baseline-worker-count=1']);
  wanted = await run(whole.url, prompts, 4);
  await whole.program.stop();
}, 120_000);

describe('the same tokens as aggregated', () => {
  for (const [what, flags, count] of [
    ['one of each', [], 2],
    ['two of each', ['--context-worker-count=2', '--generate-worker-count=2'], 4],
  ] as const) {
    test(`${what}, in a crowd, all KV through the object store`, async () => {
      await using split = await startAll(world, ['--kv-path=object', ...flags]);
      // At first the gateway may not yet know that the workers have found JetStream.
      await untilOverObjects(split.url);
      const found = await run(split.url, prompts, 8);
      expect(found.answers).toEqual(wanted.answers);
      expect([...found.ways]).toEqual([overObjects]);
      expect(found.workers.size).toBe(count);
      const plane = await planeOf(split.program);
      const [bucket, ...more] = await bucketsAt(plane);
      expect(more).toEqual([]);
      expect(bucket?.bytes).toBeGreaterThan(100_000);
      await split.program.stop();
    });
  }
});

async function untilOverObjects(url: string): Promise<void> {
  const france = question('What is the capital of France?', {
    stream_options: { include_usage: true },
  });
  await until('an answer over the object store', async () => {
    const { usage } = await stream(url, france, timed);
    return wayOf(usage?.tdist) === overObjects;
  });
}

describe('a context worker is killed in the middle of 500 requests', () => {
  test('all are answered or told why; no consumer, no byte too much stays', async () => {
    const bytesMax = 24 * 1024 * 1024;
    const flags = ['--kv-path=object', `--kv-object-max-bytes=${bytesMax}`];
    const counts = ['--context-worker-count=2', '--generate-worker-count=1'];
    const split: Deployment = await startAll(world, [...flags, ...counts]);
    await untilOverObjects(split.url);
    const victim = await childOf(split.program, '--role=context');
    const ends: string[] = [];
    const queue = Array.from({ length: 500 }, (_, i) => i);
    const lane = async (): Promise<void> => {
      for (let i = queue.shift(); i !== undefined; i = queue.shift()) {
        if (i === 200) process.kill(victim, 'SIGKILL');
        const text = `${'The lantern crossed the bridge. '.repeat(i % 40)} What is ${i} + 7?`;
        const body = question(text, { max_tokens: 6, stream_options: { include_usage: true } });
        const { response, error, finish, usage } = await stream(split.url, body, timed);
        if (error === null && finish !== null) ends.push(wayOf(usage?.tdist));
        else ends.push(`${response.status} ${error?.type}: ${error?.message}`);
      }
    };
    await Promise.all(Array.from({ length: 12 }, lane));
    expect(ends).toHaveLength(500);
    const answered = ends.filter((end) => /^(disaggregated|local) /.test(end));
    const named = ends.filter((end) => /^\d+ server_error: ./.test(end));
    expect(answered.length + named.length).toBe(500);
    expect(answered.length).toBeGreaterThan(480);
    expect(ends.filter((end) => end === overObjects).length).toBeGreaterThan(300);
    const plane = await planeOf(split.program);
    await until('no consumers at the bucket', async () => {
      const [bucket] = await bucketsAt(plane);
      return bucket !== undefined && bucket.consumers.length === 0;
    });
    const [bucket] = await bucketsAt(plane);
    expect(bucket).toMatchObject({ bytesMax });
    expect(bucket?.bytes).toBeLessThanOrEqual(bytesMax);
    await split.program.stop();
  });
});

describe('a nats-server without JetStream', () => {
  test('is told of, and requests are answered locally', async () => {
    const server = await startNatsProcess(world.path(), '');
    try {
      const plane = `localhost:${server.port}`;
      const flags = [`--request-plane-uri=${plane}`, '--kv-path=object'];
      const context = world.start(['--role=context', ...flags]);
      const generate = world.start(['--role=generate', ...flags]);
      const api = await startApi(world, plane);
      await untilReady(api.url);
      for (const program of [context, generate]) {
        const line = await program.line('KV cannot go through the object store');
        expect(line).toContain('--kv-path object');
        expect(line).toContain('the request plane has no JetStream');
        expect(line).toContain('-js');
      }
      const found = await run(api.url, prompts.slice(0, 12), 4);
      const { answers } = wanted;
      expect(found.answers).toEqual(
        Object.fromEntries(Object.keys(found.answers).map((name) => [name, answers[name] ?? ''])),
      );
      expect([...found.ways].map((way) => way.split(' ')[0])).toEqual(['local']);
      await api.program.stop();
      await generate.stop();
      await context.stop();
    } finally {
      await server.kill();
    }
  });
});

testNothingLeft(world);
