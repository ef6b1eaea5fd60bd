// What the gateway learns of speeds: lines, pools, and their way from the timing of requests.

import { describe, expect, test } from 'bun:test';
import { Line } from '../../src/plane/line.ts';
import { at, Measured } from '../../src/plane/measured.ts';
import { Rates } from '../../src/plane/rates.ts';
import { limit } from '../../src/protocol/limit.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { seededChance } from '../../src/std/prng.ts';
import { card, heartbeat } from './make.ts';

describe('line', () => {
  test('tells overhead from rate', () => {
    const line = new Line();
    for (const x of [10, 1000, 300, 50]) line.add(x, 5 + x / 10);
    expect(line.fit.base).toBeCloseTo(5);
    expect(line.fit.slope).toBeCloseTo(0.1);
    expect(line.count).toBe(4);
  });

  test('one size alone gives a rate through zero', () => {
    const line = new Line();
    for (let turn = 0; turn < 5; turn++) line.add(100, 50);
    expect(line.fit.base).toBe(0);
    expect(line.fit.slope).toBeCloseTo(0.5);
    expect(line.meanX).toBeCloseTo(100);
  });

  test('never a negative part, whatever is measured', () => {
    const chance = seededChance(5);
    const line = new Line();
    for (let turn = 0; turn < 500; turn++) {
      line.add(1 + (chance.u32() % 5000), 0.01 + (chance.u32() % 1000));
      expect(line.fit.base).toBeGreaterThanOrEqual(0);
      expect(line.fit.slope).toBeGreaterThan(0);
    }
  });

  test('the latest measurements weigh most', () => {
    const line = new Line();
    for (let turn = 0; turn < 50; turn++) line.add(100, 1000);
    for (let turn = 0; turn < 60; turn++) line.add(100, 100);
    expect(line.fit.slope).toBeLessThan(1.5);
  });
});

describe('measured', () => {
  const world = () => {
    const clock = new ManualClock();
    const measured = new Measured(clock, 1000);
    const note = (key: string, slope: number, count = 3) => {
      for (let turn = 0; turn < count; turn++) measured.note(key, ['pool'], 100, 100 * slope);
    };
    return { clock, measured, note, slope: (key: string) => measured.of(key, ['pool'])?.slope };
  };

  test('nothing yet, then the pool for all', () => {
    const { note, slope } = world();
    expect(slope('a')).toBeUndefined();
    note('a', 2, 1);
    expect(slope('a')).toBeCloseTo(2);
    expect(slope('b')).toBeCloseTo(2);
  });

  test('equal workers are exactly equal, one that stands out is not', () => {
    const { note, slope } = world();
    note('a', 1.0);
    note('b', 1.1);
    expect(slope('a')).toBe(slope('b') ?? 0);
    note('slow', 5, 2);
    expect(slope('slow')).toBe(slope('unknown') ?? 0);
    note('slow', 5, 1);
    expect(slope('slow')).toBeCloseTo(5);
    expect(slope('a')).toBeLessThan(5);
  });

  test('an old measurement gives way to the pool', () => {
    const { clock, note, slope } = world();
    note('slow', 5);
    note('a', 1, 20);
    expect(slope('slow')).toBeCloseTo(5);
    clock.advance(1001);
    expect(slope('slow')).toBe(slope('a') ?? 0);
  });

  test('memory is bounded, and the forgotten are forgotten', () => {
    const { measured, note } = world();
    for (let index = 0; index < 8200; index++) note(`k${index}`, 1, 1);
    expect(measured.keyCount).toBe(8192);
    measured.forget((key) => key !== 'k8000');
    expect(measured.keyCount).toBe(1);
  });
});

describe('rates', () => {
  const context = heartbeat('c', 'context');
  const generate = heartbeat('g', 'generate');

  test('a constant, then another worker of the same model, then the own role', () => {
    const rates = new Rates(new ManualClock());
    expect(rates.prefill(context)).toEqual({
      base: 0,
      slope: 1000 / limit.prefillTokensPerSDefault,
    });
    rates.notePrefill(generate, 100, 300);
    expect(rates.prefill(context).slope).toBeCloseTo(3);
    rates.notePrefill(heartbeat('c2', 'context'), 100, 50);
    expect(rates.prefill(context).slope).toBeCloseTo(0.5);
    expect(rates.prefill(generate).slope).toBeCloseTo(3);
    const other = heartbeat('x', 'context', { card: card({ modelDigest: 'other' }) });
    expect(rates.prefill(other).slope).toBe(1000 / limit.prefillTokensPerSDefault);
  });

  test('one short prompt, mostly overhead, says nothing of a long one', () => {
    const rates = new Rates(new ManualClock());
    rates.notePrefill(generate, 100, 20);
    rates.notePrefill(generate, 600, 60);
    rates.notePrefill(context, 18, 64);
    const { base, slope } = rates.prefill(context);
    expect(base + slope * 600).toBeLessThan(600);
    rates.notePrefill(context, 600, 300);
    expect(at(rates.prefill(context), 600)).toBeGreaterThan(250);
  });

  test('transfer by bytes; nonsense is not learnt', () => {
    const rates = new Rates(new ManualClock());
    const mib = 2 ** 20;
    expect(rates.transferMs(context, generate, 'shm', 4 * mib)).toBe(
      limit.transferMsDefault + 4 * limit.transferMsPerMiBDefault,
    );
    for (const [bytes, ms] of [
      [0, 5],
      [5, 0],
    ] as const) {
      rates.noteTransfer(context, generate, 'shm', { bytes, ms });
      rates.notePrefill(context, bytes, ms);
    }
    expect(rates.prefill(context).slope).toBe(1);
    for (const size of [1, 10, 100]) {
      const [bytes, ms] = [size * mib, 3 + size / 2];
      rates.noteTransfer(context, generate, 'shm', { bytes, ms });
    }
    expect(rates.transferMs(context, generate, 'shm', 40 * mib)).toBeCloseTo(23);
    const far = heartbeat('g2', 'generate');
    expect(rates.transferMs(context, far, 'shm', 40 * mib)).toBeCloseTo(23);
    expect(rates.transferMs(context, far, 'object', mib)).toBe(
      limit.objectMsDefault + limit.objectMsPerMiBDefault,
    );
  });

  test('hops are a low mark: a busy moment hardly counts', () => {
    const rates = new Rates(new ManualClock());
    rates.noteHop('local', 1);
    rates.noteHop('local', 5000);
    rates.noteHop('local', 0.5);
    expect(rates.hopMs('local')).toBe(0.5);
    rates.noteHop('local', -3);
    expect(rates.hopMs('local')).toBe(0);
    expect(rates.hopMs('disaggregated')).toBe(2 * limit.hopMsDefault);
  });

  test('a worker that is gone takes its own measurements along', () => {
    const rates = new Rates(new ManualClock());
    for (let turn = 0; turn < 3; turn++) rates.notePrefill(context, 100, 900);
    for (let turn = 0; turn < 20; turn++) rates.notePrefill(heartbeat('c2', 'context'), 100, 100);
    expect(rates.prefill(context).slope).toBeCloseTo(9);
    rates.forget('c');
    expect(rates.prefill(context)).toBe(rates.prefill(heartbeat('new', 'context')));
    expect(at(rates.prefill(context), 100)).toBeLessThan(500);
  });
});
