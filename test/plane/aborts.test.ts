// An abort that could not be delivered is not forgotten: the worker would keep a slot for nobody.

import { expect, test } from 'bun:test';
import { limit } from '../../src/protocol/limit.ts';
import { Cluster } from './cluster.ts';
import { settle } from './make.ts';

const abortsOf = (commands: readonly { readonly type: string }[]): number =>
  commands.filter(({ type }) => type === 'abort').length;

test('of a request that ended while the plane was away: told when it is back, once', async () => {
  const cluster = new Cluster();
  await cluster.worker('c', 'context');
  const g = await cluster.worker('g', 'generate');
  const leaving = new AbortController();
  const asked = cluster.ask(leaving.signal).catch(() => undefined);
  await settle();
  expect(g.node.jobCount()).toBe(1);
  cluster.bus.disconnect();
  leaving.abort();
  await asked;
  await cluster.pass(1000);
  expect(abortsOf(g.engine.commands)).toBe(0);
  cluster.bus.reconnect();
  await cluster.pass(2 * limit.heartbeatMs);
  expect([g.node.jobCount(), abortsOf(g.engine.commands)]).toEqual([0, 1]);
  await cluster.pass(5 * limit.heartbeatMs);
  expect(abortsOf(g.engine.commands)).toBe(1);
});

test('of a worker that was silent so long that it was taken for dead', async () => {
  const cluster = new Cluster();
  await cluster.worker('c', 'context');
  const g = await cluster.worker('g', 'generate');
  const leaving = new AbortController();
  const asked = cluster.ask(leaving.signal).catch(() => undefined);
  await settle();
  g.bus.disconnect();
  await cluster.pass(limit.presenceMs + limit.heartbeatMs);
  expect([g.node.jobCount(), abortsOf(g.engine.commands)]).toEqual([1, 0]);
  leaving.abort();
  await asked;
  g.bus.reconnect();
  await cluster.pass(2 * limit.heartbeatMs);
  expect(g.node.jobCount()).toBe(0);
});

test('of a worker that never answers: asked for again, but not for ever', async () => {
  const cluster = new Cluster();
  await cluster.worker('g', 'generate');
  const leaving = new AbortController();
  const asked = cluster.ask(leaving.signal).catch(() => undefined);
  await settle();
  let refusedCount = 0;
  const request = cluster.bus.request.bind(cluster.bus);
  cluster.bus.request = (subject, payload, options) => {
    if (!subject.endsWith('.abort')) return request(subject, payload, options);
    refusedCount++;
    return Promise.reject(new Error('lost'));
  };
  leaving.abort();
  await asked;
  await cluster.pass(10 * limit.heartbeatMs);
  expect(refusedCount).toBeGreaterThan(8);
  await cluster.pass(limit.admitTimeoutMs + limit.reserveMs);
  const count = refusedCount;
  await cluster.pass(10 * limit.heartbeatMs);
  expect(refusedCount).toBe(count);
});
