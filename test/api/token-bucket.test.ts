// So much a minute, step by step on a clock that stands still.

import { expect, test } from 'bun:test';
import { durationText } from '../../src/api/tenant.ts';
import { TokenBucket } from '../../src/api/token-bucket.ts';
import { ManualClock } from '../../src/std/clock.ts';

test('begins full, refills evenly, never above full', () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, 60);
  expect([bucket.remaining, bucket.waitMs(1), bucket.fullMs]).toEqual([60, 0, 0]);
  bucket.take(60);
  expect([bucket.remaining, bucket.waitMs(1), bucket.fullMs]).toEqual([0, 1000, 60_000]);
  clock.advance(999);
  expect(bucket.waitMs(1)).toBeCloseTo(1, 6);
  clock.advance(1);
  expect([bucket.remaining, bucket.waitMs(1)]).toEqual([1, 0]);
  clock.advance(600_000);
  expect(bucket.remaining).toBe(60);
});

test('what costs more than is there becomes a debt that time pays', () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, 600);
  bucket.take(1200);
  expect([bucket.remaining, bucket.waitMs(1)]).toEqual([0, 60_100]);
  clock.advance(60_100);
  expect(bucket.waitMs(1)).toBe(0);
});

test('another rate keeps what was used', () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, 100);
  bucket.take(80);
  bucket.perMinute = 50;
  expect([bucket.remaining, bucket.waitMs(1)]).toEqual([0, (31 * 60_000) / 50]);
  bucket.perMinute = 1000;
  expect(bucket.remaining).toBe(920);
});

test.each([
  [0, '0ms'],
  [12.2, '13ms'],
  [1000, '1s'],
  [59_000, '59s'],
  [60_000, '1m0s'],
  [360_500, '6m1s'],
])('%d ms is %s', (ms, text) => expect(durationText(ms)).toBe(text));
