// A seed is the same run each time, and what happens in it is complete when it ends.

import { drainMicrotasks } from 'bun:jsc';
import { describe, expect, test } from 'bun:test';
import { runSeed, runSim } from '../../src/sim/sim.ts';

describe('a seed', () => {
  test('run twice has the same trace, line by line', async () => {
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const [first, second]: [string[], string[]] = [[], []];
      const one = await runSeed(seed, { print: (line) => first.push(line), isLogging: true });
      const two = await runSeed(seed, { print: (line) => second.push(line), isLogging: true });
      expect(first.length).toBeGreaterThan(100);
      expect(second).toEqual(first);
      expect(two.verdict.digest).toBe(one.verdict.digest);
    }
  });

  test('unlike another has another trace', async () => {
    const digests = await Promise.all(
      [1, 2, 3].map(async (seed) => (await runSeed(seed)).verdict.digest),
    );
    expect(new Set(digests).size).toBe(3);
  });

  test('leaves nothing to happen later', async () => {
    const lines: string[] = [];
    await runSeed(4, { print: (line) => lines.push(line), isLogging: true });
    const count = lines.length;
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(lines.length).toBe(count);
  });

  test('microtasks are drained to the last, however deep', async () => {
    const depth = await new Promise<number>((resolve) => {
      setImmediate(() => {
        let reached = 0;
        const dig = async (): Promise<void> => {
          for (let i = 0; i < 10_000; i++) {
            await Promise.resolve();
            reached++;
          }
        };
        void dig();
        drainMicrotasks();
        resolve(reached);
      });
    });
    expect(depth).toBe(10_000);
  });
});

describe('the tool', () => {
  test('sums up, the last line as JSON', async () => {
    const lines: string[] = [];
    expect(await runSim(['--seed', '10', '--seeds=3'], (line) => lines.push(line))).toBe(0);
    const figures = JSON.parse(lines.at(-1) ?? '');
    expect(figures).toMatchObject({ seeds: 3, failed: 0, lost: 0 });
    expect(figures.identical).toBeGreaterThan(0);
  });

  test('one seed alone shows its trace and digest', async () => {
    const lines: string[] = [];
    expect(await runSim(['--seed', '3'], (line) => lines.push(line))).toBe(0);
    expect(lines.length).toBeGreaterThan(100);
    expect(lines.some((line) => /^seed 3: digest [0-9a-f]{16}$/.test(line))).toBeTrue();
  });

  test('refuses words that it does not know and numbers that are none', () => {
    for (const argv of [['--steps'], ['--seeds', '0'], ['--seed'], ['--seed', '-1']]) {
      expect(runSim(argv, () => undefined)).rejects.toThrow('sim: ');
    }
  });
});
