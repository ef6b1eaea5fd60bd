// kill -9 of each role while four requests are in the four phases: one decodes, one is being handed over,
// one is being prefilled, one waits for a slot. Each client reads the answer of an undisturbed run.

import { beforeAll, describe, expect, test } from 'bun:test';
import { freePort } from '../../src/role/free-port.ts';
import { type ChatBody, question, type Streamed, stream } from './chat.ts';
import { Cluster, type Spy, untilIdle, untilWorkers } from './cluster.ts';
import type { Program } from './program.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const sentence = 'The old river crossed the quiet village at noon. ';
const recall = (word: string, count: number): ChatBody =>
  question(`${sentence.repeat(count)}The code word is ${word}. What is the code word?`);

const phases = ['decode', 'transfer', 'prefill', 'queued'] as const;
type Phase = (typeof phases)[number];
const bodies: Readonly<Record<Phase, ChatBody>> = {
  decode: question('Tell me a story.', { ignore_eos: true, max_tokens: 1200 }),
  transfer: recall('harbour', 50),
  prefill: recall('lantern', 200),
  queued: question('What is the capital of Peru?'),
};
type Answer = Pick<Streamed, 'text' | 'finish' | 'error'>;
const answerOf = ({ text, finish, error }: Streamed): Answer => ({ text, finish, error });
/** Three slots: whoever comes fourth waits. */
const slots = '--max-num-seqs=3';
let wanted: readonly Answer[];

type Parts = {
  readonly cluster: Cluster;
  readonly context: Program;
  readonly generate: Program;
  readonly api: Program;
  readonly url: string;
  readonly port: number;
};

async function openParts(cluster: Cluster): Promise<Parts> {
  const [context, generate] = [cluster.worker('context'), cluster.worker('generate', slots)];
  const port = await freePort('127.0.0.1');
  const { program: api, url } = await cluster.gateway(`--api-server-port=${port}`);
  await untilWorkers(url, 2);
  return { cluster, context, generate, api, url, port };
}

/** How far requests have come, by what was asked of workers; prompts are told apart by their lengths. */
function progressOf(spy: Spy) {
  const phaseOf = (tokens: number): Phase =>
    tokens > 1000 ? 'prefill' : tokens > 300 ? 'transfer' : 'queued';
  const idOf = (op: string, phase: Phase): string | undefined =>
    spy.asked.find((one) => one.op === op && phaseOf(one.promptTokens) === phase)?.requestId;
  return {
    /** It is asked of the worker; or it went another way, as on a machine that is too busy, and is over. */
    async asked(op: string, phase: Phase, answer: Promise<unknown>): Promise<void> {
      let isOver = false;
      answer.then(() => {
        isOver = true;
      });
      await until(`${op} for ${phase}`, () => isOver || idOf(op, phase) !== undefined);
    },
    /** Its ticket is out; or it was given up. */
    async handedOver(phase: Phase): Promise<void> {
      const id = idOf('prefill', phase);
      const ends = ['handover', 'abort'];
      const isOut = (): boolean =>
        spy.asked.some(({ op, requestId }) => ends.includes(op) && requestId === id);
      if (id !== undefined) await until(`hand-over for ${phase}`, isOut);
    },
  };
}

/** All four answers to be, of which a broken connection is null. Both workers are stopped then. */
async function reachPhases({ cluster, url, context, generate }: Parts): Promise<{
  readonly answers: Promise<(Answer | null)[]>;
}> {
  await using spy = await cluster.spy();
  const progress = progressOf(spy);
  const decodes = Promise.withResolvers<void>();
  let chunkCount = 0;
  const onChunk = (): void => {
    if (++chunkCount === 8) decodes.resolve();
  };
  const ask = (phase: Phase, more = {}): Promise<Answer | null> =>
    stream(url, bodies[phase], more).then(answerOf, () => null);
  const decode = ask('decode', { onChunk });
  await decodes.promise;
  spy.asked.length = 0;
  context.signal('SIGSTOP');
  const transfer = ask('transfer');
  await progress.asked('prefill', 'transfer', transfer);
  const prefill = ask('prefill');
  await progress.asked('prefill', 'prefill', prefill);
  const queued = ask('queued');
  await progress.asked('generate', 'queued', queued);
  generate.signal('SIGSTOP');
  context.signal('SIGCONT');
  await progress.handedOver('transfer');
  context.signal('SIGSTOP');
  return { answers: Promise.all([decode, transfer, prefill, queued]) };
}

beforeAll(async () => {
  await using cluster = await Cluster.open(world);
  const { url } = await openParts(cluster);
  const all: Answer[] = [];
  for (const phase of phases) all.push(answerOf(await stream(url, bodies[phase])));
  wanted = all;
  expect(wanted.map(({ error }) => error)).toEqual([null, null, null, null]);
  expect(wanted.map(({ text }) => text)).toEqual([
    expect.stringMatching(/./),
    expect.stringContaining('harbour'),
    expect.stringContaining('lantern'),
    'The capital of Peru is Lima.',
  ]);
});

describe.concurrent('kill -9 with requests queued, in prefill, in transfer and decoding', () => {
  for (const role of ['context', 'generate'] as const) {
    test(`of the ${role} worker: all four are answered to the letter`, async () => {
      await using cluster = await Cluster.open(world);
      const parts = await openParts(cluster);
      const { answers } = await reachPhases(parts);
      parts[role].signal('SIGKILL');
      parts[role === 'context' ? 'generate' : 'context'].signal('SIGCONT');
      cluster.worker(role, slots);
      expect(await answers).toEqual([...wanted]);
      await untilWorkers(parts.url, 2);
      await untilIdle(parts.url);
    });
  }

  test('of the gateway: asked again at the next one, all four are; nothing is held for the dead', async () => {
    await using cluster = await Cluster.open(world);
    const parts = await openParts(cluster);
    const { answers } = await reachPhases(parts);
    parts.api.signal('SIGKILL');
    expect(await answers).toEqual([null, null, null, null]);
    for (const worker of [parts.context, parts.generate]) worker.signal('SIGCONT');
    const { url } = await cluster.gateway(`--api-server-port=${parts.port}`);
    expect(url).toBe(parts.url);
    const again = await Promise.all(phases.map((phase) => stream(url, bodies[phase])));
    expect(again.map(answerOf)).toEqual([...wanted]);
    await untilIdle(url);
  });
});

testNothingLeft(world);
