// A client that reads slower than its worker decodes: the worker is told to rest, once, and to go on,
// whatever gets lost on the way; and what ends the request ends the rest as well.

import { describe, expect, test } from 'bun:test';
import { encode } from '../../src/plane/codec.ts';
import { limit } from '../../src/protocol/limit.ts';
import type { Generation } from '../../src/protocol/request.ts';
import { Fault } from '../../src/std/fault.ts';
import { Cluster, request, type TestWorker } from './cluster.ts';
import { settle } from './make.ts';

const inboxBound = { deltaMax: 8, bytesMax: 1e9 };

/** What an engine was told of its requests' pauses, in order. */
const words = ({ engine }: TestWorker): string[] =>
  engine.commands.flatMap((command) =>
    command.type === 'pause' ? [`${command.requestId} ${command.isPaused}`] : [],
  );

async function begun(signal?: AbortSignal) {
  const cluster = new Cluster({ inboxBound, localPrefillTokens: null });
  const g = await cluster.worker('g', 'generate');
  const asked = cluster.ask(signal);
  await settle();
  let count = 0;
  /** The worker decodes `more` tokens: 0, 1, 2, … */
  const tell = async (more: number, worker = g, id = 'req-1') => {
    for (let i = 0; i < more; i++) worker.engine.tokens(id, count, [count++]);
    await settle();
  };
  await tell(1);
  return { cluster, g, generation: await asked, tell };
}

