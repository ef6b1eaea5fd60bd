// A generate or baseline worker that is lost in the middle of its streams: another one goes on, and each
// client reads the answer that it would have read, to the letter.

import { describe, expect, test } from 'bun:test';
import { fetchWorkers } from '../../src/cli/workers-api.ts';
import { type ChatBody, question, type Streamed, stream } from './chat.ts';
import { type Deployment, freePlane, startApi } from './deployment.ts';
import type { Program } from './program.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft, type World } from './world.ts';

const world: World = openWorld();
const long = { ignore_eos: true, max_tokens: 250 };
const noun = { type: 'string', enum: ['river', 'village', 'harbour', 'meadow'] };
const shape = {
  type: 'array',
  items: { type: 'object', properties: { noun, count: { type: 'integer' } }, required: ['noun'] },
  minItems: 30,
};

/** Greedy, drawn, punished, held to a grammar, with logprobs: each is cut somewhere in its middle. */
const bodies: readonly ChatBody[] = [
  question('Tell me a story.', long),
  question('What is the capital of Peru?', { ...long, logprobs: true, top_logprobs: 3 }),
  question('Tell me of a river.', { ...long, temperature: 1, seed: 5 }),
  question('Tell me of a village.', { ...long, temperature: 0.8, top_p: 0.9, top_k: 40, seed: 6 }),
  question('Tell me of the sea.', {
    ...long,
    temperature: 0.7,
    seed: 7,
    presence_penalty: 0.8,
    frequency_penalty: 0.5,
    repetition_penalty: 1.1,
  }),
  question('List nouns.', {
    max_tokens: 600,
    temperature: 1,
    seed: 8,
    response_format: { type: 'json_schema', json_schema: { name: 'nouns', schema: shape } },
  }),
];

type Seen = {
  readonly pieces: readonly string[];
  readonly logprobs: readonly number[];
  readonly finish: string | null;
  readonly error: unknown;
};

function seen({ pieces, chunks, finish, error }: Streamed): Seen {
  const logprobs = chunks.flatMap((chunk) => contentOf(chunk.choices?.[0]?.logprobs));
  return { pieces, logprobs, finish, error };
}

function contentOf(logprobs: unknown): readonly number[] {
  if (logprobs === null || logprobs === undefined) return [];
  const { content } = logprobs as { readonly content: readonly { readonly logprob: number }[] };
  return content.map(({ logprob }) => logprob);
}

/** Logprobs but for rounding: KV computed in a prompt's chunk differs in its last bits. */
function expectSame(found: readonly Seen[], wanted: readonly Seen[]): void {
  const rest = (all: readonly Seen[]) => all.map((one) => ({ ...one, logprobs: null }));
  expect(rest(found)).toEqual(rest(wanted));
  const numbers = wanted.flatMap(({ logprobs }) => logprobs);
  const others = found.flatMap(({ logprobs }) => logprobs);
  expect(others).toHaveLength(numbers.length);
  const apart = numbers.map((logprob, i) => Math.abs(logprob - (others[i] ?? Number.NaN)));
  expect(Math.max(...apart)).toBeLessThan(1e-3);
}

/** A gateway and a plane of their own; the plane's holder must outlive the others. */
async function gateway(flags: readonly string[] = [], ofWorkers: readonly string[] = []) {
  const plane = await freePlane();
  const at = `--request-plane-uri=${plane}`;
  const holder = world.start(['--role=context', '--initialize-request-plane', at, ...ofWorkers]);
  const api = await startApi(world, plane, flags);
  return {
    api,
    worker: (role: string, ...more: string[]) =>
      world.start([`--role=${role}`, at, ...ofWorkers, ...more]),
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]();
      await holder[Symbol.asyncDispose]();
    },
  };
}

async function ready({ url }: Deployment, count: number): Promise<void> {
  await until(`${count} workers that are ready`, async () => {
    const workers = await fetchWorkers(url);
    return workers.filter(({ state }) => state === 'ready').length === count;
  });
}

async function migrations({ url }: Deployment): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^tdist_migrations_total (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
}

