// 2,000 mixed requests, ten times as many at once as the generate worker has slots, with KV memory for
// a fraction of them: each is answered or refused by name, answers are the right ones, memory stays
// where it was, and afterwards nothing runs, waits or is lent out.

import { afterAll, beforeAll, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import type { WorkerEntry } from '../../src/cli/workers-api.ts';
import { openModel } from '../../src/model/folder.ts';
import { weightMemoryBytes } from '../../src/model/weight-memory.ts';
import { seededChance } from '../../src/std/prng.ts';
import { ask, type ChatBody, jsonOf, post, question, user } from './chat.ts';
import { type Deployment, startAll } from './deployment.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const requestCount = 2000;
const slots = 16;
const concurrency = 10 * slots;
const weights = weightMemoryBytes(openModel('tdist/demo').config, 'none');
let all: Deployment;

beforeAll(async () => {
  all = await startAll(world, [
    `--max-num-seqs=${slots}`,
    // Of the machine's memory, so that even the largest has KV for a few of the longest prompts only.
    `--gpu-memory-utilization=${share(2 * (weights + 39 * 2 ** 20))}`,
    '--kv-arena-bytes=24MiB',
    '--max-model-len=2048',
    '--queue-timeout-ms=110000',
  ]);
});
afterAll(async () => {
  expect((await all.program.stop()).code).toBe(0);
});

/** The share of free memory that is so many bytes, at most the default. */
function share(bytes: number): string {
  const line = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  return Math.min(0.9, bytes / (Number(line?.[1] ?? 1) * 1024)).toFixed(4);
}

type Kind = {
  readonly name: string;
  readonly body: (i: number) => ChatBody;
  /** What the answer must contain; null: any. */
  readonly wanted: (i: number) => string | null;
  readonly status: number;
  readonly leaves: boolean;
};

const filler = Array.from(
  { length: 60 },
  (_, i) => `The ${['red', 'blue', 'green'][i % 3]} house number ${i} stands near the river.`,
).join(' ');
const plain = { wanted: () => null, status: 200, leaves: false };
const capitals = [
  ['Peru', 'Lima'],
  ['France', 'Paris'],
  ['Japan', 'Tokyo'],
] as const;

const kinds: readonly Kind[] = [
  {
    ...plain,
    name: 'a capital',
    body: (i) => question(`What is the capital of ${capitals[i % 3]?.[0]}?`),
    wanted: (i) => capitals[i % 3]?.[1] ?? null,
  },
  {
    ...plain,
    name: 'counting',
    body: (i) => question(`Count from 1 to ${60 + (i % 20)}.`, { stream: true, max_tokens: 260 }),
    wanted: () => null,
  },
  {
    ...plain,
    name: 'a long prompt with a shared beginning',
    body: (i) => question(`${filler} Number ${i}. What is 2 + 2?`, { max_tokens: 8 }),
  },
  {
    ...plain,
    name: 'a story by chance',
    body: (i) =>
      question('Tell me a story.', { temperature: 0.9, seed: i, max_tokens: 60, stream: true }),
  },
  {
    ...plain,
    name: 'more turns',
    body: (i) => ({
      model: 'llama',
      temperature: 0,
      max_tokens: 20,
      messages: [
        user(`My name is Anna and my number is ${i}.`),
        { role: 'assistant', content: 'Nice to meet you, Anna.' },
        user('What is my name?'),
      ],
    }),
    wanted: () => 'Anna',
  },
  {
    ...plain,
    name: 'a client that leaves',
    body: () => question('Count from 1 to 200.', { stream: true, ignore_eos: true }),
    leaves: true,
  },
  {
    ...plain,
    name: 'a prompt that is too long',
    body: () => question(filler.repeat(5)),
    status: 400,
  },
  { ...plain, name: 'an unknown model', body: () => question('Hi', { model: 'x' }), status: 404 },
];

/** Null: as it should be; else what was wrong. */
async function flaw(kind: Kind, i: number): Promise<string | null> {
  const leave = new AbortController();
  const response = await post(all.url, kind.body(i), { signal: leave.signal });
  if (response.status !== kind.status) {
    return `${kind.name}: status ${response.status}, ${(await response.text()).slice(0, 200)}`;
  }
  if (kind.leaves) {
    const reader = response.body?.getReader();
    await reader?.read();
    leave.abort();
    return null;
  }
  const text = await response.text();
  if (kind.status !== 200) return null;
  if (text.startsWith('data: ') && !text.endsWith('data: [DONE]\n\n')) {
    return `${kind.name}: the stream ends with ${text.slice(-100)}`;
  }
  if (text.includes('"error"')) return `${kind.name}: ${text.slice(-300)}`;
  const wanted = kind.wanted(i);
  return wanted === null || text.includes(wanted) ? null : `${kind.name}: ${text.slice(0, 300)}`;
}

async function workers(): Promise<readonly WorkerEntry[]> {
  return (await jsonOf<{ data: WorkerEntry[] }>(await fetch(`${all.url}/workers`))).data;
}

function residentMiB(entry: WorkerEntry): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${entry.pid}/status`, 'utf8'));
  return Number(line?.[1] ?? Number.NaN) / 1024;
}

async function rush(from: number, to: number): Promise<string[]> {
  const chance = seededChance(from + 1);
  const plan = Array.from({ length: to - from }, (_, k) => ({
    i: from + k,
    kind: kinds[chance.u32() % kinds.length],
  }));
  const flaws: string[] = [];
  const queue = plan.values();
  const client = async (): Promise<void> => {
    for (const { kind, i } of queue) {
      const wrong = kind === undefined ? 'no kind' : await flaw(kind, i);
      if (wrong !== null) flaws.push(wrong);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, client));
  return flaws;
}

/** All admitted while they are short, all long at the same time: more than there is memory for. */
async function growTogether(): Promise<void> {
  const counted = Array.from({ length: 80 }, (_, i) => i + 1).join(', ');
  const body = question('Count from 1 to 80.', { max_tokens: 400 });
  const answers = await Promise.all(
    Array.from({ length: 2 * slots }, async () => (await ask(all.url, body)).body),
  );
  for (const { choices } of answers) expect(choices[0]?.message.content).toContain(counted);
}

test('2,000 mixed requests at ten times the capacity', async () => {
  await growTogether();
  expect(await rush(0, requestCount / 2)).toEqual([]);
  const before = (await workers()).map(residentMiB);
  expect(await rush(requestCount / 2, requestCount)).toEqual([]);
  const after = (await workers()).map(residentMiB);
  for (const [i, mib] of after.entries()) expect(mib).toBeLessThan((before[i] ?? 0) * 1.2 + 16);

  await until('nothing to run, wait or be lent out', async () =>
    (await workers()).every(({ load, kv }) => {
      const { held = -1, leased = -1 } = kv.blocks ?? {};
      return load.running === 0 && load.waiting === 0 && held === 0 && leased === 0;
    }),
  );
  // It was a soak of the memory too: somebody had to give way.
  const lines = all.program.lines().filter((line) => line.includes('Statistics'));
  expect(lines.filter((line) => /preemptions=[1-9]/.test(line))).not.toEqual([]);
}, 240_000);

testNothingLeft(world);
