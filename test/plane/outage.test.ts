// What a gateway makes of its own outage: chunks that were sent meanwhile are lost, and nobody tells it.

import { expect, test } from 'bun:test';
import { limit } from '../../src/protocol/limit.ts';
import { Cluster, read } from './cluster.ts';
import { settle } from './make.ts';

async function away(cluster: Cluster, meanwhile: () => void): Promise<void> {
  cluster.bus.disconnect();
  meanwhile();
  await settle();
  cluster.bus.reconnect();
  await settle();
}

test('the first token lost: asked for anew at once', async () => {
  const cluster = new Cluster();
  const g = await cluster.worker('g', 'generate');
  const asked = cluster.ask();
  await settle();
  await away(cluster, () => g.engine.tokens('req-1', 0, [7], true));
  g.engine.tokens('req-2', 0, [7], true);
  expect(await read(await asked)).toBe('7 stop');
});

test('the last chunk lost: after a short silence its worker is asked to go on', async () => {
  const cluster = new Cluster();
  const g = await cluster.worker('g', 'generate');
  const asked = cluster.ask();
  await settle();
  g.engine.tokens('req-1', 0, [7]);
  const text = read(await asked);
  await away(cluster, () => g.engine.tokens('req-1', 1, [8], true));
  g.engine.answer = [7, 8];
  await cluster.pass(limit.outageSilenceMs + limit.heartbeatMs + 100);
  expect(await text).toBe('7 8 stop');
  expect(g.engine.commands.at(-1)).toMatchObject({ emittedIds: [7] });
});

test('… sooner where it was quick before', async () => {
  const cluster = new Cluster();
  const g = await cluster.worker('g', 'generate');
  const asked = cluster.ask();
  await settle();
  g.engine.tokens('req-1', 0, [7]);
  const text = read(await asked);
  await cluster.pass(100);
  g.engine.tokens('req-1', 1, [8]);
  await settle();
  await away(cluster, () => g.engine.tokens('req-1', 2, [9], true));
  await cluster.pass(limit.presenceMs - 200);
  expect(g.engine.commands.filter(({ type }) => type === 'generate')).toHaveLength(1);
  g.engine.answer = [7, 8, 9];
  await cluster.pass(200 + limit.heartbeatMs + 100);
  expect(await text).toBe('7 8 9 stop');
  expect(g.engine.commands.at(-1)).toMatchObject({ emittedIds: [7, 8] });
});

test('… later where it was slow', async () => {
  const cluster = new Cluster();
  const g = await cluster.worker('g', 'generate');
  const asked = cluster.ask();
  await settle();
  g.engine.tokens('req-1', 0, [7]);
  const text = read(await asked);
  await cluster.pass(5000);
  g.engine.tokens('req-1', 1, [8]);
  await settle();
  await away(cluster, () => undefined);
  await cluster.pass(limit.presenceMs + limit.heartbeatMs);
  g.engine.tokens('req-1', 2, [9], true);
  expect(await text).toBe('7 8 9 stop');
  expect(g.engine.commands.filter(({ type }) => type === 'generate')).toHaveLength(1);
});

test('nothing lost: the stream goes on, and may be silent again as long as any', async () => {
  const cluster = new Cluster();
  const g = await cluster.worker('g', 'generate');
  const asked = cluster.ask();
  await settle();
  g.engine.tokens('req-1', 0, [7]);
  const text = read(await asked);
  await away(cluster, () => undefined);
  g.engine.tokens('req-1', 1, [8]);
  await cluster.pass(limit.streamSilenceMs - 1000);
  g.engine.tokens('req-1', 2, [9], true);
  expect(await text).toBe('7 8 9 stop');
});
