// Never more at once than there are lanes, and a lane comes back whatever becomes of who had it.

import { expect, test } from 'bun:test';
import { Semaphore } from '../../src/kv/semaphore.ts';
import { Fault } from '../../src/std/fault.ts';

const never = new AbortController().signal;

/** Works that end when told. */
function works(lanes: Semaphore) {
  const ends: (() => void)[] = [];
  const seen = { running: 0, most: 0, done: 0 };
  const start = (signal: AbortSignal = never): Promise<void> =>
    lanes.run(signal, async () => {
      seen.running++;
      seen.most = Math.max(seen.most, seen.running);
      await new Promise<void>((resolve) => ends.push(resolve));
      seen.running--;
      seen.done++;
    });
  return { seen, start, endOne: () => ends.shift()?.() };
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test('at most so many, and who comes as one leaves does not slip in beside who waited', async () => {
  const { seen, start, endOne } = works(new Semaphore(2));
  const all = [start(), start(), start(), start()];
  await turn();
  for (let i = 0; i < 30; i++) {
    endOne();
    // Between the end of one and the turn of the next: three microtasks, one of them the release.
    for (let tick = 0; tick < 6; tick++) {
      all.push(start());
      await Promise.resolve();
    }
    await turn();
    expect(seen.running).toBe(2);
  }
  for (let i = 0; i < all.length; i++) {
    endOne();
    await turn();
  }
  await Promise.all(all);
  expect(seen).toEqual({ running: 0, most: 2, done: all.length });
});

test('who gives up while waiting takes no lane, first come first served goes on', async () => {
  const { seen, start, endOne } = works(new Semaphore(1));
  const over = new AbortController();
  const first = start();
  const second = start(over.signal);
  const third = start();
  over.abort(new Fault('cancelled', 'over'));
  await expect(second).rejects.toThrow('over');
  endOne();
  await turn();
  expect(seen).toMatchObject({ running: 1, done: 1 });
  endOne();
  await Promise.all([first, third]);
  await expect(start(over.signal)).rejects.toThrow('over');
  const last = start();
  await turn();
  endOne();
  await last;
  expect(seen).toEqual({ running: 0, most: 1, done: 3 });
});

test('given a lane and over in the same moment: the lane goes to the next', async () => {
  const { seen, start, endOne } = works(new Semaphore(1));
  const over = new AbortController();
  const first = start();
  const second = start(over.signal).catch(() => 'gave up');
  const third = start();
  await turn();
  endOne();
  over.abort(new Fault('cancelled', 'over'));
  await first;
  await turn();
  endOne();
  await turn();
  endOne();
  await Promise.all([second, third]);
  expect(seen).toMatchObject({ running: 0, most: 1 });
});

test('a failing work gives its lane back', async () => {
  const lanes = new Semaphore(1);
  await expect(lanes.run(never, () => Promise.reject(new Error('bad')))).rejects.toThrow('bad');
  expect(await lanes.run(never, async () => 'next')).toBe('next');
});
