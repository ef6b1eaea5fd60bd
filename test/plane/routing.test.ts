// Routing through the production client and workers over a memory bus: prefixes and load as heartbeats
// tell them, bursts between heartbeats, several gateways, and where prompts are computed.

import { describe, expect, test } from 'bun:test';
import type { PlaneClient } from '../../src/plane/client.ts';
import { PromptKeys } from '../../src/plane/prompt-keys.ts';
import type { GenerateRequest, Timing } from '../../src/protocol/request.ts';
import { seededChance } from '../../src/std/prng.ts';
import { Cluster, read, request, type TestWorker } from './cluster.ts';
import { card, promptOf, settle } from './make.ts';
import { pace } from './paced.ts';

const never = new AbortController().signal;
let number = 0;

/** Sends a prompt; the answer's timing when it has ended. */
async function serve(client: PlaneClient, promptIds: readonly number[]): Promise<Timing> {
  const requestId = `r${number++}`;
  const generation = await client.generate(request({ requestId, promptIds }), { signal: never });
  expect(await read(generation)).toBe('7 8 stop');
  return generation.timing();
}

const prompts = ({ engine }: TestWorker) =>
  engine.commands.filter(
    (one) => one.type === 'prefill' || (one.type === 'generate' && one.source === 'local'),
  ).length;
const streams = ({ engine }: TestWorker) =>
  engine.commands.filter(({ type }) => type === 'generate').length;

const answer = [7, 8];
const roomy = { freeTokens: 100_000 };

/** Serves one request while time passes. */
async function served(cluster: Cluster, ids: readonly number[]): Promise<Timing> {
  const timing = serve(cluster.client, ids);
  await cluster.pass(2000);
  return timing;
}

async function pairs(cluster: Cluster, contextCount: number, generateCount: number) {
  const contexts: TestWorker[] = [];
  const generates: TestWorker[] = [];
  for (let index = 0; index < contextCount; index++) {
    contexts.push(await cluster.worker(`c${index}`, 'context', answer));
  }
  for (let index = 0; index < generateCount; index++) {
    generates.push(await cluster.worker(`g${index}`, 'generate', answer));
  }
  for (const { engine } of [...contexts, ...generates]) engine.loaded = roomy;
  await cluster.pass(1000);
  return { contexts, generates };
}

