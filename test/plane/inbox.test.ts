// What waits for a slow client: from where on its worker should rest, and when it should go on.

import { expect, test } from 'bun:test';
import { Inbox, usualBound } from '../../src/plane/inbox.ts';
import { limit } from '../../src/protocol/limit.ts';
import type { TokenDelta } from '../../src/protocol/request.ts';
import { Fault } from '../../src/std/fault.ts';

const delta = (id: number, change: Partial<TokenDelta> = {}): TokenDelta => ({
  ids: [id],
  finish: null,
  ...change,
});

function watched(...args: ConstructorParameters<typeof Inbox>) {
  const inbox = new Inbox(...args);
  const said: string[] = [];
  inbox.onFull = () => said.push(`${inbox.isFull ? 'rest' : 'go on'} at ${inbox.count}`);
  return { inbox, said };
}

test('by number: said once above the bound, taken back once at a quarter of it', async () => {
  const { inbox, said } = watched({ deltaMax: 8, bytesMax: 1e9 });
  for (let round = 0; round < 2; round++) {
    for (let id = 0; id < 12; id++) inbox.push(delta(id));
    for (let id = 0; id < 12; id++) expect((await inbox.next())?.ids).toEqual([id]);
  }
  expect(said).toEqual(['rest at 9', 'go on at 2', 'rest at 9', 'go on at 2']);
});

test('by size: long logprobs of few tokens, and they need no reader to be counted off', async () => {
  const logprobs = [
    { logprob: -1, top: Array.from({ length: 20 }, () => [1, -1] as [number, number]) },
  ];
  const { inbox, said } = watched();
  let count = 0;
  while (!inbox.isFull) {
    inbox.push(delta(count++, { logprobs }));
    expect(count).toBeLessThan(limit.waitingDeltaMax);
  }
  while (inbox.isFull) await inbox.next();
  expect(inbox.count).toBeGreaterThan(0);
  expect(inbox.count).toBeLessThan(count / 3);
  expect(said).toHaveLength(2);
  expect(usualBound).toEqual({ deltaMax: limit.waitingDeltaMax, bytesMax: limit.waitingBytesMax });
});

test('a reader that keeps up is never behind; the last delta stops nobody', async () => {
  const { inbox, said } = watched({ deltaMax: 4, bytesMax: 1e9 });
  for (let id = 0; id < 100; id++) {
    const next = inbox.next();
    inbox.push(delta(id));
    expect((await next)?.ids).toEqual([id]);
  }
  for (let id = 0; id < 4; id++) inbox.push(delta(id));
  inbox.push(delta(4, { finish: 'stop' }));
  expect([inbox.isFull, said]).toEqual([false, []]);
});

test('a failure comes behind what waits', async () => {
  const { inbox } = watched({ deltaMax: 4, bytesMax: 1e9 });
  for (let id = 0; id < 9; id++) inbox.push(delta(id));
  inbox.fail(new Fault('engine', 'broken'));
  for (let id = 0; id < 9; id++) expect((await inbox.next())?.ids).toEqual([id]);
  expect(inbox.next()).rejects.toThrow('broken');
});