/** Reads so many tokens. */
async function take({ deltas }: Generation, count: number): Promise<number[]> {
  const iterator = deltas[Symbol.asyncIterator]();
  const ids: number[] = [];
  while (ids.length < count) {
    const next = await iterator.next();
    if (next.done === true) break;
    ids.push(...next.value.ids);
    await settle();
  }
  return ids;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test('rests above the bound, goes on when most is read, and loses no token', async () => {
  const { cluster, g, generation, tell } = await begun();
  await tell(7);
  expect(words(g)).toEqual([]);
  await tell(1);
  expect(words(g)).toEqual(['req-1 true']);
  await tell(3); // were on their way
  expect(await take(generation, 9)).toEqual(upTo(9));
  expect(words(g)).toEqual(['req-1 true']);
  expect(await take(generation, 1)).toEqual([9]);
  expect(words(g)).toEqual(['req-1 true', 'req-1 false']);
  g.engine.tokens('req-1', 12, [12], true);
  expect(await take(generation, 9)).toEqual([10, 11, 12]);
  await cluster.pass(5 * limit.heartbeatMs);
  expect(words(g)).toHaveLength(2);
  expect(cluster.client.held()).toMatchObject({ pauses: 0, streams: 0, aborts: 0 });
});

test('a rest may be longer than any silence; one that goes on has the time to get a slot again', async () => {
  const { cluster, g, generation, tell } = await begun();
  await tell(9);
  await cluster.pass(6 * limit.streamSilenceMs);
  expect(await take(generation, 10)).toEqual(upTo(10));
  await cluster.pass(2 * limit.streamSilenceMs);
  await tell(1);
  expect(await take(generation, 1)).toEqual([10]);
  expect(words(g)).toEqual(['req-1 true', 'req-1 false']);
  // From now on it is silent as others may be.
  const rest = take(generation, 1).catch((error: unknown) => (error as Fault).code);
  await cluster.pass(limit.streamSilenceMs + 30_000 + 200);
  expect(await rest).toBe('timeout');
});

test('… also after an outage: its slot may be somebody else’s for a while', async () => {
  const { cluster, g, generation, tell } = await begun();
  await tell(9);
  expect(await take(generation, 10)).toEqual(upTo(10));
  cluster.bus.disconnect();
  await settle();
  cluster.bus.reconnect();
  await cluster.pass(limit.outageSilenceMs - 1000);
  await tell(1);
  expect(await take(generation, 1)).toEqual([10]);
  expect(g.engine.types).toEqual(['generate', 'pause', 'pause']);
});

describe('words that are lost', () => {
  test.each([true, false])(
    'are said again with the worker’s next sign of life (%p)',
    async (isPaused) => {
      const { cluster, g, generation, tell } = await begun();
      await tell(isPaused ? 0 : 9);
      const send = cluster.bus.request.bind(cluster.bus);
      let lostCount = 0;
      cluster.bus.request = (subject, payload, options) => {
        if (!subject.endsWith('.pause') || lostCount === 2) return send(subject, payload, options);
        lostCount++;
        return Promise.reject(new Fault('timeout', 'lost'));
      };
      if (isPaused) await tell(9);
      else await take(generation, 10);
      const before = words(g).length;
      await cluster.pass(limit.heartbeatMs);
      await cluster.pass(3 * limit.heartbeatMs);
      expect([lostCount, words(g).slice(before)]).toEqual([2, [`req-1 ${isPaused}`]]);
    },
  );

  test('that come late or twice change nothing', async () => {
    const { cluster, g, generation, tell } = await begun();
    await tell(9);
    await take(generation, 10);
    expect(words(g)).toEqual(['req-1 true', 'req-1 false']);
    const late = { v: 1, type: 'pause', requestId: 'req-1', isPaused: true, turn: 1 };
    const answer = await cluster.bus.request('tdist.worker.g.pause', encode(late), {
      timeoutMs: 1000,
    });
    expect(JSON.parse(new TextDecoder().decode(answer))).toMatchObject({ ok: true });
    expect(words(g)).toHaveLength(2);
  });

  test('of a request that is not there are refused and not remembered', async () => {
    const { cluster, g } = await begun();
    const word = { v: 1, type: 'pause', requestId: 'req-9', isPaused: true, turn: 1 };
    const answer = await cluster.bus.request('tdist.worker.g.pause', encode(word), {
      timeoutMs: 1000,
    });
    expect(JSON.parse(new TextDecoder().decode(answer))).toMatchObject({ code: 'not_found' });
    expect(words(g)).toEqual([]);
  });
});

describe('during a rest', () => {
  test('the client leaves, or its time is up: the worker is told to stop', async () => {
    const leaving = new AbortController();
    const { cluster, g, tell } = await begun(leaving.signal);
    await tell(9);
    leaving.abort(new Fault('timeout', 'late'));
    await settle();
    expect(g.engine.types).toEqual(['generate', 'pause', 'abort']);
    expect(cluster.client.held()).toMatchObject({ pauses: 0, streams: 0 });
  });

  test('the gateway dies: the worker forgets the request', async () => {
    const { cluster, g, tell } = await begun();
    await cluster.pass(2 * limit.heartbeatMs);
    await tell(9);
    cluster.bus.disconnect('killed');
    cluster.hub.buses.delete(cluster.bus);
    await cluster.pass(limit.gatewaySilenceMs + 2 * limit.heartbeatMs);
    expect([g.node.jobCount(), g.engine.types.at(-1)]).toEqual([0, 'abort']);
  });

  test('the worker dies: another goes on, rests after its first token, and is told to go on', async () => {
    const { cluster, g, generation, tell } = await begun();
    await tell(9);
    const other = await cluster.worker('g2', 'generate');
    g.kill();
    await cluster.pass(limit.presenceMs + 100);
    expect([other.engine.types, words(other)]).toEqual([['generate'], []]);
    expect(other.engine.commands[0]).toMatchObject({ emittedIds: upTo(10) });
    await tell(1, other, 'req-2');
    expect(words(other)).toEqual(['req-2 true']);
    expect(await take(generation, 9)).toEqual(upTo(9));
    expect(words(other)).toEqual(['req-2 true', 'req-2 false']);
    other.engine.tokens('req-2', 11, [11], true);
    expect(await take(generation, 5)).toEqual([9, 10, 11]);
    expect(words(g)).toEqual(['req-1 true']);
    expect(cluster.client.held()).toMatchObject({ pauses: 0 });
  });

  test('the plane is away and back: it goes on, and has a short time to show it', async () => {
    const { cluster, g, generation, tell } = await begun();
    await cluster.pass(2 * limit.heartbeatMs);
    await tell(9);
    cluster.bus.disconnect();
    await cluster.pass(500);
    cluster.bus.reconnect();
    await cluster.pass(2 * limit.outageSilenceMs);
    expect(g.engine.types).toEqual(['generate', 'pause']);
    await take(generation, 10);
    await cluster.worker('g2', 'generate', upTo(12));
    const rest = take(generation, 2);
    await cluster.pass(limit.outageSilenceMs + 200);
    expect(await rest).toEqual([10, 11]);
  });
});

test('a disaggregated answer: the one that decodes is told, the context worker never', async () => {
  const cluster = new Cluster({ inboxBound });
  const c = await cluster.worker('c', 'context');
  const g = await cluster.worker('g', 'generate');
  const asked = cluster.client.generate(request(), { signal: new AbortController().signal });
  await settle();
  c.engine.tokens('req-1', 0, [0]);
  for (let i = 1; i < 12; i++) g.engine.tokens('req-1', i, [i]);
  await settle();
  await asked;
  expect([words(c), words(g)]).toEqual([[], ['req-1 true']]);
});
