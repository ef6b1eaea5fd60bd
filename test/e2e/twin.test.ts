// The promise of the whole: an answer does not depend on who computed it. Disaggregated, local,
// aggregated, over several workers, alone or in a crowd: the same tokens, one by one.

import { beforeAll, describe, expect, test } from 'bun:test';
import { stream } from './chat.ts';
import { type Deployment, planeOf, startAll, startApi } from './deployment.ts';
import { drawnPrompts, type Prompt, prompts } from './prompts.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const crowd = 16;
const all = [...prompts, ...drawnPrompts];

/** What must be equal: text of each token's chunk, reason of the end, count. */
type Trace = {
  readonly pieces: readonly string[];
  readonly finish: string | null;
  readonly tokens: number | undefined;
};
type Run = {
  readonly traces: ReadonlyMap<string, Trace>;
  readonly routes: ReadonlySet<string | undefined>;
  readonly workers: ReadonlySet<string | null | undefined>;
};

/** Asks everything, `lanes` questions at a time. */
async function run(url: string, list: readonly Prompt[], lanes: number): Promise<Run> {
  const traces = new Map<string, Trace>();
  const routes = new Set<string | undefined>();
  const workers = new Set<string | null | undefined>();
  const queue = [...list];
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const body = { max_tokens: 320, ...next.body, stream_options: { include_usage: true } };
      const answer = await stream(url, body, { headers: { 'x-tdist-timing': '1' } });
      if (answer.error !== null) throw new Error(`${next.name}: ${answer.error.message}`);
      const { pieces, finish, usage } = answer;
      traces.set(next.name, { pieces, finish, tokens: usage?.completion_tokens });
      routes.add(usage?.tdist?.route);
      workers.add(usage?.tdist?.context_worker).add(usage?.tdist?.generate_worker);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { traces, routes, workers };
}

function expectEqual(found: Run, wanted: Run): void {
  expect(found.traces.size).toBe(wanted.traces.size);
  for (const [name, trace] of wanted.traces) {
    expect({ name, ...found.traces.get(name) }).toEqual({ name, ...trace });
  }
}

let split: Deployment;
let whole: Deployment;
/** Each by itself, one after the other, by an aggregated worker: what all others must equal. */
let wanted: Run;
let alone: Run;

beforeAll(async () => {
  split = await startAll(world);
  whole = await startAll(world, ['--baseline-worker-count=1']);
  [wanted, alone] = await Promise.all([run(whole.url, all, 1), run(split.url, all, 1)]);
}, 120_000);

describe('the twins', () => {
  test('there are enough questions, different ones, some with long prompts and long answers', () => {
    expect(prompts.length).toBeGreaterThanOrEqual(60);
    expect(drawnPrompts.length).toBeGreaterThanOrEqual(12);
    expect(wanted.traces.size).toBe(all.length);
    const tokens = [...wanted.traces.values()].map((trace) => trace.tokens ?? 0);
    expect(tokens.filter((count) => count >= 75).length).toBeGreaterThanOrEqual(8);
    expect(Math.max(...tokens)).toBeGreaterThan(200);
    const ended = (finish: string): string[] =>
      [...wanted.traces].flatMap(([name, trace]) => (trace.finish === finish ? [name] : [])).sort();
    expect(ended('length')).toEqual(['one token', 'past the end', 'two tokens']);
    expect(ended('tool_calls')).toEqual(['one of two tools', 'tool call']);
    expect(ended('stop')).toHaveLength(all.length - 5);
  });

  test('disaggregated equals aggregated', () => {
    expect([...wanted.routes]).toEqual(['aggregated']);
    expect([...alone.routes]).toEqual(['disaggregated']);
    expectEqual(alone, wanted);
  });

  test('in a crowd equals alone', async () => {
    expectEqual(await run(split.url, all, crowd), wanted);
    expectEqual(await run(whole.url, all, crowd), wanted);
    await whole.program.stop();
  });

  test('prefilled by the generate worker itself equals, too', async () => {
    const plane = await planeOf(split.program);
    const local = await startApi(world, plane, ['--local-prefill-tokens=100000']);
    const found = await run(local.url, all, crowd);
    expect([...found.routes]).toEqual(['local']);
    expectEqual(found, wanted);
    await local.program.stop();
    await split.program.stop();
  });

  test('two context and two generate workers equal one of each', async () => {
    const flags = ['--context-worker-count=2', '--generate-worker-count=2'];
    const { program, url } = await startAll(world, flags);
    const found = await run(url, all, crowd);
    expect([...found.routes]).toEqual(['disaggregated']);
    expect(found.workers.size).toBe(4);
    expectEqual(found, wanted);
    await program.stop();
  });
});

testNothingLeft(world);