describe('prefixes', () => {
  const ids = promptOf(1000);
  const prefixKeys = [...new PromptKeys(ids).of(card())];
  const paced = async (contextCount: number) => {
    const cluster = new Cluster();
    const { contexts, generates } = await pairs(cluster, contextCount, 1);
    for (const worker of [...contexts, ...generates]) {
      pace(worker, { clock: cluster.clock, tokenMs: 1, decodeMs: 10 });
    }
    return { cluster, contexts };
  };
  /** What a worker's own bookkeeping does not overwrite. */
  const loaded = ({ engine }: TestWorker, change: typeof engine.loaded) => {
    engine.loaded = { ...roomy, ...change };
  };

  test('a cached prefix attracts, whatever else is asked', async () => {
    const { cluster, contexts } = await paced(3);
    const [, holder] = contexts;
    if (holder === undefined) throw new Error('no worker');
    loaded(holder, { prefixKeys });
    await cluster.pass(1000);
    for (let turn = 0; turn < 6; turn++) {
      expect(await served(cluster, ids)).toMatchObject({ contextWorker: 'c1' });
    }
    for (let turn = 0; turn < 6; turn++) await served(cluster, promptOf(1000, turn + 1));
    expect(contexts.map(prompts)).toEqual([2, 8, 2]);
  });

  test('an overloaded holder repels, and is found again when it is free', async () => {
    const { cluster, contexts } = await paced(2);
    const [first] = contexts;
    if (first === undefined) throw new Error('no worker');
    loaded(first, { prefixKeys, pendingTokens: 50_000 });
    await cluster.pass(1000);
    expect(await served(cluster, ids)).toMatchObject({ contextWorker: 'c1' });
    loaded(first, { prefixKeys });
    await cluster.pass(1000);
    expect(await served(cluster, ids)).toMatchObject({ contextWorker: 'c0' });
  });

  test('a dead holder is forgotten within the presence time', async () => {
    const { cluster, contexts } = await paced(2);
    const [first] = contexts;
    if (first === undefined) throw new Error('no worker');
    loaded(first, { prefixKeys });
    await cluster.pass(1000);
    first.kill();
    await cluster.pass(4000);
    for (let turn = 0; turn < 4; turn++) {
      expect(await served(cluster, ids)).toMatchObject({ contextWorker: 'c1' });
    }
  });

  test('who follows a prompt goes where its KV is, before any heartbeat tells of it', async () => {
    const { cluster, contexts } = await paced(3);
    for (let turn = 0; turn < 6; turn++) {
      const change = { requestId: `f${turn}`, promptIds: ids, warm: ['c2'], shared: true };
      const generation = cluster.client.generate(request(change), { signal: never });
      await cluster.pass(2000);
      const { timing, deltas } = await generation;
      expect(timing()).toMatchObject({ contextWorker: 'c2' });
      await Array.fromAsync(deltas);
    }
    const command = contexts[2]?.engine.commands.find(({ type }) => type === 'prefill');
    expect(command).toMatchObject({ shared: true });
  });

  test('blocks of one salt attract only requests of that salt', async () => {
    const { cluster, contexts } = await paced(3);
    const [, holder] = contexts;
    if (holder === undefined) throw new Error('no worker');
    const salt = 'ab'.repeat(32);
    loaded(holder, { prefixKeys: [...new PromptKeys(ids, salt).of(card())] });
    await cluster.pass(1000);
    const ask = async (turn: number, change: Partial<GenerateRequest>): Promise<string | null> => {
      const promptIds = ids;
      const asked = request({ requestId: `s${turn}`, promptIds, ...change });
      const generation = cluster.client.generate(asked, { signal: never });
      await cluster.pass(2000);
      const { timing, deltas } = await generation;
      await Array.fromAsync(deltas);
      return timing().contextWorker;
    };
    for (let turn = 0; turn < 4; turn++) expect(await ask(turn, { cacheSalt: salt })).toBe('c1');
    const others = new Set<string | null>();
    for (let turn = 4; turn < 10; turn++) others.add(await ask(turn, {}));
    expect(others.size).toBe(3);
    const salted = holder.engine.commands.find(
      (command) => command.type === 'prefill' && command.cacheSalt === salt,
    );
    expect(salted).toBeDefined();
  });

  test('a prompt whose logprobs are wanted is computed where it is decoded', async () => {
    const { cluster } = await paced(2);
    const sampling = { ...request().sampling, promptLogprobs: 0 };
    const asked = request({ requestId: 'judged', promptIds: ids, sampling });
    const generation = cluster.client.generate(asked, { signal: never });
    await cluster.pass(2000);
    const { timing, deltas } = await generation;
    expect(timing()).toMatchObject({ route: 'local', contextWorker: null, reason: 'forced' });
    await Array.fromAsync(deltas);
  });

  test('a conversation stays on its host, turn by turn', async () => {
    const cluster = new Cluster();
    const hosts = ['host-1', 'host-2', 'host-3'];
    const contexts: TestWorker[] = [];
    for (const [index, host] of hosts.entries()) {
      contexts.push(await cluster.worker(`c${index}`, 'context', answer, { host }));
      const generate = await cluster.worker(`g${index}`, 'generate', answer, { host });
      for (const worker of [...contexts.slice(-1), generate]) {
        worker.engine.loaded = roomy;
        pace(worker, { clock: cluster.clock, tokenMs: 0.5, decodeMs: 10 });
      }
    }
    await cluster.pass(1000);
    const seen = new Set<string | null>();
    for (let turn = 1; turn <= 5; turn++) {
      const prompt = promptOf(400 * turn, 99);
      const { contextWorker } = await served(cluster, prompt);
      seen.add(contextWorker);
      const holder = contexts.find(({ id }) => id === contextWorker);
      if (holder === undefined) throw new Error('no holder');
      holder.engine.loaded = { ...roomy, prefixKeys: [...new PromptKeys(prompt).of(card())] };
      await cluster.pass(1000);
    }
    expect(seen.size).toBe(1);
  });
});

describe('load', () => {
  test('a burst between two heartbeats spreads by its tokens', async () => {
    const cluster = new Cluster();
    const { contexts, generates } = await pairs(cluster, 4, 2);
    for (const worker of [...contexts, ...generates]) {
      pace(worker, { clock: cluster.clock, tokenMs: 1, decodeMs: 500 });
    }
    const chance = seededChance(8);
    const sent = Array.from({ length: 80 }, (_, seed) => promptOf(1 + (chance.u32() % 2000), seed));
    const all = sent.map((ids) => serve(cluster.client, ids));
    await settle();
    const tokens = contexts.map(({ engine }) =>
      engine.commands.reduce(
        (sum, one) => sum + (one.type === 'prefill' ? one.promptIds.length : 0),
        0,
      ),
    );
    const fair = tokens.reduce((a, b) => a + b, 0) / 4;
    for (const count of tokens) expect(Math.abs(count - fair)).toBeLessThan(2000); // one prompt
    for (const worker of generates) expect(streams(worker)).toBe(40);
    await cluster.pass(60_000);
    await Promise.all(all);
  });

  test('two gateways, one cluster: no worker gets twice its share', async () => {
    const cluster = new Cluster();
    const { contexts, generates } = await pairs(cluster, 4, 3);
    for (const worker of [...contexts, ...generates]) {
      pace(worker, { clock: cluster.clock, tokenMs: 0.25, decodeMs: 300 });
    }
    const clients = [cluster.client, cluster.gateway('gw-2')];
    await settle();
    const chance = seededChance(21);
    const all: Promise<Timing>[] = [];
    for (let turn = 0; turn < 240; turn++) {
      const client = clients[chance.u32() % 3 === 0 ? 1 : 0]; // one gateway is busier
      if (client === undefined) throw new Error('no gateway');
      all.push(serve(client, promptOf(50 + (chance.u32() % 400), turn)));
      await cluster.pass(chance.u32() % 100);
    }
    await cluster.pass(10_000);
    const timings = await Promise.all(all);
    expect(new Set(timings.map(({ route }) => route))).toEqual(new Set(['disaggregated']));
    for (const worker of contexts) expect(prompts(worker)).toBeLessThan(2 * (240 / 4));
    for (const worker of generates) expect(streams(worker)).toBeLessThan(2 * (240 / 3));
    for (const worker of [...contexts, ...generates]) expect(worker.node.jobCount()).toBe(0);
  });

  test('a slow worker gets less once that was measured', async () => {
    const cluster = new Cluster();
    const { contexts, generates } = await pairs(cluster, 2, 1);
    contexts.forEach((worker, index) => {
      pace(worker, { clock: cluster.clock, tokenMs: index === 0 ? 4 : 0.5, decodeMs: 10 });
    });
    for (const worker of generates)
      pace(worker, { clock: cluster.clock, tokenMs: 1, decodeMs: 10 });
    const all: Promise<Timing>[] = [];
    for (let turn = 0; turn < 60; turn++) {
      all.push(serve(cluster.client, promptOf(200, turn)));
      await cluster.pass(400);
    }
    await cluster.pass(10_000);
    await Promise.all(all);
    const [slow = 0, fast = 0] = contexts.map(prompts);
    expect(slow).toBeGreaterThan(0);
    expect(slow * 3).toBeLessThan(fast);
  });
});

