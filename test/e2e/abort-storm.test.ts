// Five hundred streams begun and dropped at random moments, queued, in prefill, in hand-over and in decode,
// by hanging up or by a deadline of the client's: afterwards nobody holds anything, and requests are answered
// as before.

import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { WorkerEntry } from '../../src/cli/workers-api.ts';
import { realClock } from '../../src/std/clock.ts';
import { seededChance } from '../../src/std/prng.ts';
import { samplesOf } from '../telemetry/samples.ts';
import { type ChatBody, question, stream } from './chat.ts';
import { holdsNothing } from './cluster.ts';
import { type Deployment, startAll } from './deployment.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const streamCount = 500;
const atOnce = 64;
/** Milliseconds, or chunks. */
const leaveWithin = 60;
const bodies: readonly ChatBody[] = [
  question('Count from 1 to 20.'),
  question(`${'The river was quiet at noon. '.repeat(80)} The code word is harbour. What is it?`),
  question('Tell me a story.', { temperature: 1, seed: 3, ignore_eos: true, max_tokens: 100 }),
];
let all: Deployment;

beforeAll(async () => {
  all = await startAll(world, ['--max-num-seqs=8', '--queue-limit=32']);
});
afterAll(async () => {
  expect((await all.program.stop()).code).toBe(0);
});

async function answers(): Promise<readonly string[]> {
  const found = await Promise.all(bodies.map((body) => stream(all.url, body)));
  expect(found.map(({ error }) => error)).toEqual(bodies.map(() => null));
  return found.map(({ text }) => text);
}

type Leaving =
  | { readonly by: 'time'; readonly afterMs: number }
  | { readonly by: 'chunk'; readonly count: number }
  /** The gateway's to see to: the header says how long the client waits. */
  | { readonly by: 'header'; readonly afterMs: number };

function leavings(): readonly Leaving[] {
  const chance = seededChance(7);
  const kinds = ['time', 'chunk', 'chunk', 'header'] as const;
  return Array.from({ length: streamCount }, (_, index): Leaving => {
    const drawn = 1 + (chance.u32() % leaveWithin);
    const by = kinds[index % kinds.length] ?? 'time';
    return by === 'chunk' ? { by, count: drawn } : { by, afterMs: drawn };
  });
}

/** An endless one that is left, whatever it has got by then. */
async function dropped(index: number, leaving: Leaving): Promise<void> {
  const gone = new AbortController();
  const body = { ...bodies[index % bodies.length], cache_salt: `salt-${index}` };
  const endless = { ...body, max_tokens: 2000, ignore_eos: true };
  const isHeader = leaving.by === 'header';
  const timer = realClock.after(
    isHeader ? 2000 : leaving.by === 'time' ? leaving.afterMs : 60_000,
    () => gone.abort(),
  );
  let left = leaving.by === 'chunk' ? leaving.count : Number.POSITIVE_INFINITY;
  const onChunk = (): void => {
    if (--left === 0) gone.abort();
  };
  const headers = isHeader ? { timeout: String(leaving.afterMs / 1000) } : {};
  const end = await stream(all.url, endless, { signal: gone.signal, headers, onChunk }).then(
    ({ finish }) => `finish ${finish}`,
    (error: unknown) => String(error),
  );
  timer.cancel();
  if (!gone.signal.aborted) expect(end).toMatch(/status (429|503): .*(time-out|queue)/s);
}

async function workersByTool(): Promise<readonly WorkerEntry[]> {
  const { code, stdout } = await world.run(['workers', '--json', '--api-url', all.url]);
  expect(code).toBe(0);
  return JSON.parse(stdout.join('\n')) as WorkerEntry[]; // printed by the tool, compared below
}

test('500 streams dropped at random moments leave nothing behind', async () => {
  const wanted = await answers();
  const queue = leavings().entries();
  const client = async (): Promise<void> => {
    for (const [index, leaving] of queue) await dropped(index, leaving);
  };
  await Promise.all(Array.from({ length: atOnce }, client));
  const found = await until('workers that hold nothing', async () => {
    const workers = await workersByTool();
    return workers.length === 2 && workers.every(holdsNothing) && workers;
  });
  expect(found.map(({ state }) => state)).toEqual(['ready', 'ready']);
  const metrics = samplesOf(await (await fetch(`${all.url}/metrics`)).text());
  expect(metrics.get('tdist_running_requests')).toBe(0);
  expect(metrics.get('tdist_waiting_requests')).toBe(0);
  const phases = [...metrics].filter(([name]) => name.startsWith('tdist_cancellations_total'));
  expect(phases.length).toBeGreaterThan(1);
  expect(await answers()).toEqual([...wanted]);
  expect(all.program.lines().join('\n')).not.toContain('ERROR');
});

testNothingLeft(world);
