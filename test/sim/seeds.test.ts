// The smoke: so many seeds without a single violation, and proof that they went everywhere.

import { expect, test } from 'bun:test';
import { runSeed } from '../../src/sim/sim.ts';
import { Tally } from '../../src/sim/tally.ts';

const seedCount = 300;

test(`${seedCount} seeds: every request ends as it should, nothing is left behind`, async () => {
  const tally = new Tally();
  for (let seed = 1; seed <= seedCount; seed++) {
    const { verdict, stray } = await runSeed(seed);
    const found = verdict.violations.map(({ rule, detail }) => `${rule}: ${detail}`);
    expect([...found, ...stray], `tdist sim --seed ${seed}`).toEqual([]);
    tally.add(verdict, stray);
  }
  expect(tally.figures()).toMatchObject({ seeds: seedCount, failed: 0, lost: 0 });
  const seen = tally.seen();
  for (const what of [
    'import shm',
    'import shm failed',
    'import object',
    'import object failed',
    'export failed',
    'block refused',
    'prefix hit',
    'preemption',
    'pause',
    'grammar thread',
    'late mask',
    'late mask in a pause',
  ]) {
    expect(seen.get(what) ?? 0, what).toBeGreaterThan(0);
  }
}, 120_000);