describe('where a prompt is computed, as measured', () => {
  const world = async (contextMs: number, generateMs: number) => {
    const cluster = new Cluster({ localPrefillTokens: null });
    const { contexts, generates } = await pairs(cluster, 1, 1);
    const paced = { clock: cluster.clock, decodeMs: 5000 };
    for (const worker of contexts) pace(worker, { ...paced, tokenMs: contextMs });
    for (const worker of generates) pace(worker, { ...paced, tokenMs: generateMs });
    const ask = async (ids: readonly number[], waitMs = 20_000) => {
      const served = serve(cluster.client, ids);
      await cluster.pass(waitMs);
      return served;
    };
    return { cluster, ask };
  };

  test('a short prompt where it is decoded, a long one at a context worker', async () => {
    const { ask } = await world(1, 1);
    expect(await ask(promptOf(40))).toMatchObject({ route: 'local', reason: 'measured' });
    expect(await ask(promptOf(2000))).toMatchObject({ route: 'disaggregated', reason: 'measured' });
  });

  test('not while streams decode there', async () => {
    const { cluster, ask } = await world(1, 1);
    const streaming = serve(cluster.client, promptOf(40));
    await cluster.pass(1000);
    expect(await ask(promptOf(40, 5))).toMatchObject({ route: 'disaggregated' });
    expect(await streaming).toMatchObject({ route: 'local' });
    expect(await ask(promptOf(40, 6))).toMatchObject({ route: 'local' });
  });

  test('a context worker that turns out slow is left alone', async () => {
    const { ask } = await world(20, 0.1);
    const routes: string[] = [];
    for (const tokens of [40, 2000, 2000, 2000]) {
      routes.push((await ask(promptOf(tokens, routes.length), 60_000)).route);
    }
    // Nothing is known at first: the long prompt goes where long prompts should go.
    expect(routes).toEqual(['local', 'disaggregated', 'local', 'local']);
  });
});

describe('always disaggregated', () => {
  test('without a context worker it is served all the same, and said once per change', async () => {
    const cluster = new Cluster();
    await cluster.worker('g', 'generate', answer);
    const warnings = () => cluster.lines.filter((line) => line.includes('no context worker'));
    for (let turn = 0; turn < 3; turn++) {
      expect(await serve(cluster.client, [1, 2])).toMatchObject({
        route: 'local',
        reason: 'no_context_worker',
      });
    }
    expect(warnings().length).toBe(1);
    const c = await cluster.worker('c', 'context', answer);
    expect(await serve(cluster.client, [1, 2])).toMatchObject({ reason: 'forced' });
    expect(cluster.lines.join('\n')).toContain('Context workers are back');
    await c.node.close();
    expect(await serve(cluster.client, [1, 2])).toMatchObject({ reason: 'no_context_worker' });
    expect(warnings().length).toBe(2);
  });

  test('when every context worker refuses', async () => {
    const cluster = new Cluster();
    const { contexts } = await pairs(cluster, 2, 1);
    for (const { engine } of contexts) {
      engine.script = ({ type, requestId }) => {
        if (type !== 'prefill') return true;
        engine.emit({ type: 'refused', requestId, code: 'overloaded', message: 'full' });
        return false;
      };
    }
    expect(await serve(cluster.client, [1, 2])).toMatchObject({
      route: 'local',
      reason: 'context_refused',
    });
    expect(cluster.lines.some((line) => line.includes('although'))).toBeFalse();
  });
});