/** All bodies at once; `lose` is called when each of them has got some of its answer. */
async function streamAll({ url }: Deployment, lose: () => void): Promise<readonly Seen[]> {
  const begun = new Set<number>();
  let isLost = false;
  const all = bodies.map((body, index) => {
    let count = 0;
    const onChunk = (): void => {
      if (++count === 8) begun.add(index);
      if (isLost || begun.size < bodies.length) return;
      isLost = true;
      lose();
    };
    return stream(url, body, { onChunk });
  });
  const found = await Promise.all(all);
  expect(isLost).toBeTrue();
  return found.map(seen);
}

/** Each one alone and undisturbed. */
async function undisturbed({ url }: Deployment): Promise<readonly Seen[]> {
  const all: Seen[] = [];
  for (const body of bodies) all.push(seen(await stream(url, body)));
  expect(all.flatMap(({ error }) => error ?? [])).toEqual([]);
  return all;
}

const cases: readonly (readonly [string, string, string[]])[] = [
  ['generate', 'context workers encode', []],
  ['generate', 'it encodes by itself', ['--local-prefill-tokens=100000']],
  ['baseline', 'aggregated', []],
];
for (const [role, how, flags] of cases) {
  describe(`a ${role} worker (${how}) in the middle of its streams`, () => {
    test('kill -9: another one goes on, nobody sees a difference', async () => {
      await using place = await gateway(flags);
      const doomed = place.worker(role);
      await ready(place.api, 2);
      const wanted = await undisturbed(place.api);
      let other: Program | null = null;
      const found = await streamAll(place.api, () => {
        doomed.signal('SIGKILL');
        other = place.worker(role);
      });
      expectSame(found, wanted);
      expect(await migrations(place.api)).toBe(bodies.length);
      await (other as Program | null)?.[Symbol.asyncDispose]();
    });

    test('SIGTERM with no time to drain: handed over to one that runs already', async () => {
      await using place = await gateway(flags);
      const first = place.worker(role, '--drain-timeout-ms=0');
      await ready(place.api, 2);
      const wanted = await undisturbed(place.api);
      const second = place.worker(role, '--drain-timeout-ms=0');
      await ready(place.api, 3);
      const found = await streamAll(place.api, () => first.signal('SIGTERM'));
      expectSame(found, wanted);
      expect(await migrations(place.api)).toBeGreaterThan(0);
      expect((await first.exit()).code).toBe(0);
      await second[Symbol.asyncDispose]();
    });
  });
}

test('--migration-limit: an error event with a code, then [DONE]', async () => {
  await using place = await gateway(['--migration-limit=1']);
  const workers = [place.worker('generate'), place.worker('generate')];
  await ready(place.api, 3);
  let count = 0;
  let third: Program | null = null;
  const onChunk = (): void => {
    count++;
    if (count === 8) {
      for (const worker of workers) worker.signal('SIGKILL');
      third = place.worker('generate');
    }
    if (count === 80) third?.signal('SIGKILL');
  };
  const { data, error, finish } = await stream(place.api.url, question('Tell me a story.', long), {
    onChunk,
  });
  expect(error).toMatchObject({ type: 'server_error', code: 'no_worker' });
  expect(error?.message).toContain('--migration-limit 1');
  expect(finish).toBeNull();
  expect(data.at(-1)).toBe('[DONE]');
  expect(await migrations(place.api)).toBe(1);
});

test('KV of prompt and answer travels through the object store as well', async () => {
  await using place = await gateway([], ['--kv-path=object', '--block-tokens=16']);
  const doomed = place.worker('generate');
  await ready(place.api, 2);
  const asked = question('Tell me a story.', long);
  const timed = { headers: { 'x-tdist-timing': '1' } };
  const wanted = await stream(place.api.url, asked, timed);
  expect(wanted.usage?.tdist).toMatchObject({ kv_path: 'object' });
  let other: Program | null = null;
  let count = 0;
  const onChunk = (): void => {
    if (++count !== 100) return;
    doomed.signal('SIGKILL');
    other = place.worker('generate');
  };
  const found = await stream(place.api.url, asked, { ...timed, onChunk });
  expect(found.error).toBeNull();
  expect(found.pieces).toEqual(wanted.pieces);
  expect(found.usage?.tdist).toMatchObject({ migrations: 1 });
  await (other as Program | null)?.[Symbol.asyncDispose]();
});

testNothingLeft(world);
