// Deadlines of what a thread was asked, one after the other.

import { expect, test } from 'bun:test';
import { limit } from '../../src/protocol/limit.ts';
import { type Task, Watch } from '../../src/role/grammar-watch.ts';

test('a stall of the whole process counts as one look, however long', () => {
  const fires: (() => void)[] = [];
  const clock = {
    nowMs: () => 0,
    epochS: () => 0,
    after: (_: number, fire: () => void) => {
      fires.push(fire);
      return { cancel: () => undefined };
    },
  };
  const late: string[] = [];
  const watch = new Watch<Task & { name: string }>(clock, ({ task }) => late.push(task.name));
  const done = new Set<string>();
  const task = (name: string) => ({ name, limitMs: 1000, isDone: () => done.has(name) });
  watch.add(task('a'));
  watch.add(task('b'));
  watch.ready();
  const look = (): void => fires.shift()?.();
  for (let i = 0; i < 1000 / limit.grammarWatchMs; i++) look();
  done.add('a'); // b is the first one only from now on
  for (let i = 0; i < 1000 / limit.grammarWatchMs; i++) look();
  expect(late).toEqual([]);
  look();
  expect(late).toEqual(['b']);
  done.add('b');
  look();
  expect(fires).toEqual([]);
});
