// A supervisor's children, really started, on a clock that a test moves: which are started again, and
// which are given up, with what words.

import { expect, test } from 'bun:test';
import { Children } from '../../src/role/children.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { until } from '../e2e/until.ts';

const bounds = {
  pauseFirstMs: 100,
  pauseMaxMs: 1000,
  healthyMs: 30_000,
  countMax: 4,
  windowMs: 60_000,
};

function world() {
  const clock = new ManualClock();
  const lines: string[] = [];
  const said: string[] = [];
  const log = createLog({ level: 1, sink: (line) => lines.push(line), name: '' });
  const stderr = (bytes: Uint8Array): void => void said.push(Buffer.from(bytes).toString());
  const children = new Children({ clock, log, bounds, stderr });
  const start = (name: string, script: string): void =>
    children.start({ name, command: ['sh', '-c', script], env: {} });
  const deaths = (): number => lines.filter((line) => line.includes('starting it again')).length;
  /** Lets its deaths follow each other until `count` have been noticed. */
  const dying = async (count: number): Promise<void> => {
    for (let seen = 1; seen <= count; seen++) {
      await until(`death ${seen}`, () => deaths() === seen);
      clock.advance(bounds.pauseMaxMs);
    }
  };
  return { children, start, lines, said, clock, dying };
}

test('a child that dies at once each time is given up, by name and with its last words', async () => {
  const { children, start, lines, said, dying } = world();
  start('generate-1', 'echo no room for KV >&2; kill -9 $$');
  children.settle();
  await dying(bounds.countMax - 1);
  const line = await children.firstFailure();
  expect(line).toMatch(/^generate-1 ended 4 times within \d+ s, the last time with SIGKILL; /);
  expect(line).toContain('its last words: no room for KV; giving up: ');
  expect(line).toContain('--role generate --log-level 2');
  expect(lines.filter((text) => text.includes('generate-1 died'))).toHaveLength(3);
  expect(said.join('')).toBe('no room for KV\n'.repeat(4));
  await children.stop(() => true, 1000);
});

test('an exit code is named, and silence is said', async () => {
  const { children, start, dying } = world();
  start('api', 'exit 7');
  children.settle();
  await dying(bounds.countMax - 1);
  const line = await children.firstFailure();
  expect(line).toContain('api ended 4 times');
  expect(line).toContain('the last time with exit code 7; it said nothing on stderr');
});

test('one that says by its exit code that it cannot start is not tried again', async () => {
  const { children, start, lines } = world();
  start('context-0', 'exit 2');
  expect(await children.firstFailure()).toBe('context-0 cannot start; see its line above');
  expect(lines).toEqual([]);
});

test('one that is asked to stop says nothing more and is not started again', async () => {
  const { children, start, lines, clock } = world();
  start('baseline-0', 'exec sleep 100');
  await children.stop(() => true, 1000);
  clock.advance(100_000);
  expect(lines).toEqual([]);
});
