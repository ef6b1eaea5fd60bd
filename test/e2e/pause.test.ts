// SIGSTOP for ten seconds, then SIGCONT, of each kind of process in the middle of its streams: each client
// reads the answer of an undisturbed run, and who was stopped serves again, with nothing held from before.

import { beforeAll, describe, expect, test } from 'bun:test';
import { realClock } from '../../src/std/clock.ts';
import { ask, type ChatBody, question, type Streamed, stream } from './chat.ts';
import { Cluster, untilIdle, untilWorkers } from './cluster.ts';
import { procText } from './leftover.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const stoppedMs = 10_000;
const long = { ignore_eos: true, max_tokens: 400 };
/** Streams that have begun when it happens … */
const begun: readonly ChatBody[] = [
  question('Tell me a story.', long),
  question('Tell me of a river.', { ...long, temperature: 1, seed: 5 }),
];
/** … and what is asked while somebody is stopped. */
const later = question('What is the capital of Peru?');
type Answer = Pick<Streamed, 'text' | 'finish' | 'error'>;
const answerOf = ({ text, finish, error }: Streamed): Answer => ({ text, finish, error });
let wanted: readonly Answer[];

const kinds = ['context', 'generate', 'gateway', 'nats-server'] as const;

async function open(cluster: Cluster) {
  const context = cluster.worker('context');
  const generate = cluster.worker('generate');
  const { program: gateway, url } = await cluster.gateway();
  await untilWorkers(url, 2);
  const pids = {
    context: context.pid,
    generate: generate.pid,
    gateway: gateway.pid,
    'nats-server': cluster.serverPid,
  };
  return { pids, url, programs: [context, generate, gateway] };
}

beforeAll(async () => {
  await using cluster = await Cluster.open(world);
  const { url } = await open(cluster);
  const all: Answer[] = [];
  for (const body of [...begun, later]) all.push(answerOf(await stream(url, body)));
  wanted = all;
  expect(wanted.map(({ error }) => error)).toEqual([null, null, null]);
  expect(wanted[2]?.text).toBe('The capital of Peru is Lima.');
});

function isRunning(pid: number): boolean {
  return /^State:\s+[RSD]/m.test(procText(String(pid), 'status'));
}

describe.concurrent('stopped for ten seconds', () => {
  for (const kind of kinds) {
    test(`the ${kind}: every answer to the letter, and it serves again`, async () => {
      await using cluster = await Cluster.open(world);
      const { pids, url, programs } = await open(cluster);
      const pid = pids[kind];
      const flow = Promise.withResolvers<void>();
      const flowing = new Set<number>();
      const streams = begun.map((body, index) => {
        const onChunk = (): void => {
          if (flowing.add(index).size === begun.length) flow.resolve();
        };
        return stream(url, body, { onChunk });
      });
      await flow.promise;
      process.kill(pid, 'SIGSTOP');
      const asked = stream(url, later);
      await new Promise<void>((resolve) => realClock.after(stoppedMs, resolve));
      process.kill(pid, 'SIGCONT');
      const found = await Promise.all([...streams, asked]);
      expect(found.map(answerOf)).toEqual([...wanted]);

      const workers = await untilWorkers(url, 2);
      expect(workers.map((worker) => worker.pid).sort()).toEqual(
        [pids.context, pids.generate].sort(),
      );
      await untilIdle(url);
      await until('an answer by both workers', async () => {
        const { response, body } = await ask(url, later);
        expect(body.choices[0]?.message.content).toBe(wanted[2]?.text ?? '');
        return response.headers.get('x-tdist-route') === 'disaggregated';
      });
      expect(Object.values(pids).filter((one) => !isRunning(one))).toEqual([]);
      for (const program of programs) expect(program.lines().join('\n')).not.toContain('ERROR');
    });
  }
});

testNothingLeft(world);
