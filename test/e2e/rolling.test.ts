// Two context workers, two generate workers, two gateways behind one address. Every process is restarted
// under load, one after the other, and nobody notices; or one gateway is killed, and its own clients do.

import { beforeAll, describe, expect, test } from 'bun:test';
import type { WorkerRole } from '../../src/protocol/message.ts';
import { freePort } from '../../src/role/free-port.ts';
import { openBalancer } from './balancer.ts';
import { type ApiError, type ChatBody, jsonOf, post, question, readStream } from './chat.ts';
import { Cluster, untilIdle, untilWorkers } from './cluster.ts';
import { untilReady } from './deployment.ts';
import type { Program } from './program.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const bodies: readonly ChatBody[] = [
  question('Count from 1 to 20.'),
  question('Tell me a story.', { ignore_eos: true, max_tokens: 120 }),
  question(`${'The river was quiet at noon. '.repeat(60)} The code word is harbour. What is it?`),
];
const clientCount = 4;
const retriesMax = 1000;
let wanted: readonly string[];

type Gateway = { readonly port: number; readonly url: string; program: Program };

async function open(cluster: Cluster) {
  const roles: readonly WorkerRole[] = ['context', 'context', 'generate', 'generate'];
  const workers = roles.map((role) => ({ role, program: cluster.worker(role) }));
  const gateways: Gateway[] = [];
  for (const _ of [1, 2]) {
    const port = await freePort('127.0.0.1');
    gateways.push({ port, ...(await cluster.gateway(`--api-server-port=${port}`)) });
  }
  for (const { url } of gateways) await untilWorkers(url, workers.length);
  const balancer = await openBalancer(gateways.map(({ port }) => port));
  return { workers, gateways, balancer };
}

/** Asks again only where there was no answer: the connection ends, or nothing new is taken. */
async function tell(url: string, index: number): Promise<string> {
  for (let retries = 0; ; retries++) {
    const response = await post(url, { ...bodies[index], stream: true }).catch(() => null);
    if (response === null && retries < retriesMax) continue;
    if (response === null) throw new Error(`no answer from ${url}`);
    if (response.status !== 503) {
      const { text, error, finish, data } = await readStream(response);
      expect([error, data.at(-1)]).toEqual([null, '[DONE]']);
      expect(finish).not.toBeNull();
      return text;
    }
    const { error } = await jsonOf<{ error: ApiError }>(response);
    expect(error.code).toBe('draining');
  }
}

beforeAll(async () => {
  await using cluster = await Cluster.open(world);
  const { gateways, balancer } = await open(cluster);
  await using _ = balancer;
  const told = await Promise.all(bodies.map((_body, index) => tell(gateways[0]?.url ?? '', index)));
  wanted = told;
  expect(wanted[0]).toContain('18, 19, 20');
});

/** Clients that ask one after the other until they are told to stop. */
function startLoad(url: string) {
  let isOver = false;
  let count = 0;
  const client = async (from: number): Promise<void> => {
    for (let at = from; !isOver; at++) {
      const index = at % bodies.length;
      expect(await tell(url, index)).toBe(wanted[index] ?? '');
      count++;
    }
  };
  const clients = Promise.all(Array.from({ length: clientCount }, (_, from) => client(from)));
  let failure: unknown = null;
  clients.catch((error: unknown) => {
    failure ??= error;
  });
  return {
    /** Until so many more answers are there. */
    async more(wantedCount: number): Promise<void> {
      const before = count;
      await until('more answers', () => {
        if (failure !== null) throw failure;
        return count >= before + wantedCount;
      });
    },
    /** How many answers there were. */
    async end(): Promise<number> {
      isOver = true;
      await clients;
      return count;
    },
  };
}

test('every process restarted under load: each answer is the undisturbed one', async () => {
  await using cluster = await Cluster.open(world);
  const { workers, gateways, balancer } = await open(cluster);
  await using _ = balancer;
  const served = [...gateways].map(({ program }) => program);
  const load = startLoad(balancer.url);
  await load.more(clientCount);
  for (const worker of workers) {
    expect((await worker.program.stop()).code).toBe(0);
    worker.program = cluster.worker(worker.role);
    for (const { url } of gateways) await untilWorkers(url, workers.length);
    await load.more(clientCount);
  }
  for (const gateway of gateways) {
    expect((await gateway.program.stop()).code).toBe(0);
    const next = await cluster.gateway(`--api-server-port=${gateway.port}`);
    gateway.program = next.program;
    served.push(next.program);
    await untilReady(next.url);
    await load.more(clientCount);
  }
  const count = await load.end();
  // Who was asked again had not been begun: each gateway has answered all that it had taken.
  const ends = served.flatMap((program) => program.lines().filter((line) => / chat \w/.test(line)));
  expect(ends.filter((line) => !line.includes('chat answered'))).toEqual([]);
  expect(ends).toHaveLength(count);
  for (const { url } of gateways) await untilIdle(url);
  const programs = [...workers, ...gateways].map(({ program }) => program);
  for (const program of programs) expect(program.lines().join('\n')).not.toContain('ERROR');
});

describe('two gateways behind one address', () => {
  test('kill -9 of either: its streams break, the other’s go on, and new ones are answered', async () => {
    await using cluster = await Cluster.open(world);
    const { gateways, balancer } = await open(cluster);
    await using _ = balancer;
    const [first, second] = gateways;
    if (first === undefined || second === undefined) throw new Error('two are there');
    for (const [doomed, other] of [
      [first, second],
      [second, first],
    ] as const) {
      await Promise.all(bodies.map((_body, index) => tell(balancer.url, index)));
      const going = bodies.map((_body, index) => tell(other.url, index));
      doomed.program.signal('SIGKILL');
      await doomed.program.exit();
      const after = bodies.map((_body, index) => tell(balancer.url, index));
      const found = await Promise.all([...going, ...after]);
      expect(found).toEqual([...wanted, ...wanted]);
      const next = await cluster.gateway(`--api-server-port=${doomed.port}`);
      doomed.program = next.program;
      await untilReady(next.url);
    }
    expect(Math.min(...balancer.counts)).toBeGreaterThanOrEqual(bodies.length);
    for (const { url } of gateways) await untilIdle(url);
  });
});

testNothingLeft(world);
