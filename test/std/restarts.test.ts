// When something is started again, and when no more.

import { describe, expect, test } from 'bun:test';
import { restartBounds } from '../../src/protocol/limit.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { givenUpAfter, Restarts, type Verdict } from '../../src/std/restarts.ts';
import { Tail } from '../../src/std/tail.ts';

const bounds = {
  pauseFirstMs: 100,
  pauseMaxMs: 1000,
  healthyMs: 5000,
  countMax: 6,
  windowMs: 20_000,
};

/** Ends at once each time, and waits the pauses it is told. */
function dieOn(restarts: Restarts, clock: ManualClock): { pauses: number[]; end: Verdict } {
  const pauses: number[] = [];
  for (;;) {
    const verdict = restarts.ended(0);
    if (verdict.type === 'give-up') return { pauses, end: verdict };
    pauses.push(verdict.pauseMs);
    clock.advance(verdict.pauseMs);
  }
}

describe('what ends by itself', () => {
  test('is started again after growing pauses, and given up when it has ended too often', () => {
    const clock = new ManualClock();
    const { pauses, end } = dieOn(new Restarts(clock, bounds), clock);
    expect(pauses).toEqual([100, 200, 400, 800, 1000]);
    expect(end).toEqual({ type: 'give-up', endCount: 6, withinMs: 2500 });
    if (end.type === 'give-up') expect(givenUpAfter(end)).toBe('ended 6 times within 3 s');
  });

  test('is not given up while its ends are further apart than the window holds', () => {
    const clock = new ManualClock();
    const restarts = new Restarts(clock, bounds);
    for (let count = 0; count < 100; count++) {
      clock.advance(4001);
      expect(restarts.ended(4000)).toMatchObject({ type: 'again' });
    }
  });

  test('starts its pauses anew when it has lived well', () => {
    const clock = new ManualClock();
    const restarts = new Restarts(clock, bounds);
    restarts.ended(0);
    expect(restarts.ended(0)).toEqual({ type: 'again', pauseMs: 200 });
    clock.advance(5001);
    expect(restarts.ended(5001)).toEqual({ type: 'again', pauseMs: 100 });
  });

  test('with our bounds: what dies at once is given up before anybody has lost patience', () => {
    const clock = new ManualClock();
    dieOn(new Restarts(clock, restartBounds), clock);
    expect(clock.nowMs()).toBeGreaterThan(10_000);
    expect(clock.nowMs()).toBeLessThan(30_000);
  });
});

describe('last words', () => {
  test('are the last three lines, however they arrive', () => {
    const tail = new Tail();
    for (const part of ['one\ntw', 'o\n\nthree\n', 'four\n  five']) tail.add(Buffer.from(part));
    expect(tail.text()).toBe('two; three; four; five');
  });

  test('are bounded', () => {
    const tail = new Tail();
    for (let count = 0; count < 50; count++) tail.add(Buffer.from('x'.repeat(10_000)));
    tail.add(Buffer.from(`\n${'y'.repeat(10_000)}\n`));
    expect(tail.text().length).toBeLessThan(1000);
  });
});
